"""What the logic of a trade looks at besides the trade itself, and how often it may try again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.orders import Order, OrderState
from execution.domain.trade import ManagedTrade, Quote
from market.domain.instruments import Instrument

MS = 1_000_000
AT_REST = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


class Scene(msgspec.Struct):
    """One look at one trade.

    `touch`: the quote, where it has prices. `most_lots`: what one order at market can carry.
    `why_no_adding` is asked for by few looks. `others_lots`: signed, what else is held of the symbol;
    told to a stray only. `alerts` collects what people should be told.
    """

    orders: Mapping[str, Order]
    touch: Quote | None
    now_ns: int
    config: ExecutionConfig
    instrument: Instrument
    most_lots: int
    why_no_adding: Callable[[str, int], str]
    others_lots: int = 0
    alerts: list[str] = []

    @property
    def no_adding(self) -> str:
        """Why no entry or averaging order may rest or leave now."""
        return self.why_no_adding(self.instrument.symbol, self.now_ns)

    @property
    def may_add(self) -> bool:
        """Whether the position may grow; closing and protecting it always may."""
        return not self.no_adding


def may_place(trade: ManagedTrade, leg: str, scene: Scene) -> bool:
    """The first order of a leg at once, each later one after a pause, none once it was given up."""
    return leg not in trade.given_up and scene.now_ns >= trade.retry_at_ns.get(leg, 0)


def may_amend(trade: ManagedTrade, leg: str, now_ns: int) -> bool:
    """At once, and after a refusal only when its pause is over."""
    return now_ns >= trade.retry_at_ns.get(_amend_of(leg), 0)


def note_refused_amend(trade: ManagedTrade, leg: str, now_ns: int, config: ExecutionConfig) -> bool:
    """Each refused amend of a leg in a row doubles the pause; True for the first of them."""
    key = _amend_of(leg)
    refused = trade.failures.get(key, 0)
    pause_ms = min(config.leg_retry_ms << min(refused, 16), config.leg_retry_max_ms)
    trade.failures[key] = refused + 1
    trade.retry_at_ns[key] = now_ns + pause_ms * MS
    return refused == 0


def note_amended(trade: ManagedTrade, leg: str) -> None:
    """The venue has changed an order of `leg`: the pauses are over."""
    trade.failures.pop(_amend_of(leg), None)
    trade.retry_at_ns.pop(_amend_of(leg), None)


def _amend_of(leg: str) -> str:
    return f"{leg} AMEND"


def note_attempt(
    trade: ManagedTrade, leg: str, before: Order | None, now_ns: int, config: ExecutionConfig
) -> int:
    """Count an order of `leg` and return its number, from 1; each fruitless one doubles the pause."""
    # An order that we took back ourselves has not failed.
    fruitless = before is not None and not (before.filled_lots or before.canceling)
    trade.failures[leg] = trade.failures.get(leg, 0) + 1 if fruitless else 0
    doublings = min(trade.failures[leg], 16)
    pause_ms = min(config.leg_retry_ms << doublings, config.leg_retry_max_ms)
    trade.attempts[leg] = trade.attempts.get(leg, 0) + 1
    trade.retry_at_ns[leg] = now_ns + max(pause_ms, config.leg_retry_ms) * MS
    return trade.attempts[leg]


def has_failed(trade: ManagedTrade, leg: str, scene: Scene) -> bool:
    """So many orders of a leg in a row have ended without a fill that there is no sense in more."""
    if trade.failures.get(leg, 0) + 1 < scene.config.max_retry_count:
        return False
    last = scene.orders.get(trade.orders.get(leg, ""))
    return not (last is None or not last.state.is_final or last.filled_lots or last.canceling)
