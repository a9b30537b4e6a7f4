"""The text of a trading config by the names `load_config` knows, to make a changed one from."""

from __future__ import annotations

import re

from django.conf import settings
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument, ConfigError
from failover.services.config_files import read_document
from failover.services.config_reader import ACTIVE
from failover.services.config_store import NoSuchVersion, active_version, get_version

_NUMBERED = re.compile(r"v(\d{1,9})")


def document_content(name: str) -> bytes:
    """Bytes of a built-in document, a file, `active` or `v7`. Raises: BadConfigDocument."""
    numbered = _NUMBERED.fullmatch(name)
    if name != ACTIVE and numbered is None:
        return read_document(name, settings.TRADING_PROFILES_DIR)
    try:
        version = get_version(int(numbered[1])) if numbered else active_version()
    except (NoSuchVersion, DatabaseError) as error:
        raise BadConfigDocument(name, [ConfigError("", str(error))]) from error
    if version is None:
        raise BadConfigDocument(name, [ConfigError("", "no version has been activated yet")])
    return version.document.encode()


def configured_name() -> str:
    """`active`, or what TRADING_CONFIG names while no version was ever activated or the database is away."""
    try:
        return ACTIVE if active_version() else str(settings.ENVIRONMENT.trading_config)
    except DatabaseError:
        return str(settings.ENVIRONMENT.trading_config)
