"""A trading config document as the strategy reads it: market, strategy and risk of the one document."""

from __future__ import annotations

from failover.domain.config import SECTIONS, SectionRegistry, load_document
from strategy.domain.config import DecisionConfig


class BadConfig(ValueError):
    """The document must be corrected; `reasons` says where and why, all at once."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        super().__init__(f"config {name} is refused: " + "; ".join(reasons))
        self.reasons = reasons


def read_decision_config(
    name: str, content: bytes, registry: SectionRegistry = SECTIONS
) -> DecisionConfig:
    """Build the strategy's config from a JSON document; missing sections and fields keep defaults.

    The version is the name with a digest of what the document says. Raises: BadConfig with every reason.
    """
    document, errors = load_document(content, registry)
    if document is None:
        raise BadConfig(name, [str(error) for error in errors])
    return DecisionConfig(
        market=document["market"],
        strategy=document["strategy"],
        risk=document["risk"],
        version=f"{name}:{document.version}",
    )
