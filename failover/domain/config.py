"""The trading config as one document of sections, each with a schema its app registered.

    {"market": {"staleBookMs": 6000}, "risk": {"maxPositions": 2},
     "symbols": {"BTCUSDT": {"strategy": {"entryScore": 75}}}}

A section left out has its defaults; `symbols` overrides single fields for one symbol. Everything wrong is
told at once, each with path and reason; a document with any error gives no sections at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from failover.domain.config_sections import SECTIONS, ConfigError, SectionRegistry
from failover.domain.config_validation import (
    merged,
    override_errors,
    section_errors,
    symbol_names,
)
from failover.domain.strict_json import decode_strictly

__all__ = [
    "SECTIONS",
    "SYMBOLS",
    "BadConfigDocument",
    "ConfigDocument",
    "ConfigError",
    "SectionRegistry",
    "content_version",
    "load_document",
]

SYMBOLS = "symbols"
_SYMBOL_NAME = re.compile(r"[A-Z0-9]{2,30}")


class BadConfigDocument(Exception):
    """Do not use the document: correct it. `errors` holds every path and reason."""

    def __init__(self, name: str, errors: list[ConfigError]) -> None:
        super().__init__(f"config {name} is refused: " + "; ".join(map(str, errors)))
        self.name = name
        self.errors = errors

    @property
    def reasons(self) -> list[str]:
        return [str(error) for error in self.errors]


class ConfigDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document without errors: a struct for each registered section, and a name for its content.

    `symbols` holds, for each symbol with overrides, its sections that can differ by symbol, resolved.
    """

    sections: dict[str, Any]
    version: str
    symbols: dict[str, dict[str, Any]] = {}

    def __getitem__(self, section: str) -> Any:
        return self.sections[section]

    def for_symbol(self, symbol: str) -> dict[str, Any]:
        """All sections as they hold for `symbol`."""
        return {**self.sections, **self.symbols.get(symbol, {})}


def load_document(
    document: bytes,
    registry: SectionRegistry = SECTIONS,
    known_symbols: Collection[str] = (),
) -> tuple[ConfigDocument | None, list[ConfigError]]:
    """The document, or None and every error in it, in order of path.

    `known_symbols`: names that overrides and fields may use; any well-formed one when empty.
    """
    try:
        raw = msgspec.json.decode(document)
        _, faults = decode_strictly(document.decode())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return None, [ConfigError("", f"not JSON: {error}")]
    if not isinstance(raw, dict):
        return None, [ConfigError("", "not a JSON object of sections")]
    reading = _Reading(raw, registry, known_symbols)
    reading.errors += [ConfigError(fault.path, fault.reason) for fault in faults]
    if reading.errors:
        return None, sorted(set(reading.errors))
    version = content_version(reading.sections, reading.symbols)
    return ConfigDocument(sections=reading.sections, symbols=reading.symbols, version=version), []


def content_version(
    sections: dict[str, Any], symbols: dict[str, dict[str, Any]] | None = None
) -> str:
    """Twelve hex digits of what the document says, defaults included: same meaning, same version."""
    differing = {
        symbol: {name: each for name, each in own.items() if each != sections[name]}
        for symbol, own in (symbols or {}).items()
    }
    differing = {symbol: own for symbol, own in differing.items() if own}
    content: Any = [sections, differing] if differing else sections
    encoded = msgspec.json.encode(content, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=6).hexdigest()


class _Reading:
    """One pass over a raw document: `sections` and `symbols` that hold, `errors` of all the rest."""

    def __init__(
        self, raw: dict[str, Any], registry: SectionRegistry, known_symbols: Collection[str]
    ) -> None:
        self._raw = raw
        self._registry = registry
        self._types = registry.types()
        self.sections: dict[str, Any] = {}
        self.symbols: dict[str, dict[str, Any]] = {}
        self.errors: list[ConfigError] = [*self._unknown_sections()]
        repaired: dict[str, Any] = {}  # sections without their wrong fields
        for name, struct_type in self._types.items():
            found = [*section_errors(name, raw.get(name, {}), struct_type)]
            self.errors += found
            if not found:
                self.sections[name] = msgspec.convert(raw.get(name, {}), struct_type)
            elif (rest := self._without_wrong_fields(name, struct_type, found)) is not None:
                repaired[name] = rest
        sound = {**self.sections, **repaired}
        for name, section in sound.items():
            for path, symbol in symbol_names(name, section):
                self.errors += _name_errors(path, symbol, known_symbols)
        base_errors = [*registry.contradictions(sound)]
        self.errors += _not_about(_wrong_fields(self.errors), base_errors)
        self._read_symbols(known_symbols, {(error.path, error.reason) for error in base_errors})

    def _without_wrong_fields(
        self, name: str, struct_type: type[msgspec.Struct], found: list[ConfigError]
    ) -> Any:
        """The section with defaults where it is wrong, so that all that contradicts is told at once."""
        value = self._raw.get(name)
        if not isinstance(value, dict):
            return None
        wrong = {
            error.path.removeprefix(f"{name}.").partition(".")[0].partition("[")[0]
            for error in found
        }
        kept = {field: each for field, each in value.items() if field not in wrong}
        more = [*section_errors(name, kept, struct_type)]
        self.errors += _not_about(_wrong_fields(found), more)
        return None if more else msgspec.convert(kept, struct_type)

    def _unknown_sections(self) -> Iterator[ConfigError]:
        known = ", ".join([*self._types, SYMBOLS])
        for name in self._raw:
            if name not in self._types and name != SYMBOLS:
                yield ConfigError(name, f"unknown section; there are {known}")

    def _read_symbols(
        self, known_symbols: Collection[str], base_errors: set[tuple[str, str]]
    ) -> None:
        symbols = self._raw.get(SYMBOLS, {})
        if not isinstance(symbols, dict):
            self.errors.append(ConfigError(SYMBOLS, "not a JSON object of symbols"))
            return
        for symbol, overrides in symbols.items():
            path = f"{SYMBOLS}.{symbol[:40]}"
            found = [*_name_errors(path, symbol, known_symbols)]
            found += self._override_errors(path, overrides)
            if not found:
                found += self._resolve(path, symbol, overrides, base_errors)
            self.errors += found

    def _override_errors(self, path: str, overrides: Any) -> Iterator[ConfigError]:
        if not isinstance(overrides, dict):
            yield ConfigError(path, "not a JSON object of sections")
            return
        able = [name for name in self._types if self._registry.is_per_symbol(name)]
        for name, each in overrides.items():
            if name in able:
                yield from override_errors(f"{path}.{name}", each, self._types[name])
            elif name in self._types:
                yield ConfigError(f"{path}.{name}", f"cannot differ by symbol; {_list(able)} can")
            else:
                yield ConfigError(f"{path}.{name}", f"unknown section; there are {_list(able)}")

    def _resolve(
        self, path: str, symbol: str, overrides: dict[str, Any], base_errors: set[tuple[str, str]]
    ) -> Iterator[ConfigError]:
        """Lay the overrides over the base, and judge what comes out as a whole."""
        own = {n: each for n, each in self.sections.items() if self._registry.is_per_symbol(n)}
        for name, override in overrides.items():
            if name not in self.sections:
                continue  # the base section's own errors are told already
            whole = merged(self._raw.get(name, {}), override)
            found = [*section_errors(f"{path}.{name}", whole, self._types[name])]
            yield from found
            if found:
                return
            own[name] = msgspec.convert(whole, self._types[name])
        for error in self._registry.contradictions({**self.sections, **own}):
            if (error.path, error.reason) not in base_errors:
                yield ConfigError(f"{path}.{error.path}", error.reason)
        self.symbols[symbol] = own


def _name_errors(path: str, symbol: str, known_symbols: Collection[str]) -> Iterator[ConfigError]:
    if not _SYMBOL_NAME.fullmatch(symbol):
        yield ConfigError(path, "no symbol name, such as BTCUSDT")
    elif known_symbols and symbol not in known_symbols:
        near = sorted(name for name in known_symbols if name[:2] == symbol[:2])
        some = near or sorted(known_symbols)
        yield ConfigError(path, f"unknown symbol; known are {_list(some[:8])}")


def _wrong_fields(errors: list[ConfigError]) -> set[str]:
    """The last name of each path: what is wrong by itself."""
    return {error.path.rpartition(".")[2].partition("[")[0] for error in errors}


def _not_about(wrong: set[str], contradictions: list[ConfigError]) -> list[ConfigError]:
    """A contradiction names its fields; with one of them wrong in itself it is no news yet."""
    return [
        error
        for error in contradictions
        if not wrong & {*re.findall(r"\w+", f"{error.path} {error.reason}")}
    ]


def _list(names: list[str]) -> str:
    return ", ".join(names)
