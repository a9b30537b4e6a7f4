"""Where the recorded files lie, and how any variant of them is opened."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from market.adapters.recording_files import (
    BadIndex,
    day_files,
    index_path,
    open_lines,
    read_index,
    symbol_and_kind,
)
from market.domain.raw_events import RawFile

DAY_NS = 86_400_000_000_000
LINES = b"".join(b'{"seq":%d}\n' % n for n in range(1000))


def put(path: Path, content: bytes = LINES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zst":
        compressor, half = zstandard.ZstdCompressor(), len(content) // 2
        content = compressor.compress(content[:half]) + compressor.compress(content[half:])
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst", ".jsonl.gz"])
def test_every_variant_gives_the_same_lines(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"BTCUSDT-trades{suffix}")

    with open_lines(path) as file:
        assert b"".join(file) == LINES


def test_a_file_that_was_compressed_meanwhile_is_opened_as_what_it_became(tmp_path: Path) -> None:
    put(tmp_path / "BTCUSDT-trades.jsonl.zst")

    with open_lines(tmp_path / "BTCUSDT-trades.jsonl") as file:
        assert b"".join(file) == LINES
    with pytest.raises(FileNotFoundError):
        open_lines(tmp_path / "ETHUSDT-trades.jsonl")


def test_the_files_of_a_stretch_come_oldest_day_first_and_one_a_day(tmp_path: Path) -> None:
    """The end is exclusive: a stretch up to midnight does not touch the day that begins then."""
    first = put(tmp_path / "1970-01-01" / "BTCUSDT-trades.jsonl.zst")
    second = put(tmp_path / "1970-01-02" / "BTCUSDT-trades.jsonl")
    put(tmp_path / "1970-01-02" / "BTCUSDT-trades.jsonl.zst")
    put(tmp_path / "1970-01-03" / "BTCUSDT-trades.jsonl")
    put(tmp_path / "notes" / "BTCUSDT-trades.jsonl")

    assert day_files(tmp_path, "BTCUSDT", RawFile.TRADES, 5, 2 * DAY_NS) == [first, second]
    assert day_files(tmp_path, "BTCUSDT", "trades", DAY_NS, DAY_NS + 1) == [second]
    assert len(day_files(tmp_path, "BTCUSDT", "trades", None, None)) == 3
    assert day_files(tmp_path, "ETHUSDT", "trades", None, None) == []


def test_lines_that_came_after_a_day_was_compressed_are_read_behind_its_own(tmp_path: Path) -> None:
    day = tmp_path / "1970-01-01"
    older = put(day / "BTCUSDT-trades.jsonl.zst")
    newer = put(day / "BTCUSDT-trades.jsonl", LINES.replace(b"seq", b"SEQ"))

    assert day_files(tmp_path, "BTCUSDT", "trades", None, None) == [older, newer]


@pytest.mark.parametrize("symbol", ["../BTCUSDT", "BTC/USDT", "", "BTCUSDT\n", "."])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, symbol: str) -> None:
    with pytest.raises(ValueError, match="is no symbol"):
        day_files(tmp_path, symbol, "trades", None, None)


def test_a_name_says_symbol_and_kind_or_is_none_of_ours() -> None:
    assert symbol_and_kind(Path("BTC-PERP-ticker.jsonl.gz")) == ("BTC-PERP", RawFile.TICKER)
    assert symbol_and_kind(Path("BTCUSDT-trades.index.json")) == ("BTCUSDT", RawFile.TRADES)
    assert symbol_and_kind(Path("BTCUSDT-candles.jsonl")) is None
    assert symbol_and_kind(Path("instruments-r1.json")) is None


def test_no_index_is_none_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path / "BTCUSDT-trades.jsonl")

    assert read_index(path) is None
    index_path(path).write_bytes(b'{"symbol":')
    with pytest.raises(BadIndex, match=r"BTCUSDT-trades\.index\.json"):
        read_index(path)
