"""What the database remembers, for tables, the API and the audit trail."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import ip_address
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet

from execution.domain.operator import OperatorAction, OperatorCommand
from execution.models import ClosedTrade, Fill, OrderQuality, OrderRow
from failover.models import AuditEntry
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import RecordSeen, SafeModeSince, ViewMessage
from strategy.models import StateEventRecord

logger = logging.getLogger(__name__)

OPEN_STATUSES = ("NEW", "PARTIALLY_FILLED")
MAX_REMEMBERED = 300
_SWITCH_SAFE_MODE_ON = (
    OperatorAction.SAFE_MODE_ON,
    OperatorAction.PANIC_CLOSE_ALL,
    OperatorAction.PANIC_CLOSE_SYMBOL,
)


def orders(
    *,
    symbol: str | None = None,
    side: str | None = None,
    status: str | None = None,
    leg: str | None = None,
    since: date | None = None,
    until: date | None = None,
    open_only: bool = False,
) -> QuerySet[OrderRow]:
    """Orders that match, newest first; `since` and `until` are UTC days, both included."""
    found = OrderRow.objects.order_by("-created_at", "-pk")
    found = _matching(found, symbol=_upper(symbol), side=side, status=status, leg=_upper(leg))
    if open_only:
        found = found.filter(status__in=OPEN_STATUSES)
    return _between(found, "created_at", since, until)


def remembered() -> list[ViewMessage]:
    """What a starting dashboard cannot find on the bus: old open orders, and since when safe mode is on."""
    try:
        messages: list[ViewMessage] = [
            RecordSeen({"record": "ORDER", **order_json(row)})
            for row in orders(open_only=True).reverse()[:MAX_REMEMBERED]
        ]
        since_ms = _safe_mode_since_ms()
    except DatabaseError as error:
        logger.warning("dashboard_starts_without_database", extra={"reason": str(error)[:300]})
        return []
    finally:
        close_old_connections()
    return messages if since_ms is None else [*messages, SafeModeSince(since_ms)]


def _safe_mode_since_ms() -> int | None:
    """When an operator last switched it on, if nobody has switched it off since; epoch ms."""
    entries = AuditEntry.objects.filter(result__startswith="OK").order_by("-timestamp", "-pk")
    last_off = entries.filter(action=OperatorAction.SAFE_MODE_OFF).first()
    switched_on = entries.filter(action__in=_SWITCH_SAFE_MODE_ON)
    if last_off is not None:
        switched_on = switched_on.filter(timestamp__gt=last_off.timestamp)
    first = switched_on.last()
    return None if first is None else round(first.timestamp.timestamp() * 1000)


def trades(
    *,
    symbol: str | None = None,
    side: str | None = None,
    result: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[ClosedTrade]:
    """Closed trades that match, newest first; `result` is won or lost."""
    found = ClosedTrade.objects.order_by("-timestamp", "-pk")
    found = _matching(found, symbol=_upper(symbol), side=side)
    if result:
        won = {"realized_pnl__gt": 0} if result == "won" else {"realized_pnl__lte": 0}
        found = found.filter(**won)
    return _between(found, "timestamp", since, until)


def order_with_history(client_order_id: str) -> dict[str, Any] | None:
    """The order, its fills, and the other orders of its plan; None when there is no such order."""
    order = OrderRow.objects.filter(client_order_id=client_order_id).first()
    if order is None:
        return None
    fills = Fill.objects.filter(client_order_id=client_order_id).order_by("timestamp", "pk")
    quality = OrderQuality.objects.filter(client_order_id=client_order_id).first()
    siblings = _orders_of(order.plan_id, order.pk)
    return {"order": order, "fills": fills, "siblings": siblings, "quality": quality}


def order_quality(*, symbol: str | None = None) -> QuerySet[OrderQuality]:
    """How orders were carried out, newest first."""
    found = OrderQuality.objects.order_by("-timestamp", "-pk")
    return _matching(found, symbol=_upper(symbol))


def order_quality_json(row: OrderQuality) -> dict[str, Any]:
    """The QUALITY row of execution (docs/execution-quality.md)."""
    return {
        "timestamp": _iso(row.timestamp),
        "clientOrderId": row.client_order_id,
        "symbol": row.symbol,
        "side": row.side,
        "leg": row.leg,
        "planId": row.plan_id,
        "requestId": row.request_id,
        "mode": row.mode,
        "configVersion": row.config_version,
        "outcome": row.outcome,
        "reason": row.reason or None,
        "placedAt": _iso(row.placed_at),
        "arrivedAt": _iso(row.arrived_at) if row.arrived_at else None,
        "firstFillAt": _iso(row.first_fill_at) if row.first_fill_at else None,
        "endedAt": _iso(row.ended_at),
        "qty": row.qty,
        "filledQty": row.filled_qty,
        "makerQty": row.maker_qty,
        "avgFillPrice": row.avg_fill_price,
        "decisionPrice": row.decision_price,
        "arrivalTouch": row.arrival_touch,
        "fillRatio": row.fill_ratio,
        "timeToFillMs": row.time_to_fill_ms,
        "decisionSlippageBps": row.decision_slippage_bps,
        "touchSlippageBps": row.touch_slippage_bps,
        "markout1sBps": row.markout1s_bps,
        "markout5sBps": row.markout5s_bps,
        "markout30sBps": row.markout30s_bps,
        "schemaVersion": 1,
    }


def trade_with_orders(pk: int) -> dict[str, Any] | None:
    """The trade, its orders and fills, and the states it went through; None when there is none."""
    trade = ClosedTrade.objects.filter(pk=pk).first()
    if trade is None:
        return None
    states = StateEventRecord.objects.filter(
        symbol=trade.symbol,
        timestamp__gte=_decided_at(trade),
        timestamp__lte=trade.timestamp + timedelta(seconds=5),
    ).order_by("timestamp", "pk")
    fills = Fill.objects.filter(plan_id=trade.plan_id).order_by("timestamp", "pk")
    return {
        "trade": trade,
        "fills": fills,
        "orders": _orders_of(trade.plan_id),
        "states": states[:200],
    }


def _decided_at(trade: ClosedTrade) -> datetime:
    """When its plan was made: the state machine's last order request before the position opened."""
    decided = (
        StateEventRecord.objects.filter(
            symbol=trade.symbol,
            to_state="ENTRY_PENDING",
            from_state="ARM",
            timestamp__lte=trade.opened_at + timedelta(seconds=1),
        )
        .order_by("-timestamp", "-pk")
        .first()
    )
    return decided.timestamp if decided else trade.opened_at - timedelta(seconds=30)


def _orders_of(plan_id: str, without_pk: int = 0) -> QuerySet[OrderRow]:
    if not plan_id:
        return OrderRow.objects.none()
    return OrderRow.objects.filter(plan_id=plan_id).exclude(pk=without_pk).order_by("created_at")


def order_json(row: OrderRow) -> dict[str, Any]:
    """ExecutionOrder (phase 10 §3.6) plus leg and plan."""
    return {
        "symbol": row.symbol,
        "side": row.side,
        "type": row.type,
        "timeInForce": row.time_in_force,
        "price": row.price,
        "triggerPrice": row.trigger_price,
        "qty": row.qty,
        "reduceOnly": row.reduce_only,
        "clientOrderId": row.client_order_id,
        "exchangeOrderId": row.exchange_order_id or None,
        "status": row.status,
        "filledQty": row.filled_qty,
        "avgFillPrice": row.avg_fill_price,
        "notionalUsd": row.notional_usd,
        "createdAt": _iso(row.created_at),
        "updatedAt": _iso(row.updated_at),
        "source": row.source,
        "mode": row.mode,
        "lastError": row.last_error or None,
        "leg": row.leg,
        "planId": row.plan_id,
        "requestId": row.request_id,
        "schemaVersion": 1,
    }


def trade_json(row: ClosedTrade) -> dict[str, Any]:
    """TradeLogRecord (phase 12 §3.2) plus costs and reasons."""
    return {
        "timestamp": _iso(row.timestamp),
        "dateKey": row.date_key,
        "symbol": row.symbol,
        "side": row.side,
        "entryPrice": row.entry_price,
        "closePrice": row.close_price,
        "qty": row.qty,
        "leverage": row.leverage,
        "realizedPnl": row.realized_pnl,
        "mfe": row.mfe,
        "mae": row.mae,
        "durationSeconds": row.duration_seconds,
        "mode": row.mode,
        "planId": row.plan_id,
        "fees": row.fees,
        "funding": row.funding,
        "entryReasons": row.entry_reasons,
        "slippageBps": row.slippage_bps,
        "exitReason": row.exit_reason,
        "schemaVersion": 1,
    }


def audit(command: OperatorCommand, *, ip: str, result: str) -> None:
    """Leave a row of who ordered what, from where, why, and what came of it.

    The order has been given by now: a dead database must not turn its answer into an error, so the log
    keeps what the table could not.
    """
    entry = AuditEntry(
        timestamp=datetime.fromtimestamp(command.ts_ns / 1e9, UTC),
        actor=command.actor,
        source=command.source,
        ip=ip if _is_ip(ip) else None,
        action=command.action.value,
        target=command.symbol or "ALL",
        reason=command.reason,
        result=result[:200],
    )
    try:
        entry.save()
    except DatabaseError as error:
        logger.error(
            "audit_row_not_written",
            extra={
                "actor": command.actor, "action": entry.action, "target": entry.target,
                "reason": command.reason, "result": result, "error": str(error),
            },
        )  # fmt: skip


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _matching(found: QuerySet[Any], **wanted: str | None) -> QuerySet[Any]:
    return found.filter(**{name: value for name, value in wanted.items() if value})


def _between(
    found: QuerySet[Any], field: str, since: date | None, until: date | None
) -> QuerySet[Any]:
    if since:
        found = found.filter(**{f"{field}__gte": _midnight(since)})
    if until and until < date.max:
        found = found.filter(**{f"{field}__lt": _midnight(until + timedelta(days=1))})
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _upper(text: str | None) -> str | None:
    return text.strip().upper() if text else None


def _iso(moment: datetime) -> str:
    return iso_of_ms(round(moment.timestamp() * 1000))
