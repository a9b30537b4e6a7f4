"""A trading config document as execution reads it: its own section, and the limits of risk."""

from __future__ import annotations

import msgspec

from execution.domain.config import ExecutionConfig
from failover.domain.config import ConfigDocument
from strategy.domain.config import RiskConfig


class ExecutionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`config` and `limits` hold account-wide; `symbols` are the full settings of those with overrides,
    `symbol_limits` their risk sections (limits of one position).
    """

    config: ExecutionConfig = ExecutionConfig()
    limits: RiskConfig = RiskConfig()
    symbols: dict[str, ExecutionConfig] = {}
    symbol_limits: dict[str, RiskConfig] = {}
    version: str = ""


def execution_settings_of(document: ConfigDocument) -> ExecutionSettings:
    """What the execution core runs on; its version is the document's."""
    return ExecutionSettings(
        config=document["execution"],
        limits=document["risk"],
        symbols={symbol: own["execution"] for symbol, own in document.symbols.items()},
        symbol_limits={symbol: own["risk"] for symbol, own in document.symbols.items()},
        version=document.version,
    )
