"""The trading config: all errors at once, or a document."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from failover.domain.config import ConfigError, SectionRegistry, load_document


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


def registry() -> SectionRegistry:
    made = SectionRegistry()
    made.register("second", Second)
    made.register("first", First)
    return made


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


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"first": []}', b"\xff\xfe", b"NaN"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    loaded, errors = load_document(text, registry())

    assert loaded is None
    assert errors


KEYS = st.sampled_from(["first", "second", "inner", "depthLevels", "steps", "maybe"]) | st.text()
TREES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(KEYS, each),
)


@given(st.binary(max_size=200) | TREES.map(msgspec.json.encode))
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
