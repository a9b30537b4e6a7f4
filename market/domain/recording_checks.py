"""Judges the lines of one recorded file as they stream by. Pure: blocks of bytes in, findings out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from market.domain.raw_events import RawFile
from market.domain.recorded_state import RecordedBook, RecordedTicker
from market.domain.recording_findings import FindingList, Problem
from market.domain.recording_index import IndexPart, RecordedGap
from market.domain.recording_runs import RunSeen

CROSSED_MS = 250
_FLUSH_NS = 1_000_000_000
_SHOWN_BYTES = 120
_NS_PER_DAY = 86_400_000_000_000

_Positive = Annotated[int, Meta(ge=1, le=2**62)]
_Price = Annotated[float, Meta(gt=0)]
_Size = Annotated[float, Meta(ge=0)]
_Level = tuple[_Price, _Size]


class _TradePayload(msgspec.Struct):
    ts: float
    price: _Price = 0.0
    qty: _Size = 0.0
    side: Literal["Buy", "Sell", ""] = ""
    subtype: str = ""
    dropped: int = 0
    fromSeq: int = 0  # noqa: N815


class _BookPayload(msgspec.Struct):
    ts: float
    subtype: Literal["SNAPSHOT", "CHECKPOINT", "DELTA", "BBO", "GAP", "LIVENESS"]
    bids: list[_Level] = []
    asks: list[_Level] = []
    dropped: int = 0
    fromSeq: int = 0  # noqa: N815


class _TickerPayload(msgspec.Struct):
    ts: float
    subtype: Literal["", "CHECKPOINT", "GAP"] = ""
    lastPrice: Decimal | None = None  # noqa: N815
    markPrice: Decimal | None = None  # noqa: N815
    indexPrice: Decimal | None = None  # noqa: N815
    fundingRate: Decimal | None = None  # noqa: N815
    nextFundingTime: Decimal | None = None  # noqa: N815
    openInterest: Decimal | None = None  # noqa: N815
    dropped: int = 0
    fromSeq: int = 0  # noqa: N815


class _Line(msgspec.Struct, rename="camel", kw_only=True):
    timestamp: str
    source: str
    type: str
    symbol: str
    recorder_run: str
    seq: _Positive
    recv_ts: _Positive
    schema_version: int


class _TradeLine(_Line, kw_only=True):
    payload: _TradePayload


class _BookLine(_Line, kw_only=True):
    payload: _BookPayload


class _TickerLine(_Line, kw_only=True):
    payload: _TickerPayload


_LINES: dict[RawFile, Any] = {
    RawFile.TRADES: _TradeLine,
    RawFile.ORDERBOOK: _BookLine,
    RawFile.TICKER: _TickerLine,
}
_DECODERS = {kind: msgspec.json.Decoder(line).decode for kind, line in _LINES.items()}
_GAP = "RECORDER_GAP"
_TYPES = {
    RawFile.TRADES: frozenset({"TRADE", _GAP}),
    RawFile.ORDERBOOK: frozenset({"ORDERBOOK_SNAPSHOT", "ORDERBOOK_DELTA", _GAP}),
    RawFile.TICKER: frozenset({"TICKER", _GAP}),
}
_TICKER_FIELDS = tuple(
    field
    for field in _TickerPayload.__struct_fields__
    if field not in ("ts", "subtype", "dropped", "fromSeq")
)


class FileCheck:
    """Give it the blocks of one file in order, then `finish`. `parts` and `gaps` make its index."""

    def __init__(
        self,
        path: str,
        symbol: str,
        kind: RawFile,
        findings: FindingList,
        runs: dict[str, RunSeen],
        *,
        day: int | None = None,
        boundaries: Collection[int] = (),
        crossed_ms: int = CROSSED_MS,
    ) -> None:
        """`day`: the UTC day since the epoch its lines must have. `boundaries`: where a part begins."""
        self.parts: list[IndexPart] = []
        self.gaps: list[RecordedGap] = []
        self.rows = 0
        self.bytes = 0
        self.symbol, self.kind = symbol, kind
        self._path = path
        self._findings, self._runs = findings, runs
        self._day_ns = 0 if day is None else day * _NS_PER_DAY
        self._end_ns = 2**63 if day is None else self._day_ns + _NS_PER_DAY
        self._earliest_ns = self._day_ns  # of the next line
        self._boundaries = frozenset(boundaries)
        self._crossed_ns = crossed_ms * 1_000_000
        self._decode = _DECODERS[kind]
        self._types = _TYPES[kind]
        self._whole = hashlib.sha256()
        self._run, self._seen = "", RunSeen()
        self._last_seq = self._last_message = self._last_ts = 0
        self._seqs: list[int] = []
        self._seqs_from_ts = 0
        self._book, self._ticker = RecordedBook(), RecordedTicker()
        self._crossed_since_ns, self._crossed_at = 0, (0.0, 0.0)
        self._part: _OpenPart | None = None
        self._block, self._block_from, self._hashed_to = memoryview(b""), 0, 0

    @property
    def sha256(self) -> str:
        """Of all that was taken."""
        return self._whole.hexdigest()

    def take(self, block: bytes) -> None:
        """Judge a block of whole lines; only the file's last one may end without a line feed."""
        self._whole.update(block)
        self._block, self._block_from, self._hashed_to = memoryview(block), self.bytes, self.bytes
        lines = block.split(b"\n")
        torn = lines.pop()
        for text in lines:
            self._take_line(text)
            self.bytes += len(text) + 1
        if torn:
            self._begin_line()
            self._note(Problem.TORN_LINE, f"no line feed at the end: {_shown(torn)}")
            self.bytes += len(torn)
        self._hash_part()

    def finish(self) -> None:
        """Judge what only the end shows."""
        self._flush_seqs()
        self._close_part()
        if self._crossed_since_ns:
            self._note_crossed(self._last_ts)

    def _take_line(self, text: bytes) -> None:
        try:
            line = self._decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._begin_line()
            self._damage(text, str(error))
            return
        if line.symbol != self.symbol or line.type not in self._types:
            self._begin_line()
            self._note(Problem.FOREIGN_LINE, f"{line.type} of {line.symbol[:40]}")
            return
        if line.recorder_run != self._run:
            self._begin_run(line.recorder_run)
        part = self._begin_line()
        part.last = line
        if part.first is None:
            part.first, part.run = line, line.recorder_run
        payload, seq, ts = line.payload, line.seq, line.recv_ts
        is_plain = payload.subtype != "CHECKPOINT" and line.type != _GAP
        # Nearly every line is the next one in every respect: that is settled here.
        if (
            is_plain
            and seq > self._last_message
            and seq >= self._last_seq
            and self._earliest_ns <= ts < self._end_ns
            and self._seqs
            and ts - self._seqs_from_ts <= _FLUSH_NS
        ):
            self._seqs.append(seq)
            self._last_message = self._last_seq = seq
            self._last_ts = self._earliest_ns = ts
        else:
            self._judge_order(line)
        if self.kind is RawFile.ORDERBOOK and is_plain:
            self._judge_book(line, payload)
        else:
            self._judge_state(line)

    def _begin_run(self, run: str) -> None:
        self._flush_seqs()
        is_back = run in {part.recorder_run for part in self.parts}
        self._close_part()
        if is_back:
            self._note(Problem.REORDERED_SEQ, f"run {run} goes on after another one began")
        self._run, self._seen = run, self._runs.setdefault(run, RunSeen())
        self._last_seq = self._last_message = self._last_ts = 0
        self._earliest_ns = self._day_ns
        self._book.forget()
        self._ticker.forget()
        self._crossed_since_ns = 0

    def _judge_order(self, line: Any) -> None:
        seq, ts = line.seq, line.recv_ts
        if line.type == _GAP or line.payload.subtype == "CHECKPOINT":
            if seq < self._last_seq:
                self._note(Problem.REORDERED_SEQ, f"{line.type} as of {seq}", line)
        elif seq > self._last_message:
            if seq < self._last_seq:
                self._note(Problem.REORDERED_SEQ, f"seq {seq} after {self._last_seq}", line)
            if not self._seqs:
                self._seqs_from_ts = ts
            self._seqs.append(seq)
            self._last_message = seq
            if ts - self._seqs_from_ts > _FLUSH_NS:
                self._flush_seqs()
        else:
            self._judge_old(seq, ts, line)
        if ts < self._last_ts:
            self._note(Problem.TIME_BACKWARDS, f"{ts} after {self._last_ts}", line)
        if not self._day_ns <= ts < self._end_ns:
            self._note(Problem.WRONG_DAY, f"core time {ts} is of another day", line)
        self._last_seq = max(self._last_seq, seq)
        self._last_ts = ts
        self._earliest_ns = max(ts, self._day_ns)

    def _judge_old(self, seq: int, ts: int, line: Any) -> None:
        """A number not above the last one: a repetition, or out of its place."""
        self._flush_seqs()
        if self._seen.add(np.array([seq]), ts, ts):
            self._note(Problem.DUPLICATE_SEQ, f"seq {seq} again", line)
        else:
            self._note(Problem.REORDERED_SEQ, f"seq {seq} after {self._last_message}", line)

    def _flush_seqs(self) -> None:
        if self._seqs:
            seqs = np.array(self._seqs, np.int64)
            for seq in self._seen.add(seqs, self._seqs_from_ts, self._last_ts):
                self._note(Problem.DUPLICATE_SEQ, f"seq {seq} is in two places", seq=seq)
            self._seqs.clear()

    def _judge_state(self, line: Any) -> None:
        payload = line.payload
        if line.type == _GAP:
            self._admit(line, _GAP)
            self._book.forget()
            self._ticker.forget()
        elif self.kind is RawFile.ORDERBOOK:
            self._judge_book(line, payload)
        elif self.kind is RawFile.TICKER:
            self._judge_ticker(line, payload)
        elif not (payload.price and payload.side):
            self._note(Problem.UNREADABLE_LINE, "a trade without price or side", line)

    def _judge_book(self, line: Any, payload: _BookPayload) -> None:
        book, subtype = self._book, payload.subtype
        if subtype == "DELTA":
            if book.is_known:
                book.change(payload.bids, payload.asks)
        elif subtype == "BBO":
            if book.is_known:
                book.state_touch(payload.bids, payload.asks)
        elif subtype == "GAP":
            self._admit(line, "FEED_GAP")
            book.forget()
        elif subtype != "LIVENESS":
            if (
                subtype == "CHECKPOINT"
                and book.is_known
                and not book.is_equal(payload.bids, payload.asks)
            ):
                self._note(Problem.CHECKPOINT_DIFFERS, "the lines before make another book", line)
            book.replace(payload.bids, payload.asks)
        if book.is_crossed:
            if not self._crossed_since_ns:
                self._crossed_since_ns, self._crossed_at = line.recv_ts, book.touch
        elif self._crossed_since_ns:
            if line.recv_ts - self._crossed_since_ns > self._crossed_ns:
                self._note_crossed(line.recv_ts)
            self._crossed_since_ns = 0

    def _judge_ticker(self, line: Any, payload: _TickerPayload) -> None:
        fields = {
            name: value for name in _TICKER_FIELDS if (value := getattr(payload, name)) is not None
        }
        if payload.subtype == "CHECKPOINT":
            if not self._ticker.checkpoint(fields):
                self._note(Problem.CHECKPOINT_DIFFERS, "the lines before make another ticker", line)
        else:
            self._ticker.change(fields)

    def _admit(self, line: Any, kind: str) -> None:
        gap = RecordedGap(
            kind=kind,
            recorder_run=line.recorder_run,
            seq=line.seq,
            ts=line.recv_ts,
            dropped=line.payload.dropped,
            from_seq=line.payload.fromSeq,
        )
        self.gaps.append(gap)
        if kind == _GAP:
            self._seen.admit(gap)
            self._note(Problem.RECORDER_GAP, f"{gap.dropped} message(s) dropped", line)
        else:
            self._note(Problem.FEED_GAP, "the feed itself missed something", line)

    def _damage(self, text: bytes, reason: str) -> None:
        is_torn = not text.endswith(b"}") or not text.startswith(b'{"timestamp":"')
        problem = Problem.TORN_LINE if is_torn else Problem.UNREADABLE_LINE
        self._note(problem, f"{reason}: {_shown(text)}")
        self._book.forget()
        self._ticker.forget()

    def _note_crossed(self, until_ns: int) -> None:
        since, (bid, ask) = self._crossed_since_ns, self._crossed_at
        self._findings.add(
            Problem.CROSSED_BOOK,
            self._path,
            f"for {(until_ns - since) / 1e6:.0f} ms, from bid {bid} and ask {ask} on",
            line=self.rows,
            recorder_run=self._run,
            seq=self._last_seq,
            ts=since,
        )

    def _note(
        self, problem: Problem, detail: str, line: Any = None, *, seq: int | None = None
    ) -> None:
        self._findings.add(
            problem,
            self._path,
            detail,
            line=self.rows,
            offset=self.bytes,
            recorder_run=self._run if line is None else line.recorder_run,
            seq=seq if line is None else line.seq,
            ts=None if line is None else line.recv_ts,
        )

    # -- parts of the index

    def _begin_line(self) -> _OpenPart:
        """The part that the line at `self.bytes` belongs to."""
        self.rows += 1
        part = self._part
        if part is None or self.bytes in self._boundaries:
            self._close_part()
            part = self._part = _OpenPart(self._run, self.bytes)
        part.rows += 1
        return part

    def _close_part(self) -> None:
        if self._part is not None:
            self._hash_part()
            self.parts.append(self._part.closed(self.bytes))
            self._part = None

    def _hash_part(self) -> None:
        """Let the open part's checksum reach what has been taken."""
        if self._part is not None:
            start, end = self._hashed_to - self._block_from, self.bytes - self._block_from
            self._part.hash.update(self._block[start:end])
        self._hashed_to = self.bytes


class _OpenPart:
    """A part while its lines pass."""

    __slots__ = ("first", "hash", "last", "offset", "rows", "run")

    def __init__(self, run: str, offset: int) -> None:
        self.run, self.offset, self.rows = run, offset, 0
        self.first: Any = None
        self.last: Any = None
        self.hash = hashlib.sha256()

    def closed(self, end: int) -> IndexPart:
        first, last = self.first, self.last
        return IndexPart(
            recorder_run=self.run,
            offset=self.offset,
            bytes=end - self.offset,
            rows=self.rows,
            first_ts=first.recv_ts if first else 0,
            last_ts=last.recv_ts if last else 0,
            first_seq=first.seq if first else 0,
            last_seq=last.seq if last else 0,
            sha256=self.hash.hexdigest(),
            is_closed=False,
        )


def _shown(text: bytes) -> str:
    return repr(text[:_SHOWN_BYTES].decode("utf-8", "replace"))
