"""The desk's whole state: a desk that goes on from it is the one that wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.frames import FrameReason, Frames
from strategy.domain.config import DecisionConfig
from strategy.domain.decision_desk import DecisionDesk, DeskOptions
from strategy.domain.journal_words import decode_config, decode_options, encode_outputs
from strategy.domain.messages import EventType, OrderRequest, StrategyOutput
from tests.strategy.builders import (
    STRONG_LONG,
    STRONG_SHORT,
    Feed,
    a_config,
    a_position,
    a_snapshot,
    an_event,
    an_instrument,
    balanced,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
QUICK = {"cooldown_s": 1, "entry_timeout_ms": 700, "exit_timeout_ms": 800, "arm_frames": 2}
Step = Callable[[DecisionDesk], list[StrategyOutput]]


def a_desk(**options: Any) -> DecisionDesk:
    return DecisionDesk(
        DeskOptions(run_id="s1", config=a_config(strategy=QUICK, loss_streak_pause_s=2), **options)
    )


def _frames(feed: Feed, rng: np.random.Generator) -> Frames:
    strength = rng.choice([0.0, 1.0, 1.0])
    side = STRONG_LONG if rng.random() < 0.7 else STRONG_SHORT
    rows = feed.frames(
        int(rng.integers(1, 9)), **{name: value * strength for name, value in side.items()}
    )
    rows["reason"][rng.random(len(rows)) < 0.1] = FrameReason.TRIGGER
    if rng.random() < 0.05:
        rows["ret5s"] = -400.0
    return rows


def a_story(seed: int, length: int = 120) -> list[Step]:
    """Inputs of every kind, in random order, as one run of the service takes them."""
    rng = np.random.default_rng(seed)
    feed = Feed(len(SYMBOLS))
    tables = [
        [an_instrument(name) for name in names] for names in (SYMBOLS, SYMBOLS[:2], SYMBOLS[::-1])
    ]
    steps: list[Step] = [_followed(tables[0]), _judged(balanced(feed, 3.0))]
    for number in range(length):
        kind = rng.random()
        if kind < 0.62:
            steps.append(_judged(_frames(feed, rng)))
        elif kind < 0.85:
            steps.append(_heard(_news(rng, feed.now_ns), feed.now_ns))
        elif kind < 0.9:
            steps.append(_configured(a_config(strategy=QUICK | {"cooldown_s": number % 3})))
        elif kind < 0.93:
            steps.append(_followed(tables[int(rng.integers(3))]))
            feed.restart()
        elif kind < 0.96:
            steps.append(_missed)
        else:
            steps.append(_heard([a_snapshot(feed.now_ns)], feed.now_ns))
    return steps


def _news(rng: np.random.Generator, now_ns: int) -> list[Any]:
    changes: dict[str, Any] = {"requests_stream_id": "99999-0"}
    if rng.random() < 0.2:
        changes["safe_mode_reasons"] = ("OPERATOR",)
    if rng.random() < 0.3:
        changes["positions"] = (a_position("BTCUSDT"),)
    if rng.random() < 0.1:
        changes["losses_in_row"] = 4
    news: list[Any] = [a_snapshot(now_ns, **changes)]
    if rng.random() < 0.3:
        news.append(an_event(EventType.EXECUTION_POSITION_CLOSED, now_ns, leg="STOP"))
    return news


def _judged(frames: Frames) -> Step:
    return lambda desk: desk.on_frames(frames)


def _heard(news: list[Any], now_ns: int) -> Step:
    return lambda desk: desk.on_news(news, now_ns)


def _configured(config: DecisionConfig) -> Step:
    return lambda desk: desk.on_config(config)


def _missed(desk: DecisionDesk) -> list[StrategyOutput]:
    desk.on_news_gap()
    return []


def _followed(table: list[Any]) -> Step:
    def follow(desk: DecisionDesk) -> list[StrategyOutput]:
        desk.on_table(table)
        return []

    return follow


def _told(desk: DecisionDesk, steps: list[Step]) -> list[bytes]:
    """Outputs step by step; each request is told where it went, as the service does."""
    told = []
    for number, step in enumerate(steps):
        outputs = step(desk)
        for output in outputs:
            if isinstance(output, OrderRequest) and output.plan:
                desk.note_written(output.request_id, f"{number}-0")
        told.append(encode_outputs(outputs))
    return told


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_desk_goes_on_from_its_state_as_if_nothing_had_been(seed: int, share: float) -> None:
    steps = a_story(seed)
    cut = round(share * len(steps))
    first, second = a_desk(), a_desk()
    _told(first, steps[:cut])

    second.restore(first.state())

    assert second.state() == first.state()
    assert _told(second, steps[cut:]) == _told(first, steps[cut:])
    assert second.state() == first.state()


def test_the_stories_contain_what_they_are_meant_to_prove() -> None:
    """Guards the test above: entries, closes and cancels do happen in them."""
    desks = [(a_desk(), a_story(seed)) for seed in range(6)]
    actions = {
        output.action
        for desk, steps in desks
        for step in steps
        for output in step(desk)
        if isinstance(output, OrderRequest)
    }

    assert actions >= {"OPEN", "CANCEL_ENTRY"}


def test_a_desk_of_some_symbols_goes_on_with_those_alone() -> None:
    steps = a_story(7)
    first, second = a_desk(only=("ETHUSDT",)), a_desk(only=("ETHUSDT",))
    _told(first, steps[:60])

    second.restore(first.state())

    assert _told(second, steps[60:]) == _told(first, steps[60:])
    assert second.core is not None
    assert set(second.core.states()) == {"ETHUSDT"}


def test_a_state_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="not readable"):
        a_desk().restore(b"\xc1")


def test_what_a_run_begins_with_comes_back_whole_from_its_journal() -> None:
    config = a_config(strategy={"cooldown_s": 2.5})
    options = DeskOptions(run_id="s1", config=config, only=("BTCUSDT",), earlier_requests_id="1-2")

    assert decode_options(msgspec.msgpack.encode(options)) == options
    assert decode_config(msgspec.msgpack.encode(config)) == config
