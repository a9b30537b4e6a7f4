"""The trading config: all errors at once, or a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from failover.domain.config import ConfigError, SectionRegistry, load_document
from failover.domain.config_sections import SYMBOL_NAMES


class Inner(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    weight_bps: Annotated[float, Meta(ge=-5, le=5)] = 1.0


class First(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    depth_levels: Annotated[int, Meta(ge=1, le=200)] = 50
    inner: Inner = Inner()
    maybe: Inner | None = None
    steps: tuple[Annotated[int, Meta(gt=0)], ...] = ()


class Second(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    must_say: int
    low: int = 1
    high: int = 2

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Group(Struct, frozen=True, kw_only=True):
    symbols: Annotated[tuple[str, ...], Meta(extra=SYMBOL_NAMES)]


class Naming(Struct, frozen=True, kw_only=True):
    leader: Annotated[str, Meta(extra=SYMBOL_NAMES)] = "BTCUSDT"
    groups: tuple[Group, ...] = ()
    note: str = ""


def registry() -> SectionRegistry:
    made = SectionRegistry()
    made.register("second", Second)
    made.register("first", First, per_symbol=True)
    return made


def deeper_than_high(first: First, second: Second) -> Iterator[ConfigError]:
    if first.depth_levels > second.high and first.depth_levels < 50:
        yield ConfigError("first.depthLevels", f"{first.depth_levels} is above high {second.high}")


def errors_of(document: object) -> list[tuple[str, str]]:
    loaded, errors = load_document(msgspec.json.encode(document), registry())
    assert loaded is None
    return [(error.path, error.reason) for error in errors]


def test_what_is_left_out_has_its_default() -> None:
    loaded, errors = load_document(b'{"second": {"mustSay": 1}}', registry())

    assert errors == []
    assert loaded is not None
    assert loaded["first"] == First()
    assert loaded["second"].must_say == 1


def test_every_error_is_told_with_its_path() -> None:
    document = {
        "first": {
            "depthLevels": 0,
            "depth_levels": 5,
            "inner": {"weightBps": 9, "x": 1},
            "maybe": {"weightBps": "much"},
            "steps": [1, 0],
        },
        "second": {"low": "one"},
        "third": {},
    }

    found = errors_of(document)

    assert [path for path, _ in found] == [
        "first.depthLevels",
        "first.depth_levels",
        "first.inner.weightBps",
        "first.inner.x",
        "first.maybe.weightBps",
        "first.steps[1]",
        "second.low",
        "second.mustSay",
        "third",
    ]
    reasons = dict(found)
    assert reasons["first.depthLevels"] == "Expected `int` >= 1"
    assert reasons["second.mustSay"] == "missing"
    assert reasons["third"] == "unknown section; there are first, second, symbols"


def test_fields_that_contradict_each_other_are_an_error_of_their_section() -> None:
    document = {"second": {"mustSay": 1, "low": 3}}

    assert errors_of(document) == [("second", "low is above high")]


def test_contradictions_are_told_beside_errors_of_other_fields() -> None:
    made = registry()
    made.add_check(("first", "second"), deeper_than_high)

    def found(document: object) -> list[str]:
        _, errors = load_document(msgspec.json.encode(document), made)
        return [str(error) for error in errors]

    wrong = {"first": {"depthLevels": 9, "steps": [0]}, "second": {"mustSay": 1}}
    assert found(wrong) == [
        "first.depthLevels: 9 is above high 2",
        "first.steps[0]: Expected `int` >= 1",
    ]
    assert found({"first": {"depthLevels": 9}, "second": {"mustSay": 1, "high": "x"}}) == [
        "second.high: Expected `int`, got `str`"
    ]


def test_an_override_is_laid_over_the_base_and_judged_as_a_whole() -> None:
    made = SectionRegistry()
    made.register("second", Second, per_symbol=True)
    made.register("first", First)
    base = {"mustSay": 1, "low": 2, "high": 5}

    def load(symbols: object) -> tuple[Any, list[str]]:
        content = msgspec.json.encode({"second": base, "symbols": symbols})
        loaded, errors = load_document(content, made, {"BTCUSDT", "XRPUSDT"})
        return loaded, [str(error) for error in errors]

    loaded, errors = load({"XRPUSDT": {"second": {"low": 4}}})
    assert errors == []
    assert loaded.for_symbol("XRPUSDT")["second"] == Second(must_say=1, low=4, high=5)
    assert loaded.for_symbol("BTCUSDT")["second"] == loaded["second"]
    assert load({"XRPUSDT": {"second": {"low": 6}}})[1] == [
        "symbols.XRPUSDT.second: low is above high"
    ]
    assert load({"XRPUSDT": {"first": {}, "third": {}}, "XRPUSD": {}, "a": 1})[1] == [
        "symbols.XRPUSD: unknown symbol; known are XRPUSDT",
        "symbols.XRPUSDT.first: cannot differ by symbol; second can",
        "symbols.XRPUSDT.third: unknown section; there are second",
        "symbols.a: no symbol name, such as BTCUSDT",
        "symbols.a: not a JSON object of sections",
    ]


def test_symbols_that_fields_name_are_judged_like_those_of_overrides() -> None:
    made = SectionRegistry()
    made.register("naming", Naming)

    def found(document: object, *known: str) -> list[str]:
        _, errors = load_document(msgspec.json.encode({"naming": document}), made, known)
        return [str(error) for error in errors]

    wrong = {"leader": "<b>", "groups": [{"symbols": ["XRPUSDT", "XRPUSD"]}], "note": "x"}
    assert found(wrong, "XRPUSDT") == [
        "naming.groups[0].symbols[1]: unknown symbol; known are XRPUSDT",
        "naming.leader: no symbol name, such as BTCUSDT",
    ]
    assert found(wrong) == ["naming.leader: no symbol name, such as BTCUSDT"]
    assert found({"groups": [{"symbols": ["XRPUSDT"]}]}, "XRPUSDT") == []


def test_an_override_that_repeats_the_base_means_the_same() -> None:
    made = SectionRegistry()
    made.register("first", First, per_symbol=True)

    def version(text: bytes) -> str:
        loaded, _ = load_document(text, made)
        assert loaded is not None
        return loaded.version

    same = version(b'{"symbols": {"XRPUSDT": {"first": {"depthLevels": 50}}}}')

    assert same == version(b"{}")
    assert version(b'{"symbols": {"XRPUSDT": {"first": {"depthLevels": 51}}}}') != same


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"first": []}', b"\xff\xfe", b"NaN"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    loaded, errors = load_document(text, registry())

    assert loaded is None
    assert errors


def test_what_is_said_twice_is_refused_at_its_place() -> None:
    """Only the last of two equal names would hold, and nobody would know."""
    text = b"""{"second": {"mustSay": 1, "mustSay": 2}, "first": {"inner": {}, "inner": {}},
        "symbols": {"BTCUSDT": {}, "BTCUSDT": {}}, "second": {"mustSay": 1}}"""

    loaded, errors = load_document(text, registry())

    assert loaded is None
    assert [str(error) for error in errors] == [
        "first.inner: named twice",
        "second: named twice",
        "second.mustSay: named twice",
        "symbols.BTCUSDT: named twice",
    ]


NAMES = ["first", "second", "inner", "depthLevels", "steps", "maybe", "symbols", "BTCUSDT"]
KEYS = st.sampled_from(NAMES) | st.text()
TREES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(KEYS, each),
    max_leaves=12,
)


OVERRIDES = st.dictionaries(KEYS, st.dictionaries(KEYS, TREES, max_size=3), max_size=3).map(
    lambda symbols: {"second": {"mustSay": 1}, "symbols": symbols}
)


@given(st.binary(max_size=200) | (TREES | OVERRIDES).map(msgspec.json.encode))
def test_no_document_raises(document: bytes) -> None:
    """Either a document or errors, whatever comes in."""
    loaded, errors = load_document(document, registry())

    assert (loaded is None) == bool(errors)
    assert all(isinstance(error, ConfigError) for error in errors)


def test_the_version_names_the_meaning_and_not_the_spelling() -> None:
    def version(text: bytes) -> str:
        loaded, _ = load_document(text, registry())
        assert loaded is not None
        return loaded.version

    base = version(b'{"second": {"mustSay": 1}}')

    assert version(b'{"first": {"depthLevels": 50},\n "second": {"mustSay": 1}}') == base
    assert version(b'{"first": {"depthLevels": 51}, "second": {"mustSay": 1}}') != base


def test_a_name_belongs_to_one_type() -> None:
    made = registry()
    made.register("first", First)

    with pytest.raises(ValueError, match="first"):
        made.register("first", Second)
