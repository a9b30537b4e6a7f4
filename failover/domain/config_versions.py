"""Versions of the trading config as values: what is active, and what differs between two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from failover.domain.config import SECTIONS, SYMBOLS, ConfigDocument, SectionRegistry, load_document
from failover.domain.config_sections import ConfigError

MAX_DOCUMENT_BYTES = 1 << 20


class ActiveConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a service runs on.

    `number` and `sequence` name the version and its activation, 0 when it came from a file. With `errors`
    the active version cannot be used (CONFIG_INVALID) and `document` holds the built-in defaults.
    """

    document: ConfigDocument
    number: int = 0
    sequence: int = 0
    errors: tuple[ConfigError, ...] = ()

    @property
    def is_invalid(self) -> bool:
        return bool(self.errors)

    @property
    def problem(self) -> str:
        """One line for lamps and logs; empty when all is well."""
        if not self.errors:
            return ""
        told = "; ".join(str(error) for error in self.errors[:5])
        return (
            f"CONFIG_INVALID: version {self.number} cannot be used, built-in defaults hold: {told}"
        )


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An activated version as it is written: row, bus message and file carry the same."""

    sequence: int
    number: int
    document: str
    digest: str


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One field that differs; a side without the field leaves its value out."""

    path: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


def canonical_text(document: bytes) -> str:
    """The same text for the same JSON, however it was spaced and ordered. Raises: msgspec.DecodeError."""
    return msgspec.json.encode(msgspec.json.decode(document), order="sorted").decode()


def text_digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def use_stored(stored: StoredVersion, registry: SectionRegistry = SECTIONS) -> ActiveConfig:
    """The version ready to run on; the built-in defaults and the reasons when it cannot be used."""
    document, errors = load_document(stored.document.encode(), registry)
    if text_digest(stored.document) != stored.digest:
        changed = ConfigError("", f"version {stored.number} was changed after it was saved")
        document, errors = None, [changed, *errors]
    if document is None:
        return ActiveConfig(
            document=built_in_defaults(registry),
            number=stored.number,
            sequence=stored.sequence,
            errors=tuple(errors),
        )
    return ActiveConfig(document=document, number=stored.number, sequence=stored.sequence)


def built_in_defaults(registry: SectionRegistry = SECTIONS) -> ConfigDocument:
    """What the code itself says, with nothing configured."""
    document, errors = load_document(b"{}", registry)
    if document is None:
        raise ValueError(f"the built-in defaults contradict each other: {errors}")
    return document


def resolved(document: ConfigDocument) -> dict[str, Any]:
    """Every value that holds, ready for JSON: sections, and under `symbols` the sections of each override."""
    content: dict[str, Any] = msgspec.to_builtins(document.sections)
    if document.symbols:
        content[SYMBOLS] = msgspec.to_builtins(document.symbols)
    return content


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Field by field, in order of path; what is no object is compared whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield Difference(path=path, before=before, after=after)
        return
    for name in sorted({*before, *after}):
        inner = f"{path}.{name}" if path else str(name)
        if name not in after:
            yield Difference(path=inner, before=before[name])
        elif name not in before:
            yield Difference(path=inner, after=after[name])
        else:
            yield from differences(before[name], after[name], inner)


def text_differences(
    before: str, after: str, registry: SectionRegistry = SECTIONS
) -> list[Difference]:
    """Between two documents: of every value that holds, or of what is written where one cannot be used."""
    sides = [load_document(text.encode(), registry)[0] for text in (before, after)]
    if sides[0] is not None and sides[1] is not None:
        return [*differences(resolved(sides[0]), resolved(sides[1]))]
    return [*differences(_written(before), _written(after))]


def _written(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
