"""Builds a replay from names and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from execution.domain.config import ExecutionConfig
from strategy.domain.config import DecisionConfig
from strategy.domain.profile import BadConfig
from strategy.wiring import PROFILES_DIR, load_decision_config


def load_configs(name: str) -> tuple[DecisionConfig, ExecutionConfig]:
    """Strategy's and execution's part of a built-in document (`default`, `demo`) or a JSON file.

    Raises: BadConfig with every reason.
    """
    decision = load_decision_config(name)
    built_in = PROFILES_DIR / f"{name}.json"
    path = built_in if built_in.is_file() else Path(name)
    document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    try:
        execution = msgspec.convert(document.get("execution", {}), ExecutionConfig)
    except msgspec.ValidationError as error:
        raise BadConfig(name, [f"execution: {error}"]) from error
    return decision, execution
