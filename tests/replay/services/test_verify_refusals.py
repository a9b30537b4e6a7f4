"""VERIFY: what cannot be proved is refused, and the rest is proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.adapters.journal_blocks import sealed_block
from failover.adapters.journal_reader import set_torn_tails_aside
from failover.domain.journal import Stood
from replay.services.verify import Stopped
from tests.replay.recorded_world import START_NS, S, journal_of, rewrite
from tests.replay.services.verified import CORES, all_compared, cut_recording, spoil, verified


def test_a_stretch_the_recorder_dropped_is_refused_and_the_rest_is_proved(data_dir: Path) -> None:
    cut_recording(data_dir, "2026T1", after_seq=400, until_seq=450)

    report = verified(data_dir)

    assert report.first_divergence is None
    assert not report.is_equal
    assert {refusal.core for refusal in report.refused} == {"market", "strategy"}
    assert "lacks" in report.refused[0].reason
    assert "from 401 on" in report.refused[0].reason
    market = report.cores["market"]
    assert 0 < market.compared < market.outputs
    assert market.states == 2  # the first and the last: the stretch ends at the one between


def test_a_damaged_block_of_a_journal_is_refused(data_dir: Path) -> None:
    path = journal_of(data_dir, "strategy", "s1")
    data = bytearray(path.read_bytes())
    second = data.find(b"ASJ1", 1)
    assert second > 0
    data[second + 40] ^= 1
    path.write_bytes(data)

    report = verified(data_dir)

    assert report.first_divergence is None
    assert [refusal.core for refusal in report.refused] == ["strategy"]


def test_without_a_journal_nothing_is_claimed(tmp_path: Path) -> None:
    report = verified(tmp_path)

    assert not report.is_equal
    assert {refusal.reason for refusal in report.refused} == {
        f"no journal of {core} is there for that time: nothing can be proved" for core in CORES
    }


def test_a_market_journal_whose_end_is_gone_is_refused(data_dir: Path) -> None:
    """It looks like a kill, but what was recorded behind it says that the market lived on."""
    path = journal_of(data_dir, "market", "2026T1")
    rewrite(path, lambda records: records[: len(records) // 2])

    report = verified(data_dir, cores=("market",))

    assert report.first_divergence is None
    (refusal,) = report.refused
    assert "its recording goes on" in refusal.reason


def test_a_journal_of_which_nothing_can_be_read_is_refused(data_dir: Path) -> None:
    path = journal_of(data_dir, "strategy", "s1")
    path.with_name("strategy-s0.journal").write_bytes(b"")

    report = verified(data_dir)

    assert [(refusal.run_id, refusal.core) for refusal in report.refused] == [("s0", "strategy")]
    assert not report.is_equal


@pytest.mark.parametrize("core", CORES)
def test_a_run_whose_first_file_is_gone_is_refused_until_its_next_state(
    data_dir: Path, core: str
) -> None:
    path = journal_of(data_dir, core, {"market": "2026T1", "strategy": "s1"}[core])
    records = rewrite(path, lambda records: records)
    path.write_bytes(sealed_block([records[0], *records[50:]], 50))

    report = verified(data_dir, cores=(core,))

    (refusal,) = report.refused
    assert "49 records are missing" in refusal.reason
    assert report.first_divergence is None
    assert 0 < report.cores[core].compared < report.cores[core].outputs


@pytest.mark.parametrize("core", CORES)
def test_a_run_that_does_not_say_what_its_core_was_made_of_is_refused(
    data_dir: Path, core: str
) -> None:
    path = journal_of(data_dir, core, {"market": "2026T1", "strategy": "s1"}[core])
    records = rewrite(path, lambda records: records)
    path.write_bytes(sealed_block(records[50:], 51))
    states = sum(isinstance(record, Stood) for record in records[50:])

    report = verified(data_dir, cores=(core,))

    assert states == 2
    assert report.cores[core].inputs == 0
    assert [refusal.to_ns for refusal in report.refused] == [None]
    assert verified(data_dir, cores=(core,), from_ns=START_NS + 15 * S).refused


def test_a_core_that_was_fed_nothing_is_not_equal(data_dir: Path) -> None:
    spoil(data_dir, "strategy", lambda records: records.__delitem__(slice(1, None)))

    report = verified(data_dir)

    assert report.cores["market"].compared > 0
    assert [refusal.core for refusal in report.refused] == ["strategy"]


def test_time_that_no_journal_speaks_of_is_refused(recorded: Path) -> None:
    """Asked for three minutes of which twenty seconds are there."""
    asked = {"from_ns": START_NS - 70 * S, "to_ns": START_NS + 110 * S}

    report = verified(recorded, **asked)

    assert report.first_divergence is None
    before, after = (r for r in report.refused if r.core == "market")
    assert (before.from_ns, before.to_ns) == (START_NS - 70 * S, START_NS)
    assert after.from_ns is not None
    assert START_NS + 19 * S < after.from_ns <= START_NS + 20 * S
    assert after.to_ns == START_NS + 110 * S
    assert verified(recorded).is_equal


def test_a_damaged_end_of_a_journal_is_refused_also_when_it_was_set_aside(data_dir: Path) -> None:
    path = journal_of(data_dir, "strategy", "s1")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    damaged = verified(data_dir)
    set_torn_tails_aside(data_dir / "journal", "strategy")
    aside = verified(data_dir)

    for report in (damaged, aside):
        assert "cannot be read" in report.refused[0].reason
        assert not report.is_equal


def test_an_end_that_a_kill_cut_short_is_counted(data_dir: Path) -> None:
    path = journal_of(data_dir, "strategy", "s1")
    path.write_bytes(path.read_bytes() + path.read_bytes()[:60])

    report = verified(data_dir)

    assert (report.refused, report.cores["strategy"].unproved) == ([], 1)


def test_a_proof_of_some_minutes_starts_at_the_last_state_before_them(recorded: Path) -> None:
    whole = verified(recorded)
    part = verified(recorded, from_ns=START_NS + 10 * S, to_ns=START_NS + 16 * S)

    assert part.is_equal
    assert all(map(all_compared, part.cores.values()))
    for name, core in part.cores.items():
        assert core.compared < whole.cores[name].compared / 1.5
        assert core.from_ns is not None
        assert core.from_ns >= START_NS + 8 * S


def test_a_proof_can_be_stopped_and_claims_nothing_then(recorded: Path) -> None:
    with pytest.raises(Stopped):
        verified(recorded, should_stop=lambda: True)
