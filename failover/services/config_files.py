"""Finds the configured document: a built-in one by name, or a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from failover.domain.config import (
    SECTIONS,
    BadConfigDocument,
    ConfigDocument,
    ConfigError,
    SectionRegistry,
    load_document,
)

__all__ = ["BadConfigDocument", "built_in_names", "load_configured", "load_named", "read_document"]


def load_configured(settings: Any, registry: SectionRegistry = SECTIONS) -> ConfigDocument:
    """The document that TRADING_CONFIG names. Raises: BadConfigDocument."""
    return load_named(settings.ENVIRONMENT.trading_config, settings.TRADING_PROFILES_DIR, registry)


def load_named(name: str, folder: Path, registry: SectionRegistry = SECTIONS) -> ConfigDocument:
    """A built-in document (`default`, `demo`) or a path. Raises: BadConfigDocument with every error."""
    document, errors = load_document(read_document(name, folder), registry)
    if document is None:
        raise BadConfigDocument(name, errors)
    return document


def read_document(name: str, folder: Path) -> bytes:
    """The bytes of a built-in document or a file. Raises: BadConfigDocument when they cannot be read."""
    known = built_in_names(folder)
    path = folder / f"{name}.json" if name in known else Path(name)
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"{error.strerror}: name a JSON file or one of {', '.join(known)}"
        raise BadConfigDocument(name, [ConfigError("", reason)]) from error


def built_in_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json"))
