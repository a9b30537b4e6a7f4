"""The simulated venue lives in our time, whatever the exchange's clock says."""

from __future__ import annotations

import pytest

from execution.domain.exchange_clock import WINDOW_NS, ExchangeClock
from market.domain.events import ChunkBuilder, EventChunk, EventKind

SECOND_NS = 1_000_000_000


def received(core_ns: int, *delays_ns: int) -> EventChunk:
    """Messages received at one time, made `delays_ns` before it by the exchange's clock."""
    builder = ChunkBuilder()
    for delay_ns in delays_ns:
        builder.add(
            EventKind.LIVENESS,
            symbol=0,
            seq=0,
            core_ts_ns=core_ns,
            exchange_ts_ns=core_ns - delay_ns,
        )
    return builder.take()


def test_a_clock_behind_or_equal_is_left_alone() -> None:
    chunk = received(SECOND_NS, 5, 0, 700)

    assert ExchangeClock().shifted(chunk) is chunk


def test_a_clock_ahead_is_taken_back_so_that_no_message_comes_before_it_was_made() -> None:
    clock = ExchangeClock()

    chunk = clock.shifted(received(SECOND_NS, -900, -1_270, -1_000))

    assert clock.ahead_ns == 1_270
    assert (SECOND_NS - chunk.exchange_ts_ns).tolist() == [370, 0, 270]


def test_a_difference_is_forgotten_after_two_windows() -> None:
    clock = ExchangeClock()
    clock.shifted(received(SECOND_NS, -500))
    clock.shifted(received(SECOND_NS + WINDOW_NS, -20))
    assert clock.ahead_ns == 500

    clock.shifted(received(SECOND_NS + 2 * WINDOW_NS, -30))
    assert clock.ahead_ns == 30
    clock.shifted(received(SECOND_NS + 9 * WINDOW_NS, 0))
    assert clock.ahead_ns == 0


@pytest.mark.parametrize("delays_ns", [(), (-(10**18),)])
def test_nothing_and_nonsense_say_nothing(delays_ns: tuple[int, ...]) -> None:
    clock = ExchangeClock()

    clock.shifted(received(SECOND_NS, *delays_ns))

    assert clock.ahead_ns == 0
