"""Which symbols overrides may name: asked of the app that knows instruments, when it knows any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from django.db import DatabaseError

logger = logging.getLogger(__name__)

SymbolSource = Callable[[], Collection[str]]
_sources: dict[str, SymbolSource] = {}


def register_symbol_source(name: str, source: SymbolSource) -> None:
    """`source` is called when a document is judged; it may raise DatabaseError."""
    _sources[name] = source


def known_symbols() -> frozenset[str]:
    """All names any source knows; empty (anything goes) when none can tell."""
    names: set[str] = set()
    for name, source in _sources.items():
        try:
            names |= {*source()}
        except DatabaseError as error:
            logger.warning("symbols_unknown", extra={"source": name, "reason": str(error)})
    return frozenset(names)
