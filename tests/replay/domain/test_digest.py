"""The digest covers everything consumed and decided, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution.domain.config import ExecutionConfig
from market.domain.events import FLAG_RPI, EventChunk, EventKind, TickerField
from market.domain.instruments import Instrument
from replay.adapters.session_paths import open_market_data
from replay.domain.digest import RunDigest
from replay.services.simulate import Simulated, simulate
from strategy.domain.config import DecisionConfig

Runner = Callable[..., Simulated]


def changed(chunk: EventChunk, column: str, place: int, value: int) -> EventChunk:
    copy = getattr(chunk, column).copy()
    assert copy[place] != value
    copy[place] = value
    return dataclasses.replace(chunk, **{column: copy})


@pytest.fixture(scope="module")
def short(market: EventChunk) -> EventChunk:
    return market.slice(0, 1500)


@pytest.fixture(scope="module")
def base(run: Runner, short: EventChunk) -> str:
    return run([short]).digest


def messages_of(chunk: EventChunk, kind: EventKind) -> list[int]:
    return np.flatnonzero(chunk.kind == kind).tolist()


def entry_of(chunk: EventChunk, message: int, nth: int = 0) -> int:
    return int(chunk.level_offset[message]) + nth


def test_the_size_of_a_level_deep_in_the_book_counts(
    run: Runner, short: EventChunk, base: str
) -> None:
    snapshot = messages_of(short, EventKind.BOOK_SNAPSHOT)[0]
    deepest = entry_of(short, snapshot, 49)
    assert short.side[deepest] == 0

    other = changed(short, "lot", deepest, int(short.lot[deepest]) + 1)

    assert run([other]).digest != base


def test_a_nanosecond_of_either_time_counts(run: Runner, short: EventChunk, base: str) -> None:
    at = messages_of(short, EventKind.BOOK_DELTA)[40]

    for column in ("core_ts_ns", "exchange_ts_ns"):
        time_ns = int(getattr(short, column)[at])
        assert run([changed(short, column, at, time_ns + 1)]).digest != base


def test_flag_side_and_price_of_a_trade_count(run: Runner, short: EventChunk, base: str) -> None:
    at = messages_of(short, EventKind.TRADE)[3]
    entry = entry_of(short, at)

    others = [
        changed(short, "flags", at, FLAG_RPI),
        changed(short, "side", entry, 1 - int(short.side[entry])),
        changed(short, "tick", entry, int(short.tick[entry]) + 1),
    ]

    assert base not in {run([other]).digest for other in others}


def test_a_funding_rate_counts(run: Runner, short: EventChunk, base: str) -> None:
    tickers = messages_of(short, EventKind.TICKER)
    entries = [
        entry
        for at in tickers
        for entry in range(short.level_offset[at], short.level_offset[at + 1])
        if short.tick[entry] == TickerField.FUNDING_RATE
    ]

    other = changed(short, "lot", entries[0], int(short.lot[entries[0]]) + 1)

    assert run([other]).digest != base


def test_a_message_left_out_or_swapped_counts(run: Runner, short: EventChunk, base: str) -> None:
    half = len(short) // 2
    left_out = [short.slice(0, half), short.slice(half + 1, len(short))]
    swapped = [
        short.slice(0, half), short.slice(half + 1, half + 2), short.slice(half, half + 1),
        short.slice(half + 2, len(short)),
    ]  # fmt: skip

    assert run(left_out).digest != base
    assert run(swapped).digest != base


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_single_value_counts(
    data: st.DataObject, run: Runner, short: EventChunk, base: str
) -> None:
    column = data.draw(
        st.sampled_from(["seq", "core_ts_ns", "exchange_ts_ns", "tick", "lot", "symbol"])
    )
    place = data.draw(st.integers(0, getattr(short, column).size - 1))
    value = int(getattr(short, column)[place])

    other = changed(short, column, place, 1 - value if column == "symbol" else value + 1)

    assert run([other]).digest != base


def test_config_and_rules_count(
    run: Runner, short: EventChunk, base: str, instruments: list[Instrument], eager: DecisionConfig
) -> None:
    dearer = ExecutionConfig(taker_fee_bps=5.6)
    wider = msgspec.structs.replace(instruments[0], max_leverage=instruments[0].max_leverage + 1)
    renamed = msgspec.structs.replace(eager, version="another")

    assert run([short], execution=dearer).digest != base
    assert run([short], decision=renamed).digest != base
    others = [wider, *instruments[1:]]
    assert simulate(others, [short], eager, ExecutionConfig()).digest != base


def test_parts_cannot_be_moved_between_records() -> None:
    one, other = RunDigest(), RunDigest()

    one.add_decisions("STRATEGY", 0, ["ab", "c"])
    other.add_decisions("STRATEGY", 0, ["a", "bc"])

    assert one.hexdigest() != other.hexdigest()


def test_how_decisions_are_grouped_and_when_the_digest_is_read_plays_no_part() -> None:
    words = [f"decision {n}" for n in range(9_000)]  # more than is hashed at once
    one, other = RunDigest(), RunDigest()

    one.add_decisions("VENUE", 7, words)
    for word in words:
        other.add_decisions("VENUE", 7, [word])
        if word.endswith("000"):
            other.hexdigest()

    assert one.hexdigest() == other.hexdigest()


_SCRIPT = """
import os
from execution.domain.config import ExecutionConfig
from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from market.domain.config import MarketConfig
from replay.services.simulate import simulate
from strategy.domain.config import DecisionConfig, StrategyConfig
decision = DecisionConfig(market=MarketConfig(warmup_s=5), strategy=StrategyConfig(edge_coef=3.0))
symbols, size = ("ETHUSDT", "AI16ZUSDT"), int(os.environ["MESSAGES_A_CHUNK"])
chunks = (
    chunk.slice(start, min(start + size, len(chunk)))
    for chunk in synthetic_chunks(5, 15.0, symbols)
    for start in range(0, len(chunk), size)
)
done = simulate(synthetic_instruments(symbols), chunks, decision, ExecutionConfig())
print(done.digest, done.figures.counts["orders"])
"""


def test_hash_seeds_and_chunk_sizes_change_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with another seed than ours, and other chunks, comes to our digest."""
    root = Path(__file__).parents[3]
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    other = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "MESSAGES_A_CHUNK": "13"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env={**os.environ, **other}, cwd=root, timeout=120,
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    monkeypatch.setenv("MESSAGES_A_CHUNK", "100000")
    exec(_SCRIPT, {})

    ours = capsys.readouterr().out
    assert done.stdout == ours
    assert int(ours.split()[1]) > 0


@pytest.mark.shared_data
def test_any_value_of_a_real_recording_counts(shared: Path, eager: DecisionConfig) -> None:
    (path,) = (shared / "data" / "bybit_v5_raw").glob("*.jsonl.gz")
    data = open_market_data([path])
    (chunk,) = data.chunks

    def digest(other: EventChunk) -> str:
        return simulate(data.instruments, [other], eager, ExecutionConfig()).digest

    base = digest(chunk)
    generator = np.random.default_rng(1)
    assert digest(chunk) == base
    for column in ("tick", "lot", "core_ts_ns", "exchange_ts_ns", "seq"):
        place = int(generator.integers(getattr(chunk, column).size))
        value = int(getattr(chunk, column)[place])
        assert digest(changed(chunk, column, place, value + 1)) != base, (column, place)
