"""What a human may tell execution, and what it answers (execution §7).

Commands travel on the stream `operator.commands`, one to an entry; answers come back as rows of
`execution.records` with `record` = OPERATOR_RESULT. A command is idempotent by `command_id`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class OperatorAction(StrEnum):
    PANIC_CLOSE_ALL = "PANIC_CLOSE_ALL"
    PANIC_CLOSE_SYMBOL = "PANIC_CLOSE_SYMBOL"
    CANCEL_ORDERS = "CANCEL_ORDERS"
    SAFE_MODE_ON = "SAFE_MODE_ON"
    SAFE_MODE_OFF = "SAFE_MODE_OFF"
    TRADING_ON = "TRADING_ON"
    TRADING_OFF = "TRADING_OFF"


class OperatorCommand(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True, rename="camel"
):
    """One wish of an operator. `symbol` is empty where the action has none; `side` narrows CANCEL_ORDERS.

    A panic first switches safe mode on, then cancels entries and closes positions at market.
    """

    command_id: str
    action: OperatorAction
    reason: str
    actor: str
    source: Literal["API", "DASHBOARD", "CLI", "SOCKET"]
    ts_ns: int
    symbol: str = ""
    side: Literal["LONG", "SHORT", "BOTH"] = "BOTH"


class OperatorResult(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True, rename="camel"
):
    """Execution's answer: what it set in motion, or why it refused (`ok` false, `message` says why)."""

    command_id: str
    action: OperatorAction
    ok: bool
    message: str
    ts_ns: int
    closing_positions: int = 0
    cancelled_orders: int = 0
