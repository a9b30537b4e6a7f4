"""One unit of a backtest: a recording, an account, a config; and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from execution.domain.config import ExecutionConfig
from market.domain.events import FLAG_BLOCK, FLAG_RPI, EventChunk, EventKind
from market.domain.instruments import Instrument
from replay.domain.curves import CurvePoints, Drawdown
from replay.domain.trade_results import OpenPosition, TradeResult
from strategy.domain.config import DecisionConfig


class Variant(StrEnum):
    """The run itself, and the same run under other assumptions."""

    BASE = "base"
    LATENCY_HALF = "latency x0.5"
    LATENCY_DOUBLE = "latency x2"
    FEES_HALF = "fees x0.5"
    FEES_DOUBLE = "fees x2"


_LATENCY = {Variant.LATENCY_HALF: 0.5, Variant.LATENCY_DOUBLE: 2.0}
_FEES = {Variant.FEES_HALF: 0.5, Variant.FEES_DOUBLE: 2.0}


class Tape(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that one account trades through; `name` is unique within a backtest.

    `alone`: its symbols one by one, where that can be.
    """

    name: str
    paths: tuple[str, ...]
    symbols: tuple[str, ...]
    size_bytes: int
    alone: tuple[Tape, ...] = ()


class BacktestJob(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker needs. `paths` are one recording: files that continue or complete each other."""

    name: str
    paths: tuple[str, ...]
    decision: DecisionConfig
    execution: ExecutionConfig
    execution_by_symbol: dict[str, ExecutionConfig] = {}
    variant: Variant = Variant.BASE
    symbols: tuple[str, ...] = ()  # all when empty
    from_ns: int | None = None
    to_ns: int | None = None
    instruments_file: str = ""
    size_bytes: int = 0  # of the files, for the progress bar


class PartResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one job came to; small, whatever the size of the recording."""

    name: str
    variant: Variant
    paths: list[str]
    symbols: list[str]
    from_ns: int
    to_ns: int
    warmup_s: float  # of its config: nothing is traded before
    digest: str
    deposit_usdt: Decimal
    trades: list[TradeResult]
    open_positions: list[OpenPosition]
    unexplained_trades: int
    fills: int
    maker_fills: int
    equity: CurvePoints
    drawdown: Drawdown
    prices: dict[str, CurvePoints]
    market_notional_usdt: dict[str, float]
    report: dict[str, Any]  # of the replay: counts, assumptions, faults

    @property
    def span_ns(self) -> int:
        return max(self.to_ns - self.from_ns, 0)


class PartFailure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A job that gave nothing; `reason` is one line for the reader."""

    name: str
    paths: list[str]
    reason: str


def with_variant(job: BacktestJob, variant: Variant) -> BacktestJob:
    """The job under the variant's assumption; fees change for the venue and for the gate alike."""
    changes: dict[str, Any] = {"variant": variant}
    if (factor := _LATENCY.get(variant)) is not None:
        changes |= _executions(job, partial(_latency_times, factor=factor))
    elif (factor := _FEES.get(variant)) is not None:
        changes |= _executions(job, partial(_fees_times, factor=factor))
        changes["decision"] = _decision_fees_times(job.decision, factor)
    return msgspec.structs.replace(job, **changes)


def _executions(job: BacktestJob, change: Callable[[ExecutionConfig], Any]) -> dict[str, Any]:
    own = {symbol: change(config) for symbol, config in job.execution_by_symbol.items()}
    return {"execution": change(job.execution), "execution_by_symbol": own}


def _latency_times(config: ExecutionConfig, factor: float) -> ExecutionConfig:
    def times(own_ms: float) -> float:
        return own_ms * factor if own_ms >= 0 else own_ms  # -1: as any order

    sim = msgspec.structs.replace(
        config.sim,
        latency_jitter_ms=times(config.sim.latency_jitter_ms),
        amend_latency_ms=times(config.sim.amend_latency_ms),
        cancel_latency_ms=times(config.sim.cancel_latency_ms),
    )
    latency_ms = round(config.sim_latency_ms * factor)
    return msgspec.structs.replace(config, sim_latency_ms=latency_ms, sim=sim)


def _decision_fees_times(decision: DecisionConfig, factor: float) -> DecisionConfig:
    symbols = {
        symbol: msgspec.structs.replace(own, risk=_fees_times(own.risk, factor))
        for symbol, own in decision.symbols.items()
    }
    risk = _fees_times(decision.risk, factor)
    return msgspec.structs.replace(decision, risk=risk, symbols=symbols)


def _fees_times(config: Any, factor: float) -> Any:
    def times(fee_bps: float) -> float:
        return fee_bps * factor if fee_bps >= 0 else fee_bps / factor  # dearer: less of a rebate

    return msgspec.structs.replace(
        config,
        maker_fee_bps=times(config.maker_fee_bps),
        taker_fee_bps=times(config.taker_fee_bps),
    )


class MarketVolume:
    """Notional that traded in the recording, by symbol: what our own size is measured against."""

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        self._symbols = [instrument.symbol for instrument in instruments]
        self._unit = np.array([float(i.tick_size * i.qty_step) for i in instruments])
        self._notional: NDArray[np.float64] = np.zeros(len(instruments))

    def watch(self, chunks: Iterator[EventChunk]) -> Iterator[EventChunk]:
        """Hand the chunks through, adding up their trades (block and retail ones are not for us)."""
        for chunk in chunks:
            is_trade = (chunk.kind == EventKind.TRADE) & ~(
                (chunk.flags & (FLAG_RPI | FLAG_BLOCK)).astype(bool)
            )
            entries = chunk.level_offset[:-1][is_trade]
            columns = chunk.symbol[is_trade]
            value = chunk.tick[entries].astype(np.float64) * chunk.lot[entries]
            self._notional += np.bincount(
                columns, weights=value * self._unit[columns], minlength=self._unit.size
            )
            yield chunk

    def by_symbol(self) -> dict[str, float]:
        return dict(zip(self._symbols, self._notional.tolist(), strict=True))
