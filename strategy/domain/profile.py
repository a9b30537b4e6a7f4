"""A trading config document as the strategy reads it: its own sections and the market's."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from market.domain.config import MarketConfig
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "market": MarketConfig,
    "strategy": StrategyConfig,
    "risk": RiskConfig,
}
FOREIGN_SECTIONS = ("execution",)


class BadConfig(ValueError):
    """The document must be corrected; `reasons` says where and why, all at once."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        super().__init__(f"config {name} is refused: " + "; ".join(reasons))
        self.reasons = reasons


def read_decision_config(name: str, document: bytes) -> DecisionConfig:
    """Build the strategy's config from a JSON document; missing sections and fields keep defaults.

    The version is the name with a digest of the document, so that two documents never share one.
    Raises: BadConfig with every reason.
    """
    try:
        raw = msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadConfig(name, [f"not a JSON object: {error}"]) from error
    known = {*SECTIONS, *FOREIGN_SECTIONS}
    reasons = [f"{section}: unknown section" for section in raw if section not in known]
    built: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        try:
            built[section] = msgspec.convert(raw.get(section, {}), kind)
        except msgspec.ValidationError as error:
            reasons.append(f"{section}: {error}")
    if reasons:
        raise BadConfig(name, reasons)
    digest = hashlib.blake2b(document, digest_size=4).hexdigest()
    return DecisionConfig(**built, version=f"{name}:{digest}")
