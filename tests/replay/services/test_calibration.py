"""A calibration proposes weights only where the scorer that uses them trades."""

from __future__ import annotations

from typing import Any

import pytest

from execution.domain.synthetic_instruments import synthetic_instruments
from market.domain.recordings import FaultLog, MarketData, ReadProgress
from replay.domain.calibration_results import CalibrationSettings, Found, SymbolCalibration
from replay.services import calibration
from replay.services.calibration import proposed_document, run_calibration
from strategy.domain.config import DecisionConfig, StrategyConfig, SymbolDecision
from strategy.domain.scorer import SCORERS, LinearScorer

OWN = "trader_scorers.Lean"


def convinced(symbol: str, *_: Any) -> SymbolCalibration:
    """What a recording with an edge would come to."""
    return SymbolCalibration(
        symbol=symbol, samples=9, usable_samples=9, from_ns=0, to_ns=1, horizons=(),
        verdict="edge after cost at 5 s", found=Found(horizon_s=5.0, edge_coef=2.0, weights={"imb5": 1.0}),
    )  # fmt: skip


def test_a_symbol_with_a_scorer_of_its_own_gets_no_proposal_but_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SCORERS, "_load", lambda path: LinearScorer)
    monkeypatch.setattr(calibration, "calibrate", convinced)
    config = DecisionConfig(
        symbols={"ETHUSDT": SymbolDecision(strategy=StrategyConfig(scorer=OWN))}
    )
    data = MarketData(
        instruments=tuple(synthetic_instruments(("ETHUSDT", "AI16ZUSDT"))), chunks=iter(()),
        description="nothing", paths=(), faults=FaultLog(), progress=ReadProgress(),
    )  # fmt: skip

    report = run_calibration(data, config, CalibrationSettings(), files=[])

    refused, found = report.symbols
    assert refused.found is None
    assert f"scorer {OWN} trades it" in refused.verdict
    assert report.found == [found]
    document = proposed_document({}, report.symbols)
    assert document is not None
    assert [*document["symbols"]] == ["AI16ZUSDT"]
