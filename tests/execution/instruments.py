"""The instrument that the tests of execution trade."""

from __future__ import annotations

from decimal import Decimal

from market.domain.instruments import Instrument


def an_instrument(symbol: str = "BTCUSDT") -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal("0.1"),
        qty_step=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(100),
        max_market_qty=Decimal(50),
        min_notional=Decimal(5),
        min_price=Decimal("0.1"),
        max_price=Decimal(1_000_000),
        min_leverage=Decimal(1),
        max_leverage=Decimal(100),
        leverage_step=Decimal("0.01"),
        price_scale=1,
        funding_interval_min=480,
        base_coin=symbol.removesuffix("USDT"),
    )
