"""The trading config as one document of sections, each with a schema its app registered.

    {"market": {"staleBookMs": 6000}, "risk": {"maxPositions": 2}}

A section left out has its defaults. Everything wrong is told at once, each with path and reason; a document
with any error gives no sections at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, get_args

import msgspec


class ConfigError(msgspec.Struct, frozen=True, order=True):
    """Where (`risk.maxPositions`, or "" for the document) and what is wrong."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'document'}: {self.reason}"


class ConfigDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document without errors: a struct for each registered section, and a name for its content."""

    sections: dict[str, Any]
    version: str

    def __getitem__(self, section: str) -> Any:
        return self.sections[section]


class SectionRegistry:
    """Section names and their struct types; apps register theirs in `AppConfig.ready`."""

    def __init__(self) -> None:
        self._types: dict[str, type[msgspec.Struct]] = {}

    def register(self, name: str, struct_type: type[msgspec.Struct]) -> None:
        """Raises: ValueError when the name is another type's already."""
        if self._types.setdefault(name, struct_type) is not struct_type:
            raise ValueError(f"config section {name} is registered twice")

    def types(self) -> dict[str, type[msgspec.Struct]]:
        """In the order of their names, so that nothing depends on the order of registering."""
        return dict(sorted(self._types.items()))


SECTIONS = SectionRegistry()


def load_document(
    document: bytes, registry: SectionRegistry = SECTIONS
) -> tuple[ConfigDocument | None, list[ConfigError]]:
    """The document, or None and every error in it, in order of path."""
    try:
        raw = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, [ConfigError("", f"not JSON: {error}")]
    if not isinstance(raw, dict):
        return None, [ConfigError("", "not a JSON object of sections")]
    types = registry.types()
    known = ", ".join(types)
    errors = [
        ConfigError(name, f"unknown section; there are {known}")
        for name in raw
        if name not in types
    ]
    for name, struct_type in types.items():
        errors += _errors(name, raw.get(name, {}), struct_type)
    if errors:
        return None, sorted(errors)
    sections = {name: msgspec.convert(raw.get(name, {}), kind) for name, kind in types.items()}
    return ConfigDocument(sections=sections, version=content_version(sections)), []


def content_version(sections: dict[str, Any]) -> str:
    """Twelve hex digits of what the sections say, defaults included: same meaning, same version."""
    content = msgspec.json.encode(sections, order="deterministic")
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _errors(path: str, value: Any, struct_type: type[msgspec.Struct]) -> Iterator[ConfigError]:
    """Field by field, because the library stops at the first error of a struct."""
    if not isinstance(value, dict):
        yield ConfigError(path, "not a JSON object")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct_type)}
    for name in value:
        if name not in fields:
            yield ConfigError(f"{path}.{name}", "unknown field")
    found = False
    for name, field in fields.items():
        if name in value:
            for error in _field_errors(f"{path}.{name}", value[name], field.type):
                found = True
                yield error
        elif field.required:
            found = True
            yield ConfigError(f"{path}.{name}", "missing")
    if not found:
        yield from _whole_errors(path, {n: value[n] for n in value if n in fields}, struct_type)


def _field_errors(path: str, value: Any, field_type: Any) -> Iterator[ConfigError]:
    inner = _struct_in(field_type)
    if inner is not None and isinstance(value, dict):
        yield from _errors(path, value, inner)
        return
    try:
        msgspec.convert(value, field_type)
    except msgspec.ValidationError as error:
        yield _placed(path, error)


def _whole_errors(
    path: str, value: dict[str, Any], struct_type: type[msgspec.Struct]
) -> Iterator[ConfigError]:
    """What only `__post_init__` sees: fields that contradict each other."""
    try:
        msgspec.convert(value, struct_type)
    except msgspec.ValidationError as error:
        yield _placed(path, error)


def _placed(path: str, error: Exception) -> ConfigError:
    """msgspec says `Expected … - at `$.a[0]``; the place inside goes into the path."""
    reason, _, place = str(error).partition(" - at `$")
    inside = place.removesuffix("`")
    return ConfigError(f"{path}{inside}", reason)


def _struct_in(field_type: Any) -> type[msgspec.Struct] | None:
    """The struct a field holds, also as `Struct | None`."""
    for each in (field_type, *get_args(field_type)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None
