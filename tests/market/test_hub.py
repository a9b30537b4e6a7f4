"""The hub: one entrance for the socket and for a replay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.config import MarketConfig
from market.domain.events import FLAG_BLOCK, FLAG_RPI, EventKind, TickerField
from market.domain.instruments import Instrument
from market.domain.kernel import MarketKernel
from market.services.hub import LIVENESS_EVERY_NS, BadPayload, MarketHub
from tests.market.helpers import CollectedChunks, HandClock, an_instrument

MS = 1_000_000
SNAPSHOT = {
    "subtype": "SNAPSHOT",
    "bids": [["100.1", "1.5"], ["100.0", "2"]],
    "asks": [["100.2", "0.7"], ["100.3", "0"]],
    "ts": 1_700_000_000_000,
}


@pytest.fixture
def hub(instruments, collected, hand_clock) -> MarketHub:
    return MarketHub(
        instruments,
        MarketKernel(instruments, MarketConfig()),
        clock=hand_clock,
        chunk_sinks=[collected],
        frame_sinks=[collected],
    )


def test_a_trade_becomes_ticks_and_lots_with_both_times(hub, collected, hand_clock) -> None:
    hub.on_raw_trade(
        "SOLUSDT",
        {"price": "80.005", "qty": 1.5, "side": "Sell", "ts": 1_699_999_999_990, "rpi": True},
    )
    hub.flush()

    chunk = collected.all
    assert (chunk.symbol[0], chunk.side[0], chunk.tick[0], chunk.lot[0]) == (1, 1, 16001, 15)
    assert chunk.flags[0] == FLAG_RPI
    assert chunk.core_ts_ns[0] == hand_clock.now_ns
    assert chunk.exchange_ts_ns[0] == 1_699_999_999_990 * MS


def test_block_trades_keep_their_flag(hub, collected) -> None:
    hub.on_raw_trade("BTCUSDT", {"price": 1, "qty": 1, "side": "Buy", "ts": 1, "block": True})
    hub.flush()

    assert collected.all.flags[0] == FLAG_BLOCK


def test_the_book_of_the_kernel_is_the_snapshot_with_its_deltas(instruments, hand_clock) -> None:
    kernel = MarketKernel(instruments, MarketConfig())
    hub = MarketHub(instruments, kernel, clock=hand_clock)

    hub.on_raw_orderbook("BTCUSDT", SNAPSHOT)
    hub.on_raw_orderbook(
        "BTCUSDT", {"subtype": "DELTA", "bids": [["100.1", "0"]], "asks": [["100.4", "3"]], "ts": 1}
    )
    hub.flush()

    bids, asks = kernel.book_levels(0, 10)
    assert bids.tolist() == [[1000, 2000]]
    assert asks.tolist() == [[1002, 700], [1004, 3000]]


def test_only_changed_ticker_fields_are_passed_on(hub, collected) -> None:
    hub.on_raw_ticker(
        "BTCUSDT", {"markPrice": "100.25", "fundingRate": "-0.0001", "lastPrice": "", "ts": 5}
    )
    hub.on_raw_ticker("BTCUSDT", {"ts": 6})
    hub.flush()

    chunk = collected.all
    assert len(chunk) == 1
    assert chunk.tick.tolist() == [TickerField.MARK_PRICE, TickerField.FUNDING_RATE]
    assert chunk.lot.tolist() == [100_250_000_000, -100_000]


def test_messages_are_numbered_without_gaps_and_core_time_never_goes_back(hub, collected) -> None:
    for received_ns in (1000, 5000, 3000, 7000):
        hub.on_raw_trade("BTCUSDT", {"price": 1, "qty": 1, "side": "Buy", "ts": 1}, received_ns)
    hub.flush()

    assert collected.all.seq.tolist() == [1, 2, 3, 4]
    assert collected.all.core_ts_ns.tolist() == [1000, 5000, 5000, 7000]


def test_a_message_after_an_advance_is_not_before_it(hub, collected, hand_clock) -> None:
    hub.advance(hand_clock.now_ns + 100 * MS)
    hub.on_raw_trade("BTCUSDT", {"price": 1, "qty": 1, "side": "Buy", "ts": 1})
    hub.flush()

    assert collected.all.core_ts_ns[0] == hand_clock.now_ns + 100 * MS


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"subtype": "DELTA", "bids": [["100.15", "1"]], "asks": [], "ts": 1}, "off_grid"),
        ({"subtype": "DELTA", "bids": [["NaN", "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [["100.1", "-1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [["0", "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [["9e9", "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [["2000000", "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [[["x"], "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "DELTA", "bids": [], "asks": [], "ts": "x"}, "bad_orderbook"),
        ({"subtype": "WHAT", "bids": [], "asks": [], "ts": 1}, "bad_orderbook"),
        ({"subtype": "BBO", "bids": [["1", "1"]], "asks": [], "ts": 1}, "bad_orderbook"),
    ],
)
def test_a_book_message_that_cannot_be_read_leaves_the_book_untrusted(
    hub, collected, payload, kind
) -> None:
    """What it would have changed is unknown: the symbol waits for its next snapshot."""
    hub.on_raw_orderbook("BTCUSDT", SNAPSHOT)

    with pytest.raises(BadPayload) as refused:
        hub.on_raw_orderbook("BTCUSDT", payload)
    hub.flush()

    assert refused.value.kind == kind
    assert collected.all.kind.tolist() == [EventKind.BOOK_SNAPSHOT, EventKind.FEED_GAP]


def test_an_unknown_symbol_is_named(hub) -> None:
    with pytest.raises(BadPayload, match="unknown_symbol: NOPEUSDT"):
        hub.on_raw_trade("NOPEUSDT", {})


def test_a_price_named_twice_in_one_message_counts_once_with_its_last_size(hub, collected) -> None:
    hub.on_raw_orderbook(
        "BTCUSDT",
        {"subtype": "DELTA", "bids": [["100.1", "1"], ["100.10", "2"]], "asks": [], "ts": 1},
    )
    hub.flush()

    assert (collected.all.tick.tolist(), collected.all.lot.tolist()) == ([1001], [2000])


def test_signs_of_life_are_noted_only_where_the_book_is_quiet(hub, collected, hand_clock) -> None:
    hub.on_raw_orderbook("BTCUSDT", SNAPSHOT)
    hub.on_liveness("BTCUSDT")
    hand_clock.now_ns += LIVENESS_EVERY_NS
    hub.on_liveness("BTCUSDT")
    hub.on_liveness("BTCUSDT")
    hub.flush()

    assert collected.all.kind.tolist() == [EventKind.BOOK_SNAPSHOT, EventKind.LIVENESS]


def test_the_host_is_told_once_that_messages_wait(instruments, hand_clock) -> None:
    calls: list[int] = []
    hub = MarketHub(
        instruments,
        MarketKernel(instruments, MarketConfig()),
        clock=hand_clock,
        on_pending=lambda: calls.append(1),
    )

    hub.on_raw_orderbook("BTCUSDT", SNAPSHOT)
    hub.on_raw_orderbook("SOLUSDT", SNAPSHOT)
    hub.flush()
    hub.on_gap("BTCUSDT")

    assert len(calls) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400), st.booleans()), max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_stream_fed_by_message_or_by_chunk_makes_the_same_frames(steps) -> None:
    """A replay may hand over what the live hub built, cut anywhere, and get the same frames."""
    instruments: list[Instrument] = [an_instrument(), an_instrument("ETHUSDT")]
    live, again = CollectedChunks(), CollectedChunks()
    clock = HandClock()
    hub = MarketHub(
        instruments, MarketKernel(instruments, MarketConfig()), clock=clock,
        chunk_sinks=[live], frame_sinks=[live],
    )  # fmt: skip
    for what, wait_ms, is_flushed in steps:
        clock.now_ns += wait_ms * MS
        symbol = ("BTCUSDT", "ETHUSDT")[what % 2]
        if what < 2:
            hub.on_raw_orderbook(symbol, {**SNAPSHOT, "ts": clock.now_ns // MS})
        else:
            hub.on_raw_trade(symbol, {"price": "100.1", "qty": 1, "side": "Buy", "ts": 1})
        if is_flushed:
            hub.flush()
            hub.advance()
    hub.advance()

    replayed = MarketHub(
        instruments, MarketKernel(instruments, MarketConfig()), clock=clock, frame_sinks=[again]
    )
    replayed.on_chunk(live.all)
    replayed.advance(clock.now_ns)

    assert replayed.seq == hub.seq
    assert (b"".join(f.tobytes() for f in live.frames)) == (
        b"".join(f.tobytes() for f in again.frames)
    )
    assert np.all(np.diff(live.all.core_ts_ns) >= 0)
