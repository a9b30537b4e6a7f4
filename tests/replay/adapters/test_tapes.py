"""Which files are one recording, and how often a recording has been tried."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from replay.adapters.tapes import NoSuchSymbol, find_tapes
from replay.adapters.trial_ledger import Trial, TrialLedger, sources_of, trials_with_this
from replay.domain.judgement import Trials

HOUR = 3_600_000_000_000
START = 1_680_652_700_000_000_000


def capture(path: Path, symbol: str, start_ns: int) -> Path:
    trade = f'{{"stream":"x","data":{{"e":"trade","s":"{symbol}","T":1,"p":"100.0","q":"0.001"}}}}'
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(f"{start_ns} {trade}\n".encode()))
    return path


def test_captures_of_one_time_and_of_following_days_are_one_recording(tmp_path: Path) -> None:
    btc = capture(tmp_path / "btc1.gz", "BTCUSDT", START)
    eth = capture(tmp_path / "eth1.gz", "ETHUSDT", START + 5)
    next_day = capture(tmp_path / "btc2.gz", "BTCUSDT", START + 24 * HOUR)
    much_later = capture(tmp_path / "btc9.gz", "BTCUSDT", START + 900 * HOUR)

    tapes, failures = find_tapes([next_day, much_later, eth, btc])

    assert failures == []
    assert [(tape.symbols, len(tape.paths)) for tape in tapes] == [
        (("BTCUSDT", "ETHUSDT"), 3), (("BTCUSDT",), 1),
    ]  # fmt: skip
    assert [one.paths for one in tapes[0].alone] == [(str(btc), str(next_day)), (str(eth),)]


def test_a_bad_path_is_reported_and_the_others_stay(tmp_path: Path) -> None:
    good = capture(tmp_path / "btc.gz", "BTCUSDT", START)
    empty = tmp_path / "empty.gz"
    empty.write_bytes(b"")

    tapes, failures = find_tapes([tmp_path / "nowhere", empty, good])

    assert [tape.name for tape in tapes] == ["btc.gz (BTCUSDT)"]
    assert ["no such file" in failures[0].reason, "is empty" in failures[1].reason] == [True, True]


def test_wanted_symbols_choose_files_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    btc = capture(tmp_path / "btc.gz", "BTCUSDT", START)
    eth = capture(tmp_path / "eth.gz", "ETHUSDT", START)

    (only,), _ = find_tapes([btc, eth], wanted=["ETHUSDT"])

    assert (only.symbols, only.paths) == (("ETHUSDT",), (str(eth),))
    with pytest.raises(
        NoSuchSymbol, match="no recording holds NOPEUSDT; there are BTCUSDT, ETHUSDT"
    ):
        find_tapes([btc, eth], wanted=["NOPEUSDT", "BTCUSDT"])


def test_each_symbol_alone_makes_a_tape_of_each(tmp_path: Path) -> None:
    paths = [capture(tmp_path / f"{s}.gz", f"{s}USDT", START) for s in ("BTC", "ETH")]

    tapes, _ = find_tapes(paths, each_symbol_alone=True)

    assert [tape.symbols for tape in tapes] == [("BTCUSDT",), ("ETHUSDT",)]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    first = capture(tmp_path / "a" / "btc.gz", "BTCUSDT", START)
    second = capture(tmp_path / "b" / "btc.gz", "BTCUSDT", START + 900 * HOUR)

    tapes, _ = find_tapes([first, second])

    assert [tape.name for tape in tapes] == ["btc.gz (BTCUSDT)", "btc.gz (BTCUSDT) #2"]


def a_trial(run_id: str, sources: list[str], sharpe: float | None = None) -> Trial:
    return Trial(run_id=run_id, at="", config_version="x", sources=sources, trades=1, sharpe=sharpe)


def test_every_try_on_the_same_data_is_counted_wherever_they_lie(tmp_path: Path) -> None:
    here = capture(tmp_path / "btc.gz", "BTCUSDT", START)
    other = capture(tmp_path / "eth.gz", "ETHUSDT", START)
    there = tmp_path / "copy.gz"
    there.write_bytes(here.read_bytes())
    ledger = TrialLedger(tmp_path / "ledger" / "trials.jsonl")

    ledger.append(a_trial("b1", sources_of([here]), 0.2))
    ledger.append(a_trial("b2", sources_of([there, other])))

    assert [t.run_id for t in ledger.trials_of(sources_of([there]))] == ["b1", "b2"]
    assert [t.run_id for t in ledger.trials_of(sources_of([other]))] == ["b2"]
    earlier = ledger.trials_of(sources_of([here]))
    assert trials_with_this(earlier, 1) == Trials(count=3, sharpes=(0.2,))
    assert trials_with_this(earlier, 50).count == 50


def test_a_packed_day_of_ours_is_the_same_data(tmp_path: Path) -> None:
    day = tmp_path / "2025-11-18"
    day.mkdir()
    (day / "instruments-run1.json").write_text("[]")
    (day / "ETHUSDT-trades.jsonl").write_text("{}\n")
    before = sources_of([day])

    (day / "ETHUSDT-trades.jsonl").rename(day / "ETHUSDT-trades.jsonl.zst")

    assert sources_of([tmp_path]) == before == ["own:2025-11-18/ETHUSDT-trades"]
