"""Every promised file of the developers' folder gives the figures its README states."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from market.domain.events import EventKind
from market.domain.recordings import MarketData
from market.importing import import_market
from market.recordings import BadRecording, open_market_data
from tests.market.import_samples import differences, joined

pytestmark = pytest.mark.shared_data


def read(paths: list[Path]) -> tuple[MarketData, int, Counter[str]]:
    """The data, its span in ns and what its times do."""
    data = open_market_data(paths)
    first, last, odd = 0, 0, Counter[str]()
    next_seq = 1
    for chunk in data.chunks:
        first = first or int(chunk.core_ts_ns[0])
        odd["back"] += int((np.diff(np.concatenate([[last], chunk.core_ts_ns])) < 0).sum())
        odd["seq"] += int((chunk.seq != np.arange(next_seq, next_seq + len(chunk))).sum())
        next_seq += len(chunk)
        last = int(chunk.core_ts_ns[-1])
    return data, last - first, odd


BINANCE = [
    (["binance_usdm_20240808/btcusdt_20240808.gz"], 344.8, 6_551, 21_313, 66_089, 0, 21_313),
    (["binance_usdm_20240808/ethusdt_20240808.gz"], 344.6, 6_586, 14_076, 53_992, 0, 14_076),
    (
        ["binance_usdm_20230404/btcusdt_20230404.dat.gz", "binance_usdm_20230404/btcusdt_20230405.dat.gz"],
        514.3, 16_110, 12_935, 44_205, 514, 12_934,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "span_s", "depth", "trades", "touches", "marks", "used"), BINANCE
)
def test_binance_captures_are_whole(
    shared: Path,
    names: list[str],
    span_s: float,
    depth: int,
    trades: int,
    touches: int,
    marks: int,
    used: int,
) -> None:
    data, span_ns, odd = read([shared / "data" / "l2" / name for name in names])

    lines, messages = data.line_counts, data.message_counts
    assert (lines["depthUpdate"], lines["trade"], lines["bookTicker"]) == (depth, trades, touches)
    assert (lines["snapshot"], lines["markPriceUpdate"]) == (1, marks)
    assert messages["TRADE"] == used
    assert messages["TICKER"] == marks
    assert messages["FEED_GAP"] == 0
    assert not data.faults.counts
    assert abs(span_ns / 1e9 - span_s) < 0.06
    assert not +odd
    assert data.progress.bytes_read == data.progress.bytes_total


def test_the_bybit_capture_is_whole(shared: Path) -> None:
    (path,) = (shared / "data" / "bybit_v5_raw").glob("*.jsonl.gz")

    data, span_ns, odd = read([path])

    assert data.symbols == ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")
    assert data.line_counts["received"] + data.line_counts["other connection left out"] == 3_227
    assert data.message_counts["BOOK_SNAPSHOT"] == 4
    assert data.message_counts["BOOK_DELTA"] == 413 + 420 + 382 + 379
    assert data.message_counts["FEED_GAP"] == 0
    assert not data.faults.counts
    assert 40 < span_ns / 1e9 < 42.6
    assert not +odd


def test_bitcoin_alone_in_the_bybit_capture_has_56_trades(shared: Path) -> None:
    (path,) = (shared / "data" / "bybit_v5_raw").glob("*.jsonl.gz")

    data = open_market_data([path], symbols=["BTCUSDT"])
    kinds = np.concatenate([chunk.kind for chunk in data.chunks])

    assert int((kinds == EventKind.TRADE).sum()) == 56


def test_the_bybit_archive_is_whole(shared: Path) -> None:
    data, span_ns, odd = read([shared / "data" / "bybit_archive_ob500" / "xrpusdt-ob500.data.zip"])

    assert data.message_counts == {"BOOK_SNAPSHOT": 1, "BOOK_DELTA": 49}
    assert not data.faults.counts
    assert span_ns == 4_799_000_000
    assert not +odd


@pytest.mark.parametrize("name", ["binance_coinm_20240808/btcusd_perp_20240808.gz"])
def test_inverse_contracts_are_refused(shared: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a USDT linear perpetual"):
        open_market_data([shared / "data" / "l2" / name])


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["bybit_v5_raw/bybit_v5_public_20260809T2126.jsonl.gz"], {}),
        (["bybit_archive_ob500/xrpusdt-ob500.data.zip"], {}),
        (["l2/binance_spot_nexousdt_20240723/nexousdt_20240723.dat.gz"], {"as_linear": True}),
    ],
)
def test_an_import_holds_what_its_source_does(
    shared: Path, tmp_path: Path, names: list[str], options: dict[str, bool]
) -> None:
    """All that a replay's digest rests upon; the same of every other file here takes minutes."""
    paths = [shared / "data" / name for name in names]

    import_market(open_market_data(paths, **options), tmp_path)

    source, recording = open_market_data(paths, **options), open_market_data([tmp_path])
    assert differences(joined(source), joined(recording)) == []
    assert (recording.instruments, recording.exchange_ahead_ns) == (
        source.instruments, source.exchange_ahead_ns,
    )  # fmt: skip


def test_candles_of_every_kind_are_refused(shared: Path) -> None:
    paths = sorted((shared / "data" / "klines").glob("*.gz"))

    assert len(paths) == 6
    for path in paths:
        with pytest.raises(BadRecording, match="holds candles, no ticks"):
            open_market_data([path])
