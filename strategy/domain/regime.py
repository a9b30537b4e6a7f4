"""Regime of one symbol (pipeline §2): is its book fit to be traded at all?

ILLIQUID and STALE are judged here from single frames. PUMP, DUMP, NEWS and MANIPULATED need lagged
baselines and are named so that records and screens know them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market.domain.frames import BookState
from strategy.domain.config import StrategyConfig

_NS_PER_S = 1_000_000_000


class Regime(StrEnum):
    NORMAL = "NORMAL"
    PUMP = "PUMP"
    DUMP = "DUMP"
    NEWS = "NEWS"
    MANIPULATED = "MANIPULATED"
    ILLIQUID = "ILLIQUID"
    STALE = "STALE"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookReading:
    """What the regime looks at in one frame; USD and bps; NaN where unknown."""

    book_state: int
    spread_bps: float
    bid_depth_usd: float
    ask_depth_usd: float


@dataclass(frozen=True, slots=True)
class RegimeVerdict:
    regime: Regime
    reason: str


def judge(reading: BookReading, config: StrategyConfig) -> RegimeVerdict:
    """The regime this frame alone speaks for, with its figures."""
    if reading.book_state != BookState.OK:
        state = BookState(reading.book_state).name.lower()
        return RegimeVerdict(Regime.STALE, f"order book is {state}")
    # Written so that an unknown figure (NaN) is never good enough.
    if not reading.spread_bps <= config.max_spread_bps:
        return RegimeVerdict(
            Regime.ILLIQUID,
            f"spread {reading.spread_bps:.2f} bps above {config.max_spread_bps:g} bps",
        )
    for side, depth_usd in (("bid", reading.bid_depth_usd), ("ask", reading.ask_depth_usd)):
        if not depth_usd >= config.min_depth_usd:
            return RegimeVerdict(
                Regime.ILLIQUID,
                f"{side} depth {depth_usd:,.0f} USD below {config.min_depth_usd:,.0f} USD",
            )
    return RegimeVerdict(Regime.NORMAL, "")


@dataclass(slots=True)
class RegimeTracker:
    """A bad regime is entered at once and left after `regime_exit_s` of calm."""

    regime: Regime = Regime.NORMAL
    reason: str = ""
    last_bad_ts_ns: int = 0

    def step(self, ts_ns: int, verdict: RegimeVerdict, exit_s: float) -> bool:
        """Take one frame's verdict; True when the regime changed."""
        before = self.regime
        if verdict.regime is not Regime.NORMAL:
            self.last_bad_ts_ns = ts_ns
            self.regime, self.reason = verdict.regime, verdict.reason
        elif before is not Regime.NORMAL and ts_ns - self.last_bad_ts_ns >= exit_s * _NS_PER_S:
            self.regime, self.reason = Regime.NORMAL, f"calm for {exit_s:g} s"
        return self.regime is not before
