"""Records of runs and of live files as decisions to compare: the shapes of phase 12 §3 and of `--out DIR`.

A record that is no decision (an acknowledgement, a leverage) gives None. A record that lacks what every one
of its kind has raises `BadRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from replay.domain.comparison import Decision, Kind
from replay.domain.comparison_trades import ComparedTrade

Record = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE_FIELDS = ("side", "type", "timeInForce", "price", "triggerPrice", "qty", "reduceOnly")
_FILL_FIELDS = {"price": "fillPrice", "qty": "fillQty", "fee": "fee", "isMaker": "isMaker"}
_SCORE_FIELDS = (
    "finalScoreLong", "finalScoreShort", "signalLong", "signalShort", "expectedMoveBps", "regime",
)  # fmt: skip
_TRADE_FIELDS = (
    "side", "entryPrice", "closePrice", "qty", "fees", "funding", "realizedPnl", "exitReason",
)  # fmt: skip


class BadRecord(ValueError):
    """Pass the line over and count it: it is not what its file holds."""


def state_decision(record: Record) -> Decision | None:
    """A line of events.jsonl or of data/events."""
    try:
        return Decision(
            ts_ms=_time_ms(record),
            symbol=record["symbol"],
            kind=Kind.STATE,
            role=f"{record['fromState']} → {record['toState']}",
            facts=_flat({"eventType": record["eventType"], "reason": record["reason"]}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"no state event: {error}") from error


def score_decision(record: Record) -> Decision:
    """A line of scores.jsonl."""
    try:
        return Decision(
            ts_ms=_time_ms(record),
            symbol=record["symbol"],
            kind=Kind.SCORE,
            role="score",
            facts=_flat({name: record[name] for name in _SCORE_FIELDS}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"no score: {error}") from error


def order_decision(record: Record) -> Decision | None:
    """A line of the order log: an intent (place, amend, cancel) or a fill; the rest follows from those."""
    try:
        kind = record["kind"]
        if kind == "INTENT" and record.get("clientOrderId"):
            return _intent(record)
        if kind == "FILL" and record.get("clientOrderId"):
            return _fill(record)
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"no line of an order log: {error}") from error
    return None


def _intent(record: Record) -> Decision:
    command = record.get("command", "PLACE")
    if command == "AMEND":
        facts = _flat(record.get("wanted"))
    elif command == "CANCEL":
        facts = _flat({"reason": record.get("reason", "")})
    else:
        facts = _flat({name: record.get(name) for name in _PLACE_FIELDS})
    role = f"{command} {record.get('leg', '')}".strip()
    return Decision(
        ts_ms=_time_ms(record), symbol=record["symbol"], kind=Kind.ORDER, role=role, facts=facts
    )


def _fill(record: Record) -> Decision:
    facts = _flat({name: record.get(field) for name, field in _FILL_FIELDS.items()})
    return Decision(
        ts_ms=_time_ms(record),
        symbol=record["symbol"],
        kind=Kind.FILL,
        role=f"{record['side']} {record.get('leg', '')}".strip(),
        facts=facts,
    )


def trade_decision(record: Record) -> Decision:
    """A line of trades.jsonl or of data/trades_log."""
    try:
        return Decision(
            ts_ms=_time_ms(record),
            symbol=record["symbol"],
            kind=Kind.TRADE,
            role=f"{record['side']} closed",
            facts=_flat({name: record.get(name) for name in _TRADE_FIELDS}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"no trade: {error}") from error


def compared_trade(record: Record) -> ComparedTrade:
    """The same line for the attribution, its figures exact."""
    try:
        closed_ms = _time_ms(record)
        return ComparedTrade(
            symbol=record["symbol"],
            side=record["side"],
            opened_ms=_opened_ms(record, closed_ms),
            closed_ms=closed_ms,
            entry_price=Decimal(str(record["entryPrice"])),
            exit_price=Decimal(str(record["closePrice"])),
            qty=Decimal(str(record["qty"])),
            fees_usdt=Decimal(str(record.get("fees") or 0)),
            funding_usdt=Decimal(str(record.get("funding") or 0)),
            pnl_usdt=Decimal(str(record["realizedPnl"])),
            exit_reason=str(record.get("exitReason") or ""),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadRecord(f"no trade: {error}") from error


def _opened_ms(record: Record, closed_ms: int) -> int:
    if record.get("openedAt"):
        return instant_ms(record["openedAt"])
    return closed_ms - round(float(record["durationSeconds"]) * 1000)


def _time_ms(record: Record) -> int:
    if "timestamp" in record:
        return instant_ms(record["timestamp"])
    return int(record["tsNs"]) // 1_000_000


def instant_ms(text: str) -> int:
    """ISO-8601 as epoch ms; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _flat(wanted: Any) -> dict[str, Any]:
    """Values that can be compared and shown, whatever the shape."""
    if isinstance(wanted, Mapping):
        return {
            str(name): value if _is_plain(value) else str(value) for name, value in wanted.items()
        }
    return {"wanted": wanted if _is_plain(wanted) else str(wanted)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
