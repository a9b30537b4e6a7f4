"""Safety guards before every order (phase 10 §5, execution §4): pure, and they return every reason.

A reducing order is subject only to sanity: money rules never stop what closes a position.
"""

from __future__ import annotations

import math

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.trade import Quote
from market.domain.frames import BookState
from market.domain.instruments import Instrument
from strategy.domain.messages import RiskFlags, Side

_MS = 1_000_000


class GuardedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order as asked for. `price_ticks` None = at market; `side` is that of the position meant."""

    symbol: str
    side: Side
    qty_lots: int
    price_ticks: int | None
    reduce_only: bool
    valid_until_ns: int | None = None
    regime: str = "NORMAL"
    global_regime: str = "GLOBAL_NORMAL"


class GuardContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards look at, as known at `now_ns`."""

    now_ns: int
    quote: Quote | None
    flags: RiskFlags = RiskFlags()
    risk_reasons: tuple[str, ...] = ()
    safe_mode_reasons: tuple[str, ...] = ()
    trading_enabled: bool = True
    open_orders: int = 0
    is_duplicate: bool = False
    symbol_is_busy: bool = False
    quality_is_blocked: bool = False
    quality_qty_pct: float = 100.0  # size of an entry on trial, % of what is asked
    daily_loss_near_limit: bool = False


class SafetyResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`qty_lots` is what may be sent; below what was asked for when a guard cut it (see `warnings`)."""

    ok: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    qty_lots: int


def validate_order_request(
    order: GuardedOrder, context: GuardContext, instrument: Instrument, config: ExecutionConfig
) -> SafetyResult:
    """Every reason not to send `order`; quantity is cut to the largest notional rather than refused."""
    reasons, warnings, lots = _sanity(order, context, config), [], order.qty_lots
    if not order.reduce_only:
        reasons += _market_reasons(order, context, config)
        reasons += _permission_reasons(order, context, config)
        lots = _lots_within_notional(order, context, instrument, config)
        if lots < order.qty_lots:
            warnings.append("NOTIONAL_CUT_TO_MAX")
        if context.quality_qty_pct < 100 and lots > 0:
            lots = _lots_on_trial(order, lots, context, instrument, config)
            warnings.append("QUALITY_TRIAL_SIZE")
        if context.daily_loss_near_limit:
            warnings.append("NEAR_DAILY_LOSS_LIMIT")
    reasons += _size_reasons(order, lots, context, instrument, config)
    return SafetyResult(
        ok=not reasons, reasons=tuple(reasons), warnings=tuple(warnings), qty_lots=lots
    )


def _price_ticks(order: GuardedOrder, context: GuardContext) -> int | None:
    if order.price_ticks is not None:
        return order.price_ticks
    quote = context.quote
    if quote is None or not quote.has_touch:
        return None
    return quote.ask_ticks if order.side is Side.LONG else quote.bid_ticks


def _sanity(order: GuardedOrder, context: GuardContext, config: ExecutionConfig) -> list[str]:
    reasons = ["DUPLICATE_REQUEST"] if context.is_duplicate else []
    if order.qty_lots <= 0:
        reasons.append("QTY_NOT_POSITIVE")
    quote, price = context.quote, order.price_ticks
    if price is not None and quote is not None and quote.has_touch:
        distance_bps = abs(price - quote.mid_ticks) / quote.mid_ticks * 1e4
        if distance_bps > config.max_price_distance_bps:
            reasons.append("PRICE_FAR_FROM_MID")
    return reasons


def book_reasons(quote: Quote | None, now_ns: int, config: ExecutionConfig) -> list[str]:
    """Why nothing may be added on this book."""
    reasons: list[str] = []
    if quote is None or quote.book_state == BookState.EMPTY or not quote.has_touch:
        return ["NO_MARKET_DATA"]
    is_old = now_ns - quote.ts_ns > config.stale_quote_ms * _MS
    if quote.book_state == BookState.OK and not is_old:
        return reasons
    if quote.book_state == BookState.DEGRADED:
        reasons.append("BOOK_DEGRADED")
    if quote.book_state == BookState.STALE or is_old:
        reasons.append("BOOK_STALE")
    return reasons


def _market_reasons(
    order: GuardedOrder, context: GuardContext, config: ExecutionConfig
) -> list[str]:
    quote, reasons = context.quote, book_reasons(context.quote, context.now_ns, config)
    if quote is None or not quote.has_touch:
        return reasons
    if not quote.spread_bps <= config.max_spread_bps:  # a spread that is no number as well
        reasons.append("SPREAD_TOO_WIDE")
    if order.price_ticks is not None:
        touch = quote.ask_ticks if order.side is Side.LONG else quote.bid_ticks
        through_bps = (order.price_ticks - touch) * order.side.sign / touch * 1e4
        if through_bps > config.max_slippage_bps:
            reasons.append("SLIPPAGE_TOO_HIGH")
    return reasons


def _permission_reasons(
    order: GuardedOrder, context: GuardContext, config: ExecutionConfig
) -> list[str]:
    flags, reasons = context.flags, []
    if order.valid_until_ns is not None and context.now_ns > order.valid_until_ns:
        reasons.append("REQUEST_EXPIRED")
    if context.safe_mode_reasons:
        reasons.append("SAFE_MODE")
    if not context.trading_enabled:
        reasons.append("TRADING_DISABLED")
    if not flags.risk_allow_new_positions or flags.risk_force_close_all:
        reasons.append("RISK_ENGINE_BLOCK_GLOBAL")
    if order.side is Side.LONG and not flags.risk_allow_new_long:
        reasons.append("RISK_ENGINE_BLOCK_LONG")
    if order.side is Side.SHORT and not flags.risk_allow_new_short:
        reasons.append("RISK_ENGINE_BLOCK_SHORT")
    if order.regime != "NORMAL":
        reasons.append("REGIME_BLOCK")
    if order.global_regime == "GLOBAL_PANIC":
        reasons.append("GLOBAL_PANIC_BLOCK")
    if context.symbol_is_busy:
        reasons.append("SYMBOL_BUSY")
    if context.quality_is_blocked:
        reasons.append("QUALITY_BLOCK")
    if context.open_orders >= config.max_open_orders:
        reasons.append("MAX_OPEN_ORDERS")
    return reasons


def _lots_within_notional(
    order: GuardedOrder, context: GuardContext, instrument: Instrument, config: ExecutionConfig
) -> int:
    price = _price_ticks(order, context)
    if not price:
        return order.qty_lots
    lot_usdt = float(instrument.notional(price, 1))
    # What was entered at rest must be closable by one market order.
    return min(order.qty_lots, int(config.max_notional_usdt / lot_usdt), instrument.most_lots)


def _lots_on_trial(
    order: GuardedOrder,
    lots: int,
    context: GuardContext,
    instrument: Instrument,
    config: ExecutionConfig,
) -> int:
    """The trial's share of `lots`, but no less than an order must have to be taken at all."""
    price = _price_ticks(order, context) or 1
    least_usdt = max(config.min_notional_usdt, float(instrument.min_notional))
    least = max(
        math.ceil(least_usdt / float(instrument.notional(price, 1))),
        math.ceil(instrument.min_qty / instrument.qty_step),
    )
    return min(lots, max(int(lots * context.quality_qty_pct / 100), least))


def _size_reasons(
    order: GuardedOrder,
    lots: int,
    context: GuardContext,
    instrument: Instrument,
    config: ExecutionConfig,
) -> list[str]:
    price = _price_ticks(order, context)
    if price is None or order.qty_lots <= 0:
        return []
    if not order.reduce_only:
        if lots <= 0:
            return ["NOTIONAL_TOO_LARGE"]  # even one lot is above the largest notional
        if float(instrument.notional(price, lots)) < config.min_notional_usdt:
            return ["NOTIONAL_TOO_SMALL"]
    broken = instrument.refusals(
        price, lots, is_market=order.price_ticks is None, reduce_only=order.reduce_only
    )
    return [_rule_code(text) for text in broken]


def _rule_code(text: str) -> str:
    if text.startswith("notional"):
        return "NOTIONAL_TOO_SMALL"
    return "PRICE_OUT_OF_RANGE" if text.startswith("price") else "QTY_OUT_OF_RANGE"
