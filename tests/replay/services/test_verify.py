"""VERIFY: the same decisions from the same inputs, and every fault at its own place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import call_command

from failover.domain.journal import Begun, Ended, JournalRecord, Made, Stood, Taken, TakenRange
from market.domain.journal_words import decode_begun
from replay.models import ReplayRun
from strategy.domain.journal_words import InputKind, StoppedCall, decode_options
from strategy.domain.scorer import SCORERS, LinearScorer, ScorerTooSlow
from tests.replay.recorded_world import (
    CONFIG,
    DECISIONS,
    MS,
    START_NS,
    S,
    World,
    journal_of,
    rewrite,
)
from tests.replay.services.verified import all_compared, cut_recording, spoil, verified
from tests.strategy.builders import a_config


def test_an_undisturbed_recording_is_proved_whole(recorded: Path) -> None:
    report = verified(recorded)

    assert report.is_equal
    assert report.cores["market"].inputs > 2_000
    assert report.cores["strategy"].states == 3
    assert all(map(all_compared, report.cores.values()))


def test_restarts_activations_and_shards_are_proved_too(tmp_path: Path) -> None:
    world = World(tmp_path, seed=2)
    world.start_market()
    world.start_strategy("s1", only=("ETHUSDT",))
    world.run(4.0)
    world.reconfigure_market(msgspec.structs.replace(CONFIG, trigger_ticks=2))
    assert world.strategy is not None
    world.strategy.take_config(a_config(strategy={"edge_coef": 50.0, "watch_score": 52.0}))
    world.run(3.0)
    world.stop_market()
    world.start_market()
    world.run(3.0)
    numbers = world.strategy.core.state()  # type: ignore[union-attr]
    world.stop_strategy()
    world.start_strategy("s2")
    assert world.strategy.restore(numbers)
    world.run(3.0)
    world.strategy.take_news_gap()
    world.run(3.0)
    world.stop_strategy()
    world.stop_market()

    report = verified(tmp_path)

    assert report.is_equal
    assert [core.runs for core in report.cores.values()] == [2, 2]
    assert all(map(all_compared, report.cores.values()))


def test_of_a_killed_market_only_its_last_moment_stays_unproved(tmp_path: Path) -> None:
    """What it had published and not recorded comes from the strategy's own journal."""
    world = World(tmp_path, seed=3)
    world.start_market()
    world.start_strategy("s1")
    world.run(5.0)
    last_seq = world.hub.seq - 8
    world.stop_market()
    cut_recording(tmp_path, world.market_run, after_seq=last_seq)
    rewrite(journal_of(tmp_path, "market", world.market_run), lambda records: records[:-3])
    world.start_market()
    world.run(3.0)
    world.stop_strategy()
    world.stop_market()

    report = verified(tmp_path)

    assert report.first_divergence is None
    assert report.refused == []
    assert report.cores["market"].unproved > 0
    assert all_compared(report.cores["strategy"])


def test_one_flipped_bit_in_a_recorded_message_shows_in_the_next_frame(data_dir: Path) -> None:
    path = next((data_dir / "market").glob("*/ETHUSDT-trades.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    row = len(lines) // 2
    assert b'"qty":0.050' in lines[row]
    lines[row] = lines[row].replace(b'"qty":0.050', b'"qty":0.051')  # 0x30 ^ 1
    path.write_bytes(b"".join(lines))
    told_ns = json.loads(lines[row])["recvTs"]

    report = verified(data_dir)

    first = report.first_divergence
    assert first is not None
    assert (first.core, first.what) == ("market", "OUTPUT")
    assert "input_hash" in first.place
    assert 0 <= first.at_ns - told_ns <= 100 * MS
    assert first.recorded["input_hash"] != first.replayed["input_hash"]
    found = report.cores["strategy"].first
    assert found is not None
    assert found.what == "INPUT"
    assert "are not those that the strategy read" in found.place


def test_after_a_fault_the_proof_goes_on_from_the_next_recorded_state(data_dir: Path) -> None:
    def flip(records: list[JournalRecord]) -> None:
        news = [n for n, r in enumerate(records) if isinstance(r, Taken) and r.kind == "NEWS"]
        for number in (news[2], news[-3]):
            taken = records[number]
            assert isinstance(taken, Taken)
            payload = bytearray(taken.payload)
            payload[payload.index(b"equity") + 8] ^= 1
            records[number] = Taken(taken.kind, taken.at_ns, bytes(payload))

    spoil(data_dir, "strategy", flip)

    report = verified(data_dir)

    assert report.cores["market"].divergences == 0
    assert report.cores["strategy"].divergences == 2
    first = report.first_divergence
    assert first is not None
    assert first.place.startswith("RiskSnapshot")
    assert first.recorded["equity"] != first.replayed["equity"]
    assert 0 <= first.at_ns - (START_NS + 3 * S) <= 1_200 * MS
    numbers = [each["number"] for each in first.inputs_around]
    assert numbers == sorted(numbers)
    assert numbers[0] < first.number < numbers[-1]


def test_another_config_shows_at_the_first_decision_it_changes(data_dir: Path) -> None:
    def change(records: list[JournalRecord]) -> None:
        begun = records[0]
        assert isinstance(begun, Begun)
        options = decode_options(begun.payload)
        other = msgspec.structs.replace(
            DECISIONS, strategy=msgspec.structs.replace(DECISIONS.strategy, watch_score=50.0)
        )
        changed = msgspec.structs.replace(options, config=other)
        records[0] = msgspec.structs.replace(begun, payload=msgspec.msgpack.encode(changed))

    spoil(data_dir, "strategy", change)

    report = verified(data_dir)

    first = report.first_divergence
    assert report.cores["market"].divergences == 0
    assert first is not None
    assert first.core == "strategy"
    assert first.what in ("OUTPUT", "STATE")


def test_another_market_config_shows_at_the_first_frame_it_changes(data_dir: Path) -> None:
    def change(records: list[JournalRecord]) -> None:
        begun = records[0]
        assert isinstance(begun, Begun)
        made_of = msgspec.structs.replace(
            decode_begun(begun.payload), config=msgspec.structs.replace(CONFIG, warmup_s=2)
        )
        records[0] = msgspec.structs.replace(begun, payload=msgspec.msgpack.encode(made_of))
        records.remove(
            next(each for each in records if isinstance(each, Stood))
        )  # it holds its config

    spoil(data_dir, "market", change)

    first = verified(data_dir).first_divergence

    assert first is not None
    assert first.core == "market"
    assert "(warm)" in first.place
    assert 1_000 * MS <= first.at_ns - START_NS <= 1_200 * MS


def test_a_reordered_pair_of_inputs_is_found_where_it_stands(data_dir: Path) -> None:
    places: list[int] = []

    def swap(records: list[JournalRecord]) -> None:
        place = next(
            n
            for n in range(len(records) // 2, len(records) - 3)
            if isinstance(records[n], TakenRange) and isinstance(records[n + 2], TakenRange)
            and isinstance(records[n + 1], Made)
        )  # fmt: skip
        records[place], records[place + 2] = records[place + 2], records[place]
        places.append(place + 1)

    spoil(data_dir, "strategy", swap)

    first = verified(data_dir).first_divergence

    assert first is not None
    assert first.core == "strategy"
    assert places[0] <= first.number <= places[0] + 2


def test_a_reordered_pair_of_recorded_messages_is_found(data_dir: Path) -> None:
    """Their numbers order them, so it is the numbers that are changed about."""
    path = next((data_dir / "market").glob("*/BTCUSDT-trades.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    row = len(lines) // 2
    pair = [json.loads(line) for line in lines[row : row + 2]]
    seqs = [b'"seq":%d,' % told["seq"] for told in pair]
    lines[row] = lines[row].replace(seqs[0], seqs[1])
    lines[row + 1] = lines[row + 1].replace(seqs[1], seqs[0])
    path.write_bytes(b"".join(lines))

    first = verified(data_dir).first_divergence

    assert first is not None
    assert first.core == "market"
    assert -100 * MS <= first.at_ns - pair[0]["recvTs"] <= 200 * MS


def test_two_recorded_lines_that_changed_places_are_found(data_dir: Path) -> None:
    """Their numbers would put them right; the file is not what was written all the same."""
    path = next((data_dir / "market").glob("*/BTCUSDT-orderbook.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    row = len(lines) // 2
    pair = [json.loads(line) for line in lines[row : row + 2]]
    lines[row : row + 2] = [lines[row + 1], lines[row]]
    path.write_bytes(b"".join(lines))

    report = verified(data_dir)

    first = report.first_divergence
    assert first is not None
    assert (first.core, first.what) == ("market", "INPUT")
    assert first.place.startswith(f"message {pair[0]['seq']} stands behind message")
    assert abs(first.at_ns - pair[0]["recvTs"]) <= 100 * MS
    assert report.cores["strategy"].divergences == 0


def test_an_output_that_was_never_made_is_found(data_dir: Path) -> None:
    def add(records: list[JournalRecord]) -> None:
        place = next(n for n, r in enumerate(records) if isinstance(r, Made) and n > 50)
        made = records[place]
        assert isinstance(made, Made)
        outputs = msgspec.msgpack.decode(made.payload)
        records[place] = Made(msgspec.msgpack.encode([*outputs, outputs[-1]]))

    spoil(data_dir, "strategy", add)

    first = verified(data_dir).first_divergence

    assert first is not None
    assert first.recorded is not None
    assert first.replayed is None


def test_a_state_that_is_not_the_core_s_is_found(data_dir: Path) -> None:
    def change(records: list[JournalRecord]) -> None:
        place = [n for n, r in enumerate(records) if isinstance(r, Stood)][1]
        stood = records[place]
        assert isinstance(stood, Stood)
        state = msgspec.msgpack.decode(stood.payload)
        core = msgspec.msgpack.decode(state["core"])
        core["now_ns"] += 1
        state["core"] = msgspec.msgpack.encode(core)
        records[place] = Stood(stood.at_ns, msgspec.msgpack.encode(state))

    spoil(data_dir, "strategy", change)

    first = verified(data_dir).first_divergence

    assert first is not None
    assert first.what == "STATE"
    assert first.place == "state.core"


# -- pluggable scorers ----------------------------------------------------------------------------


class _SlowAtTimes(LinearScorer):
    """Too slow for its stopwatch at some calls, which only a clock could tell."""


class _Stopwatch:
    """Stops every 40th call."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, ask: Callable[[], Any], limit_s: float) -> Any:
        del limit_s
        self.calls += 1
        if self.calls % 40 == 0:
            raise ScorerTooSlow("took 9.0 ms (limit 5 ms)")
        return ask()


@pytest.fixture
def slow_scorers(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(SCORERS, "_load", lambda path: _SlowAtTimes)
    return "tests.SlowAtTimes"


def test_a_scorer_that_was_stopped_by_the_clock_is_stopped_again_by_the_journal(
    tmp_path: Path, slow_scorers: str
) -> None:
    world = World(tmp_path)
    config = a_config(
        strategy={"scorer": slow_scorers, "scorer_probation_s": 0.5, "edge_coef": 50.0}
    )
    world.start_market()
    world.start_strategy("s1", config, watch=_Stopwatch())
    world.run(6.0)
    world.stop_strategy()
    world.stop_market()
    records = rewrite(journal_of(tmp_path, "strategy", "s1"), lambda records: records)
    stops = [r for r in records if isinstance(r, Taken) and r.kind == InputKind.SCORER_STOPPED]
    assert len(stops) > 2

    assert verified(tmp_path).is_equal

    def forget(records: list[JournalRecord]) -> list[JournalRecord]:
        none = msgspec.msgpack.encode(list[StoppedCall]())
        return [Taken(r.kind, r.at_ns, none) if r == stops[0] else r for r in records]

    rewrite(journal_of(tmp_path, "strategy", "s1"), forget)
    first = verified(tmp_path).first_divergence
    assert first is not None
    assert first.core == "strategy"


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_says_equal_and_keeps_a_row(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify_replay", "--data", str(recorded), "--core", "market", "--core", "strategy")

    assert "EQUAL: 0 divergences" in capsys.readouterr().out
    row = ReplayRun.objects.get()
    assert (row.mode, row.complete) == ("VERIFY", True)
    assert row.report["firstDivergence"] is None


def test_the_command_ends_with_1_and_shows_both_sides(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_the_end(records: list[JournalRecord]) -> None:
        made = [n for n, r in enumerate(records) if isinstance(r, Made)]
        del records[made[10]]
        assert isinstance(records[-1], Ended)

    spoil(data_dir, "strategy", lose_the_end)

    with pytest.raises(SystemExit) as ended:
        call_command("verify_replay", "--data", str(data_dir), "--core", "strategy", "--no-save")

    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "NOT EQUAL: 1 divergences" in said
    assert "recorded: null" in said
    assert "inputs around it:" in said
