"""Whatever is wrong with a file, the answer is one line: where, what, what to do."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from market.adapters.foreign.known_instruments import read_instruments
from market.domain.recordings import BadRecording
from market.recordings import open_market_data

TRADE = '{"stream":"x","data":{"e":"trade","s":"BTCUSDT","T":1,"p":"100.0","q":"0.001","m":true}}'
LINES = "".join(f"{1_680_652_700_000_000 + i} {TRADE}\n" for i in range(5000)).encode()


def refusal(*paths: Path) -> str:
    with pytest.raises(BadRecording) as caught:
        for _ in open_market_data(paths).chunks:
            pass
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)], ids=["plain", "gzip"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)

    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    "content", [b"hello world\n", b"\x00\x01\x02" * 50, b"[1,2,3]\n", b"ts,price\n1,2\n"]
)
def test_an_unknown_format_says_what_the_file_begins_with(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    text = refusal(path)

    assert "unknown format, it begins with" in text
    assert "supported are" in text


def test_a_gzip_file_cut_short_is_reported_with_the_line_it_broke_at(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    packed = gzip.compress(LINES)
    path.write_bytes(packed[: len(packed) * 3 // 4])

    text = refusal(path)

    assert "ends in the middle" in text
    assert int(text.split("line ")[1].split(":")[0]) > 1000
    assert "download it again" in text


def test_a_gzip_file_with_flipped_bytes_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 0xFF  # in the checksum
    path.write_bytes(packed)

    assert "damaged" in refusal(path)


def test_a_zip_cut_short_or_with_several_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "x")
        archive.writestr("b", "x")
    assert "holds 2 files" in refusal(path)

    path.write_bytes(path.read_bytes()[:40])
    assert "damaged" in refusal(path)


def test_a_file_without_one_usable_message_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(LINES.replace(b'"100.0"', b'"100.05"')[:5000])

    assert "no usable message" in refusal(path)


def test_two_formats_at_once_are_refused(tmp_path: Path) -> None:
    binance, archive = tmp_path / "a", tmp_path / "b"
    binance.write_bytes(LINES)
    book = {"topic": "orderbook.500.XRPUSDT", "type": "snapshot", "ts": 1, "data": {"u": 1}}
    archive.write_text(json.dumps(book) + "\n")

    assert "2 formats" in refusal(binance, archive)


def test_memory_does_not_grow_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(34):
            file.write(b"1" * (1 << 20))

    assert "line of more than" in refusal(path)


@pytest.mark.parametrize("content", ["", "[]x", '{"a":1}', '[{"symbol":"X"}]'])
def test_a_bad_instruments_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(content)

    with pytest.raises(BadRecording, match=r"rules\.json"):
        read_instruments(path)
