"""Reading many lines at a time gives what reading them one by one through the hub gives."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.adapters.foreign import line_files
from market.adapters.foreign.binance import BinanceReader
from market.adapters.foreign.known_instruments import BINANCE_USDM, known_instrument
from market.domain.chunks import concat_chunks
from market.domain.recordings import FaultLog, ReadProgress
from market.recordings import open_market_data
from market.services.recorded_chunks import hub_chunks
from tests.market.import_samples import differences, packed

START_NS = 1_680_652_700_000_000_000


class Capture:
    """Random lines of a market: mostly as the venue sends them, now and then as it might."""

    def __init__(self, seed: int, symbol: str, *, may_go_back: bool = False) -> None:
        self._random = np.random.default_rng(seed)
        self._least_step_ns = -2_000_000 if may_go_back else 0
        self._symbol = symbol
        self._at_ns = START_NS
        self._u = 1_000

    def lines(self, count: int) -> str:
        usual = (self.touch, self.touch, self.trade, self.diff)
        odd = (self.snapshot, self.mark, self.noise)
        texts = []
        self._at_ns += 10_000_000  # a file follows the one before it
        for i in range(count):
            kinds = odd if i == 10 or self._random.random() < 0.06 else usual
            kind = self.snapshot if i == 10 else kinds[self._random.integers(len(kinds))]
            self._at_ns += int(self._random.integers(self._least_step_ns, 9_000_000))
            texts.append(f"{self._at_ns} {kind()}")
        return "\n".join(texts)

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def _price(self) -> str:
        tick = 10_000 + int(self._random.integers(-15, 15))
        if self._chance(0.01):
            return ("100.005", "-1.0", "0", "1e2", "100.0000000000000001", "")[
                self._random.integers(6)
            ]
        return f"{tick // 10}.{tick % 10}" + "0" * int(self._random.integers(2))

    def _size(self) -> str:
        lots = int(self._random.integers(0, 5)) * int(self._random.integers(1, 2000))
        return "0.0005" if self._chance(0.005) else f"{lots // 1000}.{lots % 1000:03d}"

    def _levels(self, most: int = 5) -> list[list[str]]:
        return [[self._price(), self._size()] for _ in range(self._random.integers(0, most))]

    def _stream(self, **data: Any) -> str:
        at_ms = self._at_ns // 1_000_000
        data |= {"E": at_ms, "T": at_ms - 1, "s": self._symbol}
        if self._chance(0.02):
            data.pop(list(data)[self._random.integers(len(data))])
        if self._chance(0.02) and self._at_ns > START_NS + 100_000_000:
            data["s"] = "OTHERUSDT"
        names = list(data)
        if self._chance(0.3):
            self._random.shuffle(names)
        document = {"stream": "x@y", "data": {name: data[name] for name in names}}
        loose = self._chance(0.02)
        return json.dumps(document, separators=None if loose else (",", ":"))

    def touch(self) -> str:
        u = self._u + int(self._random.integers(-30, 12))
        return self._stream(
            e="bookTicker", u=u, b=self._price(), B=self._size(), a=self._price(), A=self._size()
        )

    def trade(self) -> str:
        x = "INSURANCE_FUND" if self._chance(0.03) else "MARKET"
        return self._stream(
            e="trade", t=1, p=self._price(), q=self._size(), X=x, m=self._chance(0.5)
        )

    def diff(self) -> str:
        before = self._u + (7 if self._chance(0.02) else 0)
        self._u += int(self._random.integers(1, 20))
        return self._stream(
            e="depthUpdate", U=before + 1, u=self._u, pu=before, b=self._levels(), a=self._levels()
        )

    def snapshot(self) -> str:
        rows = {"bids": [["99.0", "1.000"]], "asks": [["101.0", "1.000"]]}
        return json.dumps({"lastUpdateId": self._u - 3, "E": 1, "T": 5, **rows})

    def mark(self) -> str:
        return self._stream(e="markPriceUpdate", p="100.05", i="100.01", r="0.0001")

    def noise(self) -> str:
        texts = ("{torn", "", '{"stream":"x","data":{}}', '{"stream":"x\\"y","data":{"e":"trade"}}')
        return texts[self._random.integers(len(texts))] + ("\r" if self._chance(0.3) else "")


def one_by_one(paths: dict[str, list[Path]]) -> tuple[Any, FaultLog, Counter[str]]:
    """The market, its faults and counts as the reader of single lines has them."""
    faults, counts, progress = FaultLog(), Counter[str](), ReadProgress()
    readers = [BinanceReader(s, faults, counts, progress).read(files) for s, files in paths.items()]
    records = heapq.merge(*readers, key=attrgetter("received_ns"))
    rules = [known_instrument(BINANCE_USDM, symbol, None, "") for symbol in paths]
    return concat_chunks(list(hub_chunks(records, rules, faults, 512))), faults, counts


def test_blocks_of_lines_are_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markets of one symbol, whose clock may go back, and of two; in every other one blocks are short."""
    seen: Counter[str] = Counter()
    for seed in range(6):
        monkeypatch.setattr(line_files, "_BLOCK_BYTES", 700 if seed % 2 else 1 << 20)
        is_alone = seed < 3
        first = Capture(seed, "BTCUSDT", may_go_back=is_alone)
        paths = {"BTCUSDT": [packed(tmp_path / f"{seed}-{n}.gz", first.lines(250)) for n in (1, 2)]}
        if not is_alone:
            lines = Capture(seed + 100, "ETHUSDT").lines(300)
            paths["ETHUSDT"] = [packed(tmp_path / f"{seed}-3.gz", lines)]
        expected, faults, counts = one_by_one(paths)

        data = open_market_data(
            [path for files in paths.values() for path in files], chunk_messages=100
        )
        market = concat_chunks(list(data.chunks))

        assert differences(expected, market) == []
        assert np.array_equal(expected.seq, market.seq)
        assert (data.faults.counts, data.line_counts) == (faults.counts, counts)
        assert set(data.faults.examples) == set(faults.examples) or len(faults.examples) == 20
        seen += faults.counts + counts + data.message_counts
    assert seen.keys() >= {
        "BOOK_SNAPSHOT", "BOOK_DELTA", "BBO", "TRADE", "TICKER", "FEED_GAP", "sequence_gap", "off_grid",
        "bad_line", "other_symbol", "depth older than the touch", "bookTicker older than the book",
        "trade left out: INSURANCE_FUND",
    }  # fmt: skip


def test_a_file_that_breaks_gives_what_it_held_before(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.gz", Capture(1, "BTCUSDT").lines(3_000))
    path.write_bytes(path.read_bytes()[:-3_000])
    progress = ReadProgress()

    lines: list[tuple[int, bytes]] = []
    blocks: list[tuple[int, bytes]] = []

    def read_lines() -> None:
        lines.extend(line_files.read_lines(path))

    def read_blocks() -> None:
        for number, block in line_files.read_blocks(path, progress):
            blocks.extend(enumerate((t.rstrip(b"\r") for t in block.split(b"\n")[:-1]), number))

    with pytest.raises(ValueError, match="ends in the middle") as of_lines:
        read_lines()
    with pytest.raises(ValueError, match="ends in the middle") as of_blocks:
        read_blocks()
    assert lines == blocks
    assert str(of_lines.value) == str(of_blocks.value)
