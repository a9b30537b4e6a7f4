"""The pipeline's result is a function of the stream alone, and its parts hear things in their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.outputs import LogLine
from execution.domain.venue import OrderFilled, VenueUpdate
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from replay.domain.pipeline import Pipeline
from replay.services.simulate import Simulated
from strategy.domain.config import DecisionConfig
from strategy.domain.messages import OrderRequest

Runner = Callable[..., Simulated]


def test_the_market_used_here_makes_trades(reference: Simulated) -> None:
    """Else the tests below would prove little."""
    counts = reference.figures.counts
    assert len(reference.figures.trades) >= 1
    assert counts["fills"] >= 4
    assert counts["orders"] > counts["requests OPEN"] >= 2


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunk_sizes_change_nothing(
    run: Runner, market: EventChunk, reference: Simulated, size: int
) -> None:
    pieces = [market.slice(i, min(i + size, len(market))) for i in range(0, len(market), size)]

    assert run(pieces).digest == reference.digest


def test_the_same_input_gives_the_same_digest(
    run: Runner, market: EventChunk, reference: Simulated
) -> None:
    again = run([market])

    assert again.digest == reference.digest
    assert again.figures.trades == reference.figures.trades


class Witness:
    """Writes down what the pipeline tells, with its time."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, Any]] = []

    def on_frames(self, frames: Frames) -> None:
        """They come ahead of what is decided at them."""
        times = frames["ts_ns"].tolist()
        assert times == sorted(times)
        assert not self.heard or times[0] >= self.heard[-1][0]

    def on_strategy(self, outputs: Sequence[Any], now_ns: int) -> None:
        self.heard += [(now_ns, "strategy", output) for output in outputs]

    def on_execution(self, outputs: Sequence[Any], now_ns: int) -> None:
        self.heard += [(now_ns, "execution", output) for output in outputs]

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        self.heard.append((now_ns, "venue", update))


@pytest.fixture(scope="module")
def witness(instruments: list[Instrument], market: EventChunk, eager: DecisionConfig) -> Witness:
    seen = Witness()
    pipeline = Pipeline(instruments, eager, ExecutionConfig(), (seen,))
    pipeline.feed(market)
    pipeline.finish()
    return seen


def test_time_never_goes_back(witness: Witness) -> None:
    times = [now_ns for now_ns, _, _ in witness.heard]

    assert times == sorted(times)


def test_news_of_the_venue_never_comes_before_it_can(witness: Witness) -> None:
    news = [(now_ns, update) for now_ns, who, update in witness.heard if who == "venue"]

    assert all(now_ns >= update.deliver_at_ns > update.venue_ts_ns for now_ns, update in news)


def test_a_first_fill_is_answered_with_a_stop_at_once(witness: Witness) -> None:
    """The venue sees nothing later before execution has heard of the fill and answered."""
    fills = [
        (i, now_ns)
        for i, (now_ns, who, update) in enumerate(witness.heard)
        if who == "venue" and isinstance(update, OrderFilled)
    ]
    at, now_ns = fills[0]

    answers = [
        (then_ns, output.record)
        for then_ns, who, output in witness.heard[at:]
        if who == "execution" and isinstance(output, LogLine) and output.record["kind"] == "INTENT"
    ]

    assert answers[0][0] == now_ns
    assert answers[0][1]["leg"] == "STOP"


def test_requests_are_made_at_the_time_of_their_frame(witness: Witness) -> None:
    requests = [
        (now_ns, output)
        for now_ns, who, output in witness.heard
        if who == "strategy" and isinstance(output, OrderRequest) and output.action == "OPEN"
    ]

    assert requests
    assert all(now_ns == request.decision_ts_ns for now_ns, request in requests)


def test_orders_take_effect_after_the_order_latency(witness: Witness) -> None:
    decided: dict[str, int] = {}
    for now_ns, who, what in witness.heard:
        if who == "execution" and isinstance(what, LogLine) and what.record["kind"] == "INTENT":
            decided.setdefault(what.record["clientOrderId"], now_ns)
        elif who == "venue" and isinstance(what, OrderFilled):
            assert what.venue_ts_ns >= decided[what.client_order_id] + 20_000_000


def test_an_exchange_clock_ahead_of_ours_is_taken_off_for_the_venue(
    run: Runner, market: EventChunk, reference: Simulated
) -> None:
    """Recordings of 2024 have a receive clock 1.27 s behind: it must not become latency."""
    ahead_ns = 1_270_000_000
    shifted = dataclasses.replace(market, exchange_ts_ns=market.exchange_ts_ns + ahead_ns)

    result = run([shifted], exchange_ahead_ns=ahead_ns)

    assert result.figures.trades == reference.figures.trades
    assert result.digest != reference.digest  # the recorded times are part of the input


def test_the_session_ends_with_the_frame_that_covers_its_last_message(
    run: Runner, market: EventChunk
) -> None:
    stop = len(market) // 4
    part = market.slice(0, stop)
    last = dataclasses.replace(part, exchange_ts_ns=part.exchange_ts_ns.copy())
    last.exchange_ts_ns[-1] += 1

    assert run([last]).digest != run([part]).digest


def test_an_empty_stream_ends_quietly(run: Runner) -> None:
    assert run([]).figures.counts["frames"] == 0
