"""One row for each order that is over: how it was carried out (file, ORM and order log)."""

from __future__ import annotations

from execution.domain.quality import FollowedOrder
from execution.domain.records import SCHEMA_VERSION, Row, price, quantity
from failover.domain.days import iso_ms
from market.domain.instruments import Instrument


def quality_record(followed: FollowedOrder, instrument: Instrument, mode: str) -> Row:
    """QUALITY row. Slippage is a cost (positive = worse), a markout a gain; null = it says nothing."""
    figures = followed.figures()
    markouts = figures.markouts_bps
    touch = followed.slippage_bps(followed.touch_ticks)
    return {
        "record": "QUALITY",
        "timestamp": iso_ms(followed.recorded_ns),
        "clientOrderId": followed.client_order_id,
        "symbol": followed.symbol,
        "side": "BUY" if followed.side_sign > 0 else "SELL",
        "leg": followed.leg,
        "planId": followed.plan_id,
        "requestId": followed.request_id,
        "mode": mode,
        "configVersion": followed.config_version,
        "outcome": followed.outcome,
        "reason": followed.last_error or None,
        "placedAt": iso_ms(followed.placed_ns),
        "arrivedAt": iso_ms(followed.arrived_ns) if followed.arrived_ns else None,
        "firstFillAt": iso_ms(followed.first_fill_ns) if followed.first_fill_ns else None,
        "endedAt": iso_ms(followed.ended_ns),
        "qty": quantity(instrument, followed.qty_lots),
        "filledQty": quantity(instrument, followed.filled_lots),
        "makerQty": quantity(instrument, followed.maker_lots),
        "avgFillPrice": price(instrument, followed.average_ticks),
        "decisionPrice": price(instrument, followed.reference_ticks or None),
        "arrivalTouch": price(instrument, followed.touch_ticks or None),
        "fillRatio": round(followed.filled_lots / followed.qty_lots, 6)
        if followed.qty_lots
        else None,
        "timeToFillMs": _rounded(figures.time_to_fill_ms, 3),
        "decisionSlippageBps": _rounded(figures.mid_slippage_bps, 4),
        "touchSlippageBps": _rounded(touch, 4),
        "markout1sBps": _rounded(markouts.get(1), 4),
        "markout5sBps": _rounded(markouts.get(5), 4),
        "markout30sBps": _rounded(markouts.get(30), 4),
        "schemaVersion": SCHEMA_VERSION,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
