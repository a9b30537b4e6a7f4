"""Runs the market kernel over a recording, keeps a few columns of its frames, and calibrates each symbol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, structs, to_builtins

from failover.domain.days import iso_ms
from market.domain.kernel import MarketKernel
from market.domain.recordings import MarketData
from replay.domain.calibration import calibrate
from replay.domain.calibration_features import FEATURES, FeatureReader
from replay.domain.calibration_horizon import Yardstick
from replay.domain.calibration_results import CalibrationSettings, SymbolCalibration
from replay.domain.calibration_samples import SampleStore
from strategy.domain.config import DecisionConfig
from strategy.domain.gate import planned_cost
from strategy.domain.scorer import BUILT_IN

METHOD = (
    "Boundary frames on a grid; z of the strategy's own running scales; ridge regression of "
    "move / (rv10s * sqrt(horizon)) on z, expanding walk-forward, labels and an embargo before each "
    "judged block left out. Information coefficient: Spearman rank correlation of the signed expected move "
    "and the realised move, out of sample. Intervals: stationary bootstrap (Politis & Romano 1994), mean "
    "block 2 horizons + 5 s, percentiles widened as Student's t by the number of blocks; those that decide "
    "hold for all horizons at once (Bonferroni). t values: Newey-West over one horizon."
)


class CalibrationReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything a run found; JSON-ready with `msgspec.to_builtins`."""

    schema_version: int = 1
    method: str = METHOD
    config_version: str
    recording: str
    files: list[dict[str, Any]]
    messages: int
    settings: CalibrationSettings
    warmup_s: int
    fees_bps: dict[str, float]
    data_faults: dict[str, int]
    notes: list[str]
    symbols: list[SymbolCalibration]

    @property
    def found(self) -> list[SymbolCalibration]:
        """Symbols with something to propose."""
        return [each for each in self.symbols if each.found is not None]


class Stopped(Exception):
    """The run was asked to end: there is no result."""


def run_calibration(
    data: MarketData,
    config: DecisionConfig,
    settings: CalibrationSettings,
    *,
    files: list[dict[str, Any]],
    on_progress: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> CalibrationReport:
    """Stream the recording once, then judge symbol by symbol. Raises: BadRecording, Stopped."""
    store = _collected(data, config, settings, on_progress, should_stop)
    symbols = []
    for place, symbol in enumerate(data.symbols):
        if should_stop():
            raise Stopped
        yardstick = _yardstick(config, symbol)
        judged = calibrate(symbol, store.samples(place), FEATURES, settings, yardstick)
        symbols.append(_for_its_scorer(judged, config.strategy_for(symbol).scorer))
    return CalibrationReport(
        config_version=config.version,
        recording=data.description,
        files=files,
        messages=sum(data.message_counts.values()),
        settings=settings,
        warmup_s=config.market.warmup_s,
        fees_bps={"maker": config.risk.maker_fee_bps, "taker": config.risk.taker_fee_bps},
        data_faults=dict(sorted(data.faults.counts.items())),
        notes=list(data.notes),
        symbols=symbols,
    )


def _collected(
    data: MarketData,
    config: DecisionConfig,
    settings: CalibrationSettings,
    on_progress: Callable[[], None],
    should_stop: Callable[[], bool],
) -> SampleStore:
    kernel = MarketKernel(data.instruments, config.market)
    reader = FeatureReader(data.symbols, config)
    store = SampleStore(
        symbols=len(data.symbols), features=len(FEATURES), step_ns=settings.step_ms * 1_000_000
    )
    for chunk in data.chunks:
        if should_stop():
            raise Stopped
        frames = kernel.process(chunk)
        if len(frames):
            store.take(frames, *reader.read(frames))
        on_progress()
    return store


def _for_its_scorer(judged: SymbolCalibration, scorer: str) -> SymbolCalibration:
    """Without a proposal where another scorer trades: what was estimated is the built-in one."""
    if scorer == BUILT_IN:
        return judged
    refusal = (
        f"nothing is proposed: scorer {scorer} trades it, these figures are the built-in one's"
    )
    return structs.replace(judged, found=None, verdict=f"{refusal}; {judged.verdict}")


def _yardstick(config: DecisionConfig, symbol: str) -> Yardstick:
    strategy, risk = config.strategy_for(symbol), config.risk_for(symbol)
    cost = planned_cost(strategy, risk)
    return Yardstick(cost.fixed_bps, cost.spread_share, strategy.fee_multiple)


def proposed_document(
    base: dict[str, Any], symbols: Sequence[SymbolCalibration]
) -> dict[str, Any] | None:
    """`base` with what was found as overrides of each symbol; None when nothing was found."""
    found = {each.symbol: each.found for each in symbols if each.found is not None}
    if not found:
        return None
    overrides = {symbol: dict(own) for symbol, own in base.get("symbols", {}).items()}
    for symbol, own in found.items():
        sections = overrides.setdefault(symbol, {})
        sections["strategy"] = {
            **sections.get("strategy", {}),
            "horizonS": own.horizon_s,
            "edgeCoef": own.edge_coef,
            "weights": own.weights,
        }
    return {**base, "symbols": overrides}


def evidence_of(report: CalibrationReport) -> dict[str, Any]:
    """The report as it goes into a proposed version: only the symbols that speak for it."""
    evidence: dict[str, Any] = to_builtins(report)
    evidence["kind"] = "calibrate_edge"
    evidence["symbols"] = to_builtins(report.found)
    evidence["spans"] = {
        each.symbol: {"from": iso_ms(each.from_ns), "to": iso_ms(each.to_ns)}
        for each in report.found
    }
    return evidence
