"""Builds a replay from names and paths."""

from __future__ import annotations

from execution.domain.profile import ExecutionSettings, execution_settings_of
from failover.services.config_reader import load_config
from strategy.domain.config import DecisionConfig
from strategy.domain.profile import decision_config_of


def load_settings(name: str) -> tuple[DecisionConfig, ExecutionSettings]:
    """What strategy and execution run on under `name`: a document, a file, `active` or `v7`.

    Raises: BadConfigDocument with every error.
    """
    document = load_config(name)
    return decision_config_of(document), execution_settings_of(document)
