"""The one way to a trading config by name: a built-in document, a file, a version of the database."""

from __future__ import annotations

import re

from django.conf import settings
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument, ConfigDocument, ConfigError
from failover.domain.config_versions import StoredVersion, use_stored
from failover.services.config_files import load_named
from failover.services.config_store import NoSuchVersion, get_version, read_stored

ACTIVE = "active"
_NUMBERED = re.compile(r"v(\d{1,9})")


def load_config(name: str) -> ConfigDocument:
    """`default`, `demo`, a path, `active`, or `v7`: the same content has the same version everywhere.

    The database is asked for the last two only. Raises: BadConfigDocument with every error.
    """
    numbered = _NUMBERED.fullmatch(name)
    if name != ACTIVE and numbered is None:
        return load_named(name, settings.TRADING_PROFILES_DIR)
    try:
        stored = _numbered(int(numbered[1])) if numbered else read_stored()
    except (NoSuchVersion, DatabaseError) as error:
        raise BadConfigDocument(name, [ConfigError("", str(error))]) from error
    if stored is None:
        raise BadConfigDocument(name, [ConfigError("", "no version has been activated yet")])
    active = use_stored(stored)
    if active.is_invalid:
        raise BadConfigDocument(name, list(active.errors))
    return active.document


def active_document() -> ConfigDocument:
    """The active config, or the one that a first start takes: for jobs and readers without a follower."""
    try:
        return load_config(ACTIVE)
    except BadConfigDocument:
        return load_config(settings.ENVIRONMENT.trading_config)


def _numbered(number: int) -> StoredVersion:
    version = get_version(number)
    return StoredVersion(
        sequence=0, number=version.pk, document=version.document, digest=version.digest
    )
