"""Contradictions between the sections of a trading config, told together with their paths."""

from __future__ import annotations

import msgspec
import pytest

from failover.domain.config import load_document


def paths_of(**sections: object) -> list[str]:
    loaded, errors = load_document(msgspec.json.encode(sections))
    assert (loaded is None) == bool(errors)
    return [error.path for error in errors]


def test_the_defaults_contradict_nothing() -> None:
    assert paths_of() == []


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"risk": {"makerFeeBps": 1.0}}, "execution.makerFeeBps"),
        ({"execution": {"takerFeeBps": 6.0}}, "execution.takerFeeBps"),
        ({"risk": {"riskPerTradePct": 1.5, "dailyLossLimitPct": 1.0}}, "risk.riskPerTradePct"),
        ({"market": {"evaluationIntervalMs": 4000}}, "strategy.entryTimeoutMs"),
        ({"strategy": {"requestTtlMs": 100}, "market": {"evaluationIntervalMs": 500}},
         "strategy.requestTtlMs"),
        ({"execution": {"staleQuoteMs": 150}}, "execution.staleQuoteMs"),
        ({"execution": {"simLatencyMs": 1500}}, "strategy.entryTimeoutMs"),
        ({"execution": {"minNotionalUsdt": 20.0}, "risk": {"maxNotionalUsd": 10.0}},
         "execution.minNotionalUsdt"),
        ({"risk": {"marginTiers": [
            {"upToUsdt": 1e6, "maintenanceBps": 100.0, "maxLeverage": 50.0}]}},
         "execution.sim.marginTiers"),
    ],
)  # fmt: skip
def test_sections_that_contradict_each_other_are_refused(
    sections: dict[str, object], path: str
) -> None:
    assert path in paths_of(**sections)


def test_contradictions_are_told_together_with_all_other_errors() -> None:
    found = paths_of(
        risk={"makerFeeBps": 1.0},
        market={"staleBookMs": 1},
        symbols={"XRPUSDT": {"risk": {"riskPerTradePct": 2.5, "maxPositions": 9}}, "xrp": {}},
    )

    assert found == [
        "execution.makerFeeBps",
        "market.staleBookMs",
        "symbols.XRPUSDT.risk.maxPositions",
        "symbols.xrp",
    ]


def test_an_override_is_judged_as_what_it_makes_of_the_section() -> None:
    symbols = {
        "XRPUSDT": {"strategy": {"watchScore": 80}},
        "BTCUSDT": {"risk": {"riskPerTradePct": 2.0}},
    }

    assert paths_of(symbols=symbols, risk={"dailyLossLimitPct": 1.0}) == [
        "symbols.BTCUSDT.risk.riskPerTradePct",
        "symbols.XRPUSDT.strategy",
    ]
