"""Messages when their time comes: all of them, in order, never early, and at once when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from market.domain.events import EventChunk
from replay.services.pacer import Pacer

SECOND_NS = 1_000_000_000


def test_every_message_comes_once_in_order_and_never_before_its_time(market: EventChunk) -> None:
    speed, first_ns = 60.0, int(market.core_ts_ns[0])
    begun_ns = time.monotonic_ns()
    seen = []

    for piece in Pacer(speed).paced([market.slice(0, 900), market.slice(900, len(market))]):
        reached_ns = first_ns + (time.monotonic_ns() - begun_ns) * speed
        assert int(piece.core_ts_ns[-1]) <= reached_ns + 1
        seen += piece.seq.tolist()

    assert seen == market.seq.tolist()


def test_at_max_chunks_pass_whole_and_nothing_is_late(market: EventChunk) -> None:
    pacer = Pacer(None)

    assert [len(piece) for piece in pacer.paced([market])] == [len(market)]
    assert (pacer.messages, pacer.lateness.messages) == (len(market), 0)


def test_a_paused_replay_hands_out_nothing_until_it_is_resumed(market: EventChunk) -> None:
    pacer, got = Pacer(1000.0), threading.Event()
    pacer.pause()
    reader = threading.Thread(target=lambda: [got.set() for _ in pacer.paced([market])])
    reader.start()

    assert not got.wait(0.1)
    assert pacer.messages == 0
    pacer.resume()
    assert got.wait(10)
    reader.join(10)
    assert pacer.messages == len(market)


def test_a_stop_is_heard_during_a_long_wait(market: EventChunk) -> None:
    """At a ten-thousandth of the pace the next message is minutes away."""
    pacer = Pacer(0.0001)
    reader = threading.Thread(target=lambda: list(pacer.paced([market])))
    reader.start()

    pacer.stop()
    reader.join(10)

    assert not reader.is_alive()
    assert pacer.messages < len(market)


def test_another_speed_is_heard_during_a_long_wait(market: EventChunk) -> None:
    pacer = Pacer(0.0001)
    reader = threading.Thread(target=lambda: list(pacer.paced([market])))
    reader.start()

    pacer.set_speed(None)
    reader.join(30)

    assert pacer.messages == len(market)


def test_what_the_recording_raises_is_raised_where_its_chunk_would_have_come(
    market: EventChunk,
) -> None:
    def broken() -> Iterator[EventChunk]:
        yield market
        raise ValueError("torn here")

    seen = []
    with pytest.raises(ValueError, match="torn here"):
        seen.extend(Pacer(None).paced(broken()))


def test_a_reader_that_leaves_early_leaves_no_thread_behind(market: EventChunk) -> None:
    before = threading.active_count()
    pieces = Pacer(None).paced([market] * 50)
    next(pieces)

    pieces.close()

    assert threading.active_count() == before
