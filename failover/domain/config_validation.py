"""Every error of one section, field by field: the library alone stops at the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from failover.domain.config_sections import ConfigError, field_extra, struct_fields, struct_in


def section_errors(
    path: str, value: Any, struct_type: type[msgspec.Struct]
) -> Iterator[ConfigError]:
    """All that is wrong with a whole section, contradictions of its fields included."""
    if not isinstance(value, dict):
        yield ConfigError(path, "not a JSON object")
        return
    fields = {field.encode_name: field for field in struct_fields(struct_type)}
    yield from _unknown(path, value, fields)
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


def override_errors(
    path: str, value: Any, struct_type: type[msgspec.Struct]
) -> Iterator[ConfigError]:
    """All that is wrong with the fields of an override, each for itself."""
    if not isinstance(value, dict):
        yield ConfigError(path, "not a JSON object")
        return
    fields = {field.encode_name: field for field in struct_fields(struct_type)}
    yield from _unknown(path, value, fields)
    for name, each in value.items():
        if name not in fields:
            continue
        inner = struct_in(fields[name].type)
        if field_extra(fields[name].type).get("accountWide"):
            yield ConfigError(f"{path}.{name}", "holds for the whole account, not for one symbol")
        elif inner is not None and isinstance(each, dict):
            yield from override_errors(f"{path}.{name}", each, inner)
        else:
            yield from _field_errors(f"{path}.{name}", each, fields[name].type)


def symbol_names(path: str, section: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """(path, name) of each symbol that fields marked `SYMBOL_NAMES` name, other than by default."""
    for field in struct_fields(type(section)):
        held, inner = getattr(section, field.name), f"{path}.{field.encode_name}"
        if held == field.default:
            continue
        each = [(inner, held)]
        if isinstance(held, tuple):
            each = [(f"{inner}[{index}]", item) for index, item in enumerate(held)]
        for place, item in each:
            if isinstance(item, msgspec.Struct):
                yield from symbol_names(place, item)
            elif field_extra(field.type).get("symbolNames"):
                yield place, item


def merged(base: Any, override: Any) -> Any:
    """`base` with the fields that `override` names; objects are merged, all else replaced."""
    if not (isinstance(base, dict) and isinstance(override, dict)):
        return override
    return {**base, **{name: merged(base.get(name), each) for name, each in override.items()}}


def _unknown(path: str, value: dict[str, Any], fields: dict[str, Any]) -> Iterator[ConfigError]:
    for name in value:
        if name not in fields:
            yield ConfigError(f"{path}.{name}", "unknown field")


def _field_errors(path: str, value: Any, field_type: Any) -> Iterator[ConfigError]:
    inner = struct_in(field_type)
    if inner is not None and isinstance(value, dict):
        yield from section_errors(path, value, inner)
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
    return ConfigError(f"{path}{place.removesuffix('`')}", reason)
