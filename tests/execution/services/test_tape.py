"""What an account writes down of itself, and what can be made of it again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from execution.domain.tape import (
    FramesRead,
    LatencyJudged,
    MarketRead,
    RequestRead,
    TapeInput,
    TimerTicked,
    pack_inputs,
    unpack_inputs,
)
from execution.services.account_memory import RunStart
from execution.services.refeed import Refeed
from failover.domain.journal import Begun, Made, Taken
from tests.execution.taped_life import START_NS, Bus, Life, ListJournal


def some_inputs(seed: int, unit_ns: int) -> list[TapeInput]:
    """Any order, two market runs, numbers that jump, and a clock that may stand still."""
    dice, now_ns, items = np.random.default_rng(seed), START_NS, []
    for _ in range(200):
        now_ns += int(dice.integers(0, 20_000_000)) // unit_ns * unit_ns
        run, number, seal = (
            f"m{dice.integers(2)}",
            int(dice.integers(1, 10**9)),
            int(dice.integers(2**32)),
        )
        made: tuple[TapeInput, ...] = (
            TimerTicked(now_ns),
            MarketRead(now_ns, run, number, 7, now_ns // 10**6 - int(dice.integers(9)), 1, seal),
            FramesRead(now_ns, run, number, 20, seal),
            RequestRead(now_ns, "1-0", b"\x90"),
            LatencyJudged(now_ns, "late"),
        )
        items.append(made[int(dice.integers(len(made)))])
    return items


@pytest.mark.parametrize("unit_ns", [1, 1_000])
def test_packed_inputs_read_back_as_they_were(unit_ns: int) -> None:
    items = some_inputs(3, unit_ns)

    assert unpack_inputs(pack_inputs(17, items)) == (17, items)


def test_a_quiet_second_takes_little_room() -> None:
    """100 ticks, 100 pieces of the market and 10 of frames: what is random in it is the seals."""
    dice, items, now_ns, number, row = np.random.default_rng(1), [], START_NS, 1, 1
    for step in range(100):
        now_ns += 5_000_000 + int(dice.integers(900)) * 1_000
        seal = int(dice.integers(2**32))
        items.append(MarketRead(now_ns, "m1", number, 50, now_ns // 10**6 - 3, 0, seal))
        number += 50
        now_ns += 5_000_000 + int(dice.integers(900)) * 1_000
        items.append(TimerTicked(now_ns))
        if step % 10 == 0:
            items.append(FramesRead(now_ns, "m1", row, 20, seal))
            row += 20

    assert len(pack_inputs(1, items)) < 2_200


def test_an_account_recalled_from_its_memory_is_the_same_account(tmp_path: Path) -> None:
    """In the middle of trades, with news on their way; the state says so to the last bit."""
    bus = Bus(2)
    life = Life(tmp_path, bus, ListJournal())
    life.live(180)
    assert life.account.core.trades

    memory = life.account.memory()
    again = Refeed(life.start, memory).account

    assert again.memory() == memory
    life.end()


def test_inputs_that_give_something_go_to_the_journal_with_what_they_gave(tmp_path: Path) -> None:
    """Each `Made` stands right behind the batch whose last input gave it."""
    journal = ListJournal()
    life = Life(tmp_path, Bus(1), journal)
    life.live(120)
    life.tape.end()
    life.end()

    assert isinstance(journal.records[0], Begun)
    start = msgspec.msgpack.decode(journal.records[0].payload, type=RunStart)
    assert start == life.start
    made = [n for n, record in enumerate(journal.records) if isinstance(record, Made)]
    assert made
    assert all(isinstance(journal.records[n - 1], Taken) for n in made)
    numbers = [unpack_inputs(r.payload) for r in journal.records if isinstance(r, Taken)]
    firsts = [first for first, _ in numbers]
    assert firsts == list(np.cumsum([1, *(len(items) for _, items in numbers)])[:-1])
