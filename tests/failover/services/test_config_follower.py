"""What a service runs on while versions change under it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from failover.domain.config import ConfigError, SectionRegistry, content_version
from failover.domain.config_sections import RESTART_ONLY
from failover.domain.config_versions import ActiveConfig, StoredVersion, text_digest, use_stored
from failover.services.config_follower import ConfigFollower


class Inner(Struct, frozen=True, kw_only=True, rename="camel"):
    seed: Annotated[int, Meta(extra=RESTART_ONLY)] = 1
    gain: int = 1


class Section(Struct, frozen=True, kw_only=True, rename="camel"):
    grid_ms: Annotated[int, Meta(ge=1, extra=RESTART_ONLY)] = 100
    limit: Annotated[int, Meta(ge=1)] = 5
    inner: Inner = Inner()


def registry() -> SectionRegistry:
    made = SectionRegistry()
    made.register("one", Section, per_symbol=True)
    return made


def stored(sequence: int, text: str = "{}", *, number: int = 0) -> StoredVersion:
    return StoredVersion(
        sequence=sequence, number=number or sequence, document=text, digest=text_digest(text)
    )


def following(first: StoredVersion) -> ConfigFollower:
    config = use_stored(first, registry())
    return ConfigFollower(config, registry=registry(), seen=first)


def test_a_new_activation_is_told_once() -> None:
    follower = following(stored(1))
    second = stored(2, '{"one":{"limit":7}}')

    config = follower.offer(second)

    assert config is not None
    assert config.document["one"].limit == 7
    assert follower.offer(second) is None
    assert follower.details()["configActivation"] == 2


def test_what_is_older_than_what_holds_is_passed_over() -> None:
    """The look into the database may have begun before the news came over the bus."""
    follower = following(stored(2))

    assert follower.offer(stored(1, '{"one":{"limit":7}}')) is None
    assert follower.offer(None) is None


def test_restart_only_fields_stay_and_are_named_until_they_agree_again() -> None:
    follower = following(stored(1))

    config = follower.offer(
        stored(2, '{"one":{"gridMs":50,"limit":7,"inner":{"seed":2,"gain":3}},'
                  '"symbols":{"XRPUSDT":{"one":{"limit":8}}}}')
    )  # fmt: skip

    assert config is not None
    one, own = config.document["one"], config.document.for_symbol("XRPUSDT")["one"]
    assert (one.grid_ms, one.limit, one.inner) == (100, 7, Inner(seed=1, gain=3))
    assert (own.grid_ms, own.limit, own.inner) == (100, 8, Inner(seed=1, gain=3))
    assert follower.needs_restart == ("one.gridMs", "one.inner.seed")
    follower.offer(stored(3, '{"one":{"limit":7}}'))
    assert follower.needs_restart == ()


def test_what_runs_between_two_versions_has_a_name_of_its_own() -> None:
    follower = following(stored(1))
    second = stored(2, '{"one":{"gridMs":50,"limit":7}}')

    config = follower.offer(second)

    assert config is not None
    running = config.document
    assert running.version == content_version(running.sections, running.symbols)
    saved = use_stored(second, registry()).document.version
    assert running.version != saved
    assert follower.details()["configSavedAs"] == saved


def test_nothing_changes_before_a_restart_where_a_mix_would_contradict_itself() -> None:
    """Both versions are sound; the old grid with the new limit is not."""

    def limit_within_grid(one: Section) -> Iterator[ConfigError]:
        if one.limit > one.grid_ms:
            yield ConfigError("one.limit", "above gridMs")

    made = registry()
    made.add_check(("one",), limit_within_grid)
    first = stored(1, '{"one":{"inner":{"gain":4}}}')
    follower = ConfigFollower(use_stored(first, made), registry=made, seen=first)
    before = follower.config.document

    config = follower.offer(stored(2, '{"one":{"gridMs":1000,"limit":500}}'))

    assert config is not None
    assert config.document == before
    assert follower.needs_restart == ("one.gridMs", "one.inner.gain", "one.limit")
    overridden = '{"one":{"gridMs":1000},"symbols":{"XRPUSDT":{"one":{"limit":500}}}}'
    config = follower.offer(stored(3, overridden))
    assert config is not None
    assert config.document == before
    follower.offer(stored(4, '{"one":{"limit":7}}'))
    assert follower.needs_restart == ()


def test_an_active_version_that_cannot_be_used_gives_way_to_the_defaults(
    caplog: pytest.LogCaptureFixture,
) -> None:
    follower = following(stored(1, '{"one":{"limit":7}}'))

    with caplog.at_level(logging.CRITICAL):
        config = follower.offer(stored(2, '{"one":{"limit":0}}'))

    assert config is not None
    assert config.is_invalid
    assert config.document["one"].limit == 5
    assert [record.message for record in caplog.records] == ["config_invalid"]
    assert "one.limit" in follower.details()["configProblem"]


def test_a_document_changed_under_its_activation_is_noticed() -> None:
    first = stored(1, '{"one":{"limit":7}}')
    follower = following(first)

    config = follower.offer(msgspec.structs.replace(first, document='{"one":{"limit":9}}'))

    assert config is not None
    assert "changed after it was saved" in config.problem


def test_a_service_pinned_to_a_document_is_deaf_to_activations() -> None:
    first = use_stored(stored(1), registry())
    follower = ConfigFollower(ActiveConfig(document=first.document), pinned=True)

    assert follower.offer(stored(2, '{"one":{"limit":7}}')) is None
