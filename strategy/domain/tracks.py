"""What the strategy remembers of each symbol, and one frame as it looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from market.domain.frames import FrameReason, Frames
from market.domain.instruments import Instrument
from strategy.domain.gate import CostModel
from strategy.domain.messages import Side, SymbolState
from strategy.domain.regime import BookReading, RegimeTracker
from strategy.domain.risk import Exposure
from strategy.domain.score import Scores

StreamId = tuple[int, int]


def parse_stream_id(text: str) -> StreamId | None:
    """`<ms>-<n>` of a bus entry as a comparable pair; None when there is none or it is malformed."""
    head, _, tail = text.partition("-")
    if head.isdecimal() and tail.isdecimal():
        return int(head), int(tail)
    return None


class FrameView(NamedTuple):
    """The figures of one frame that decisions use; NaN where unknown."""

    accepted: bool
    symbol: int
    ts_ns: int
    frame_seq: int
    is_boundary: bool
    warm: bool
    book_state: int
    bid_ticks: int
    ask_ticks: int
    spread_bps: float
    bid_depth_usd: float
    ask_depth_usd: float
    rv60s: float
    funding_rate: float
    seconds_to_funding: float
    pressure: float
    score_long: float
    score_short: float
    expected_move_bps: float
    cost_bps: float
    contributions: list[float]

    @property
    def side(self) -> Side:
        """The side the pressure points to."""
        return Side.LONG if self.pressure >= 0 else Side.SHORT

    def score(self, side: Side) -> float:
        return self.score_long if side is Side.LONG else self.score_short

    def near_depth_usd(self, side: Side) -> float:
        """Depth of the book side that a stop of this side would be filled from."""
        return self.bid_depth_usd if side is Side.LONG else self.ask_depth_usd

    def book_reading(self) -> BookReading:
        return BookReading(
            book_state=self.book_state,
            spread_bps=self.spread_bps,
            bid_depth_usd=self.bid_depth_usd,
            ask_depth_usd=self.ask_depth_usd,
        )


def frame_views(frames: Frames, scores: Scores, cost: CostModel) -> Iterator[FrameView]:
    """Rows as tuples: columns leave numpy once a batch, not once a value."""
    cost_bps = cost.fixed_bps + cost.spread_share * frames["spread_bps"]
    columns = (
        scores.accepted,
        frames["symbol"],
        frames["ts_ns"],
        frames["frame_seq"],
        frames["reason"] == FrameReason.BOUNDARY,
        scores.warm,
        *(frames[name] for name in ("book_state", "bid_tick", "ask_tick", "spread_bps")),
        *(frames[name] for name in ("bid_depth_usd20", "ask_depth_usd20", "rv60s")),
        *(frames[name] for name in ("funding_rate", "seconds_to_funding")),
        scores.pressure,
        scores.score_long,
        scores.score_short,
        scores.expected_move_bps,
        cost_bps,
        scores.contributions,
    )
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield FrameView(*row)


@dataclass(slots=True, kw_only=True)
class PendingEntry:
    """An OPEN request whose end we have not been told; its worst case counts against the limits.

    `side` and `exposure` are None for an entry of an earlier run, known only from a snapshot.
    """

    request_id: str
    side: Side | None
    exposure: Exposure | None
    valid_until_ns: int
    stream_id: StreamId | None = None


@dataclass(slots=True)
class SymbolTrack:
    """One symbol: where its machine stands and what it waits for. Times are core time."""

    instrument: Instrument
    state: SymbolState = SymbolState.FLAT
    pending: PendingEntry | None = None
    side: Side | None = None  # of the position or the entry
    exposure: Exposure | None = None  # of the position until a snapshot shows its own figures
    regime: RegimeTracker = field(default_factory=RegimeTracker)
    # frames
    frame_seq: int = 0
    frame_ts_ns: int = 0
    market_generation: int = 0  # market restarts seen: frame numbers begin anew
    # arming
    armed_side: Side | None = None
    armed_frames: int = 0
    signal_side: Side | None = None  # of state ARM
    refusals: tuple[str, ...] = ()  # of the last plan that could not be made
    # deadlines
    entry_deadline_ns: int = 0
    exit_deadline_ns: int = 0
    cooldown_until_ns: int = 0
    # pace of what is told
    hint_ts_ns: int = 0
    hint_holds: bool = True
    score_ts_ns: int = 0
    signals: tuple[bool, bool] = (False, False)

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def deadline_ns(self) -> int | None:
        """When a time-out of the present state is due; None where it waits for no time."""
        if self.state is SymbolState.COOLDOWN:
            return self.cooldown_until_ns
        if self.state is SymbolState.EXIT_PENDING:
            return self.exit_deadline_ns
        waits = self.state in (SymbolState.ENTRY_PENDING, SymbolState.IN_POSITION)
        return self.entry_deadline_ns if waits and self.pending is not None else None

    def note_frame(self, view: FrameView, silence_ms: int) -> None:
        """Follow the frame numbers; a gap in time or a new market run disarms."""
        if view.frame_seq <= self.frame_seq:
            self.market_generation += 1
            self.disarm()
        if view.ts_ns - self.frame_ts_ns > silence_ms * 1_000_000:
            self.disarm()
        self.frame_seq, self.frame_ts_ns = view.frame_seq, view.ts_ns

    def note_strength(self, side: Side, is_strong: bool) -> None:
        """Count boundary frames in a row on which one side reached the entry score."""
        if not is_strong:
            self.disarm()
            return
        self.armed_frames = self.armed_frames + 1 if side is self.armed_side else 1
        self.armed_side = side

    def disarm(self) -> None:
        self.armed_side, self.armed_frames = None, 0
