"""What the strategy remembers of each symbol."""

from __future__ import annotations

from dataclasses import dataclass, field

from market.domain.instruments import Instrument
from strategy.domain.gate import CostModel
from strategy.domain.messages import Side, SymbolState
from strategy.domain.regime import RegimeStatus
from strategy.domain.risk import Exposure

StreamId = tuple[int, int]
FREE = CostModel(0.0, 0.0, 0.0, 0.0)


def parse_stream_id(text: str) -> StreamId | None:
    """`<ms>-<n>` of a bus entry as a comparable pair; None when there is none or it is malformed."""
    head, _, tail = text.partition("-")
    if head.isdecimal() and tail.isdecimal():
        return int(head), int(tail)
    return None


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
    regime: RegimeStatus = field(default_factory=RegimeStatus)
    cost: CostModel = FREE  # of the round trip its plan would make
    scorer_failure: str = ""  # why its pluggable scorer is not asked
    # the last frame that was decided upon: requests are named after it
    frame_seq: int = 0
    market_generation: int = 0  # market restarts seen: frame numbers begin anew
    signal_side: Side | None = None  # of state ARM
    reverse_to: Side | None = None  # of state EXIT_PENDING: the side to be entered once flat
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
    symbol: str = ""  # of the instrument

    def __post_init__(self) -> None:
        """Kept beside the instrument: it is asked for at every step."""
        self.symbol = self.instrument.symbol

    def deadline_ns(self) -> int | None:
        """When a time-out of the present state is due; None where it waits for no time."""
        if self.state is SymbolState.COOLDOWN:
            return self.cooldown_until_ns
        if self.state is SymbolState.EXIT_PENDING:
            return self.exit_deadline_ns
        waits = self.state in (SymbolState.ENTRY_PENDING, SymbolState.IN_POSITION)
        return self.entry_deadline_ns if waits and self.pending is not None else None
