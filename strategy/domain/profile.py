"""A trading config document as the strategy reads it: market, strategy and risk of the one document."""

from __future__ import annotations

from failover.domain.config import ConfigDocument
from strategy.domain.config import DecisionConfig, SymbolDecision


def decision_config_of(document: ConfigDocument) -> DecisionConfig:
    """What the strategy core runs on; its version is the document's."""
    return DecisionConfig(
        market=document["market"],
        strategy=document["strategy"],
        risk=document["risk"],
        symbols={
            symbol: SymbolDecision(strategy=own["strategy"], risk=own["risk"])
            for symbol, own in document.symbols.items()
        },
        version=document.version,
    )
