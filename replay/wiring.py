"""Builds a replay from names and paths."""

from __future__ import annotations

from execution.domain.config import ExecutionConfig
from execution.wiring import load_execution_config
from strategy.domain.config import DecisionConfig
from strategy.wiring import load_decision_config


def load_configs(name: str) -> tuple[DecisionConfig, ExecutionConfig]:
    """What strategy and execution would load for `name`: a built-in document or a JSON file.

    Raises: BadConfig with every reason.
    """
    decision = load_decision_config(name)
    execution, _ = load_execution_config(name)
    return decision, execution
