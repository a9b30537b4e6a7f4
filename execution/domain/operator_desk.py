"""Carries out what a human commands (execution §7), or refuses with a reason."""

from __future__ import annotations

import msgspec

from execution.domain.operator import OperatorAction, OperatorCommand, OperatorResult
from execution.domain.outputs import RecordRow
from execution.domain.trade import ENTRY, dca_leg
from execution.domain.trade_manager import begin_close
from execution.domain.trade_runner import TradeRunner
from execution.domain.workspace import Workspace
from failover.domain.days import iso_ms
from strategy.domain.messages import EventType

_COMMANDS_KEPT = 512
_OPERATOR_REASONS = (
    "PANIC",
    "OPERATOR",
    "CONFIG_INVALID",
)  # causes of safe mode an operator may clear


class OperatorDesk:
    """Takes operator commands; the same `command_id` is carried out once."""

    def __init__(self, work: Workspace, trades: TradeRunner) -> None:
        self._work = work
        self._trades = trades

    def command(self, command: OperatorCommand, now: int) -> None:
        """Carry out, log and answer."""
        state = self._work.state
        if command.command_id in state.command_ids:
            return
        state.command_ids = [*state.command_ids[-_COMMANDS_KEPT:], command.command_id]
        result = self._operate(command, now)
        self._work.log_event(
            "OPERATOR_COMMAND",
            now,
            symbol=command.symbol,
            source="MANUAL",
            action=command.action.value,
            actor=command.actor,
            reason=command.reason,
            ok=result.ok,
            message=result.message,
        )
        row = {"record": "OPERATOR_RESULT", **msgspec.to_builtins(result), "timestamp": iso_ms(now)}
        if self._work.records:
            self._work.news.append(RecordRow(row))

    def safe_mode_on(self, reason: str, text: str, now: int) -> None:
        if reason not in self._work.state.book.safe_mode:
            self._work.state.book.safe_mode[reason] = now
            self._work.event(EventType.SAFE_MODE_ON, "", now, f"{reason}: {text}")

    def _operate(self, command: OperatorCommand, now: int) -> OperatorResult:
        action, state = command.action, self._work.state
        if not command.reason.strip():
            return self._answer(command, now, ok=False, message="a reason is required")
        if command.symbol and command.symbol not in self._work.instruments:
            return self._answer(
                command, now, ok=False, message=f"unknown symbol {command.symbol[:20]}"
            )
        if action in (OperatorAction.PANIC_CLOSE_ALL, OperatorAction.PANIC_CLOSE_SYMBOL):
            return self._panic(command, now)
        if action is OperatorAction.CANCEL_ORDERS:
            return self._cancel_what_adds(command, now)
        if action is OperatorAction.SAFE_MODE_ON:
            self.safe_mode_on("OPERATOR", command.reason, now)
            return self._answer(command, now, ok=True, message="safe mode is on")
        if action is OperatorAction.SAFE_MODE_OFF:
            return self._safe_mode_off(command, now)
        state.book.trading_enabled = action is OperatorAction.TRADING_ON
        word = "enabled" if state.book.trading_enabled else "disabled"
        return self._answer(command, now, ok=True, message=f"trading is {word}")

    def _panic(self, command: OperatorCommand, now: int) -> OperatorResult:
        """Close first: safe mode never stops a closing order."""
        if command.action is OperatorAction.PANIC_CLOSE_SYMBOL and not command.symbol:
            return self._answer(command, now, ok=False, message="which symbol?")
        wanted = [command.symbol] if command.symbol else list(self._work.state.trades)
        trades = [self._work.state.trades[s] for s in wanted if s in self._work.state.trades]
        positions = sum(1 for t in trades if t.position_lots > 0)
        entries = sum(1 for t in trades if t.order_of(ENTRY, self._work.state.orders))
        for trade in trades:
            begin_close(trade, "PANIC")
            self._trades.manage(trade, now)
            self._work.event(
                EventType.PANIC_CLOSE_TRIGGERED, trade.symbol, now, command.reason, trade
            )
        if not trades:
            self._work.event(EventType.PANIC_CLOSE_TRIGGERED, command.symbol, now, command.reason)
        self.safe_mode_on("PANIC", command.reason, now)
        text = (
            f"closing {positions} position(s), cancelling {entries} entry order(s); safe mode is on"
        )
        return self._answer(
            command,
            now,
            ok=True,
            message=text,
            closing_positions=positions,
            cancelled_orders=entries,
        )

    def _cancel_what_adds(self, command: OperatorCommand, now: int) -> OperatorResult:
        """Entries and averaging orders: a stop or take-profit belongs to its position and would come back."""
        count, orders = 0, self._work.state.orders
        for trade in list(self._work.state.trades.values()):
            if (command.symbol and trade.symbol != command.symbol) or (
                command.side not in ("BOTH", trade.plan.side.value)
            ):
                continue
            levels = [dca_leg(n) for n in range(1, len(trade.plan.dca_levels) + 1)]
            count += sum(trade.order_of(leg, orders) is not None for leg in (ENTRY, *levels))
            if trade.order_of(ENTRY, orders) is not None:
                trade.signal_holds, trade.plan_end_reason = False, "OPERATOR_CANCEL"
            for leg in levels:  # also those that wait for the end of the entry
                trade.given_up.setdefault(leg, "OPERATOR_CANCEL")
            self._trades.manage(trade, now)
        text = f"cancelling {count} entry and averaging order(s)"
        return self._answer(command, now, ok=True, message=text, cancelled_orders=count)

    def _safe_mode_off(self, command: OperatorCommand, now: int) -> OperatorResult:
        book = self._work.state.book
        for reason in _OPERATOR_REASONS:
            book.safe_mode.pop(reason, None)
        if book.safe_mode:
            left = ", ".join(book.safe_mode)
            return self._answer(command, now, ok=False, message=f"safe mode stays on: {left}")
        self._work.event(EventType.SAFE_MODE_OFF, "", now, command.reason)
        return self._answer(command, now, ok=True, message="safe mode is off")

    @staticmethod
    def _answer(
        command: OperatorCommand, now: int, *, ok: bool, message: str, **counts: int
    ) -> OperatorResult:
        return OperatorResult(
            command_id=command.command_id,
            action=command.action,
            ok=ok,
            message=message,
            ts_ns=now,
            **counts,
        )
