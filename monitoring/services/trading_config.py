"""The thresholds that the pages measure against: those of the config the strategy says it decides with."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from failover.domain.config import BadConfigDocument, ConfigDocument
from failover.domain.config_versions import built_in_defaults
from failover.services.config_reader import ACTIVE, load_config
from failover.services.config_store import number_of_content
from monitoring.domain.limits import shown_limits
from monitoring.domain.view import LimitsSeen


def limits_in_force(version: str) -> LimitsSeen | None:
    """The thresholds of the document whose content is named `version`; None when it is not at hand.

    A service may run on a document of its own (`--config`): better no figure than that of another config.
    """
    try:
        for name in _names(version):
            document = _document(name)
            if document is not None and version.endswith(document.version):
                return _limits(document)
    finally:
        close_old_connections()
    defaults = built_in_defaults()
    return _limits(defaults) if version.endswith(defaults.version) else None


def _names(version: str) -> Iterator[str]:
    """Where it may be found; a replay may go by a version that is long over."""
    yield from (ACTIVE, settings.ENVIRONMENT.trading_config, "default")
    try:
        number = number_of_content(version)
    except DatabaseError:
        return
    if number is not None:
        yield f"v{number}"


def _document(name: str) -> ConfigDocument | None:
    try:
        return load_config(name)
    except (BadConfigDocument, DatabaseError, OSError):
        return None  # its own service says what is wrong with it


def _limits(document: ConfigDocument) -> LimitsSeen:
    symbols = {
        symbol: shown_limits(_as_json({**document.sections, **own}))
        for symbol, own in document.symbols.items()
    }
    return LimitsSeen(shown_limits(_as_json(document.sections)), symbols)


def _as_json(sections: dict[str, msgspec.Struct]) -> dict[str, dict[str, object]]:
    content: dict[str, dict[str, object]] = msgspec.to_builtins(sections)
    return content
