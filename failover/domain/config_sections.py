"""Which sections a trading config has: each app registers the struct of its own, and what must fit together.

    SECTIONS.register("risk", RiskConfig, per_symbol=True)
    SECTIONS.add_check(("risk", "execution"), fees_agree)

A field says more of itself by `Meta(extra=…)`: `RESTART_ONLY` for what a running service cannot change,
`ACCOUNT_WIDE` for what cannot differ by symbol, `SYMBOL_NAMES` for a symbol or several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec

RESTART_ONLY = {"restartOnly": True}
ACCOUNT_WIDE = {"accountWide": True}
SYMBOL_NAMES = {"symbolNames": True}


class ConfigError(msgspec.Struct, frozen=True, order=True):
    """Where (`risk.maxPositions`, or "" for the document) and what is wrong."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'document'}: {self.reason}"


Check = Callable[..., Iterable[ConfigError]]


class SectionRegistry:
    """Section names and their struct types; apps register theirs in `AppConfig.ready`."""

    def __init__(self) -> None:
        self._types: dict[str, type[msgspec.Struct]] = {}
        self._per_symbol: set[str] = set()
        self._checks: list[tuple[tuple[str, ...], Check]] = []

    def register(
        self, name: str, struct_type: type[msgspec.Struct], *, per_symbol: bool = False
    ) -> None:
        """`per_symbol`: single fields of it may be overridden under `symbols`.

        Raises: ValueError when the name is another type's already.
        """
        if self._types.setdefault(name, struct_type) is not struct_type:
            raise ValueError(f"config section {name} is registered twice")
        if per_symbol:
            self._per_symbol.add(name)

    def add_check(self, sections: tuple[str, ...], check: Check) -> None:
        """`check(*structs of these sections)` gives the errors between them, with whole paths.

        It runs once they have no error of their own, for the document and for each overridden symbol.
        """
        if (sections, check) not in self._checks:
            self._checks.append((sections, check))

    def types(self) -> dict[str, type[msgspec.Struct]]:
        """In the order of their names, so that nothing depends on the order of registering."""
        return dict(sorted(self._types.items()))

    def is_per_symbol(self, name: str) -> bool:
        return name in self._per_symbol

    def contradictions(self, sections: dict[str, Any]) -> Iterator[ConfigError]:
        """What the checks say of those sections that are there."""
        for names, check in self._checks:
            if all(name in sections for name in names):
                yield from check(*(sections[name] for name in names))


SECTIONS = SectionRegistry()


@cache
def struct_fields(struct_type: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """`msgspec.structs.fields`, which evaluates every annotation anew, once a type."""
    return msgspec.structs.fields(struct_type)


def field_extra(field_type: Any) -> dict[str, Any]:
    """What `Meta(extra=…)` says of a field; empty when nothing."""
    if get_origin(field_type) is not Annotated:
        return {}
    extra: dict[str, Any] = {}
    for meta in get_args(field_type)[1:]:
        extra |= getattr(meta, "extra", None) or {}
    return extra


def struct_in(field_type: Any) -> type[msgspec.Struct] | None:
    """The struct a field holds, also as `Struct | None`."""
    for each in (field_type, *get_args(field_type)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None
