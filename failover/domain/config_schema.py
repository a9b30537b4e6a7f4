"""What every field of the trading config is, in words and ranges: forms, the API and the manual show it.

Taken from the struct types alone; the unit is what the field's name ends with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import inspect

from failover.domain.config_sections import SECTIONS, SectionRegistry

Kind = Literal["INTEGER", "NUMBER", "TEXT", "SWITCH", "CHOICE", "JSON"]

# longest first: `_usdt` before `_usd`
_UNITS = {
    "_ms": "ms", "_s": "s", "_ns": "ns", "_bps": "bps", "_pct": "%", "_usdt": "USDT", "_usd": "USD",
    "_ticks": "ticks", "_lots": "lots", "_levels": "levels",
}  # fmt: skip


class FieldSchema(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One field. `path` is `section.field` (or `section.group.field`); a bound that is None does not hold."""

    path: str
    kind: Kind
    description: str
    unit: str
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    restart_only: bool = False
    per_symbol: bool = False

    @property
    def range_text(self) -> str:
        """`0 to 100`, `> 0`, `at least 1`; empty without bounds."""
        low = "" if self.minimum is None else f"at least {self.minimum:g}"
        low = low if self.above is None else f"above {self.above:g}"
        high = "" if self.maximum is None else f"at most {self.maximum:g}"
        high = high if self.below is None else f"below {self.below:g}"
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        return ", ".join(part for part in (low, high) if part)


def section_fields(registry: SectionRegistry = SECTIONS) -> dict[str, list[FieldSchema]]:
    """The fields of each section, in the order the struct names them."""
    return {
        name: [*_fields(name, struct_type, registry.is_per_symbol(name))]
        for name, struct_type in registry.types().items()
    }


def _fields(
    path: str,
    struct_type: type[msgspec.Struct],
    per_symbol: bool,
    inherited: dict[str, Any] | None = None,
) -> Iterator[FieldSchema]:
    described = inspect.type_info(struct_type)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        inner_type, description, extra = _unwrapped(field.type)
        marks = {**(inherited or {}), **extra}
        inner_path = f"{path}.{field.encode_name}"
        if isinstance(inner_type, inspect.StructType):
            yield from _fields(inner_path, inner_type.cls, per_symbol, marks)
            continue
        yield FieldSchema(
            path=inner_path,
            description=description,
            unit=_unit_of(field.name),
            default=_default_of(field),
            restart_only=bool(marks.get("restartOnly")),
            per_symbol=per_symbol and not marks.get("accountWide"),
            **_kind_and_range(inner_type),
        )


def _unwrapped(described: inspect.Type) -> tuple[inspect.Type, str, dict[str, Any]]:
    """The type inside its metadata, with what the metadata says."""
    description = ""
    extra: dict[str, Any] = {}
    while isinstance(described, inspect.Metadata):
        description = (described.extra_json_schema or {}).get("description", description)
        extra = {**extra, **(described.extra or {})}
        described = described.type
    return described, description, extra


def _kind_and_range(described: inspect.Type) -> dict[str, Any]:
    if isinstance(described, inspect.IntType | inspect.FloatType):
        return {
            "kind": "INTEGER" if isinstance(described, inspect.IntType) else "NUMBER",
            "minimum": described.ge,
            "maximum": described.le,
            "above": described.gt,
            "below": described.lt,
        }
    if isinstance(described, inspect.BoolType):
        return {"kind": "SWITCH"}
    if isinstance(described, inspect.StrType):
        return {"kind": "TEXT", "pattern": described.pattern}
    if isinstance(described, inspect.LiteralType):
        return {"kind": "CHOICE", "choices": tuple(str(value) for value in described.values)}
    if isinstance(described, inspect.EnumType):
        return {"kind": "CHOICE", "choices": tuple(str(each.value) for each in described.cls)}
    return {"kind": "JSON"}


def _default_of(field: inspect.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return None


def _unit_of(name: str) -> str:
    bare = re.sub(r"\d+$", "", name)
    return next((unit for ending, unit in _UNITS.items() if bare.endswith(ending)), "")
