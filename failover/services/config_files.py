"""Finds the configured document: a built-in one by name, or a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from failover.domain.config import (
    SECTIONS,
    ConfigDocument,
    ConfigError,
    SectionRegistry,
    load_document,
)


class BadConfigDocument(Exception):
    """Do not start: correct the document. `errors` holds every path and reason."""

    def __init__(self, name: str, errors: list[ConfigError]) -> None:
        super().__init__(f"config {name}: " + "; ".join(map(str, errors)))
        self.errors = errors


def load_configured(settings: Any, registry: SectionRegistry = SECTIONS) -> ConfigDocument:
    """The document that TRADING_CONFIG names. Raises: BadConfigDocument."""
    return load_named(settings.ENVIRONMENT.trading_config, settings.TRADING_PROFILES_DIR, registry)


def load_named(name: str, folder: Path, registry: SectionRegistry = SECTIONS) -> ConfigDocument:
    """A built-in document (`default`, `demo`) or a path. Raises: BadConfigDocument with every error."""
    document, errors = _read(_path(name, folder), registry)
    if document is None:
        raise BadConfigDocument(name, errors)
    return document


def built_in_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json"))


def _path(name: str, folder: Path) -> Path:
    return folder / f"{name}.json" if name in built_in_names(folder) else Path(name)


def _read(path: Path, registry: SectionRegistry) -> tuple[ConfigDocument | None, list[ConfigError]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return None, [ConfigError("", f"{path} cannot be read: {error.strerror}")]
    return load_document(content, registry)
