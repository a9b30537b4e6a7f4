"""What a run amounted to: counts, closed trades, fees, profit. Grown by watching the pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow
from execution.domain.venue import OrderFilled, PlaceOrder, VenueUpdate
from market.domain.frames import FrameReason, Frames
from replay.domain.digest import RunDigest
from strategy.domain.messages import (
    ExecutionSnapshot,
    OrderRequest,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
    StrategyOutput,
    SymbolState,
)

Row = dict[str, Any]

_TOLD_AT_A_PACE = frozenset({ScoreUpdate, RiskSnapshot})
_SAID_AGAIN = frozenset({ExecutionSnapshot, LogLine, RecordRow})


class RunFigures:
    """An observer that counts and keeps the closed trades (`trades`, rows of TradeLogRecord)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.trades: list[Row] = []
        self.fees_usdt = Decimal(0)
        self.frames_by_symbol: Counter[int] = Counter()
        self.crossed_frames = 0
        self.transitions: Counter[str] = Counter()

    def on_frames(self, frames: Frames) -> None:
        self.counts["frames"] += frames.size
        self.counts["trigger frames"] += int((frames["reason"] == FrameReason.TRIGGER).sum())
        seen = np.bincount(frames["symbol"])
        self.frames_by_symbol.update({n: int(seen[n]) for n in np.flatnonzero(seen).tolist()})
        priced = frames["bid_tick"] > 0
        self.crossed_frames += int(
            np.count_nonzero(
                priced & (frames["ask_tick"] > 0) & (frames["bid_tick"] >= frames["ask_tick"])
            )
        )

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        del now_ns
        for output in outputs:
            if type(output) is OrderRequest:
                self.counts[f"requests {output.action}"] += 1
            elif type(output) is StateEvent:
                self.counts["state events"] += 1
                self.transitions[f"{output.from_state} > {output.to_state}"] += 1
                self.counts["signals"] += output.to_state is SymbolState.ARM

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        del now_ns
        for output in outputs:
            if type(output) is PlaceOrder:
                self.counts["orders"] += 1
            elif type(output) is RecordRow and _is_trade(output):
                self.trades.append(output.row)

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        del now_ns
        if type(update) is OrderFilled:
            self.counts["fills"] += 1
            self.counts["maker fills"] += update.is_maker
            self.fees_usdt += update.fee_usdt

    @property
    def net_usdt(self) -> float:
        """Of closed trades, after fees."""
        return sum(float(trade["realizedPnl"]) for trade in self.trades)

    @property
    def closed_fees_usdt(self) -> float:
        return sum(float(trade["fees"]) for trade in self.trades)

    @property
    def gross_usdt(self) -> float:
        return self.net_usdt + self.closed_fees_usdt

    @property
    def wins(self) -> int:
        return sum(1 for trade in self.trades if trade["realizedPnl"] > 0)


def _is_trade(output: RecordRow) -> bool:
    return output.row.get("record") == "TRADE"


class DigestObserver:
    """Feeds a `RunDigest` with every frame and every decision.

    What is only told at a pace (scores, risk, execution's repeated snapshots) decides nothing and depends
    on how often somebody looks; order log lines and rows say decisions again, where somebody writes them
    down. They stay out, closed trades excepted.
    """

    def __init__(self, digest: RunDigest) -> None:
        self._digest = digest

    def on_frames(self, frames: Frames) -> None:
        self._digest.add_frames(frames)

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        for output in outputs:
            if type(output) not in _TOLD_AT_A_PACE:
                self._digest.add_decision("STRATEGY", now_ns, output)

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        for output in outputs:
            said_again = type(output) in _SAID_AGAIN
            if not said_again or (type(output) is RecordRow and _is_trade(output)):
                self._digest.add_decision("EXECUTION", now_ns, output)

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        self._digest.add_decision("VENUE", now_ns, update)
