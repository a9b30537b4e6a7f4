"""Trading rules of the synthetic market's contracts, as Bybit states them for the real ones.

Tick, lot, limits and leverage are facts of the contracts (Bybit instruments-info, category linear).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from execution.domain.synthetic_profile import (
    DEFAULT_SYMBOLS,
    PROFILES,
    SymbolProfile,
    extra_profile,
)
from market.domain.instruments import Instrument

_EXTRA_PREFIX, _EXTRA_SUFFIX = "SYN", "USDT"


class UnknownSymbol(ValueError):
    """The synthetic market has no such contract; the text lists what it has."""


def _instrument(
    symbol: str,
    *,
    tick: str,
    scale: int,
    step: str,
    min_qty: str,
    max_qty: str,
    max_market_qty: str,
    max_price: str,
    max_leverage: str,
    funding_min: int,
) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        qty_step=Decimal(step),
        min_qty=Decimal(min_qty),
        max_qty=Decimal(max_qty),
        max_market_qty=Decimal(max_market_qty),
        min_notional=Decimal(5),
        min_price=Decimal(tick),
        max_price=Decimal(max_price),
        min_leverage=Decimal(1),
        max_leverage=Decimal(max_leverage),
        leverage_step=Decimal("0.01"),
        price_scale=scale,
        funding_interval_min=funding_min,
        base_coin=symbol.removesuffix("USDT"),
    )


_RULES: dict[str, Instrument] = {
    "BTCUSDT": _instrument(
        "BTCUSDT", tick="0.10", scale=2, step="0.001", min_qty="0.001", max_qty="1500.000",
        max_market_qty="150.000", max_price="1999999.80", max_leverage="100.00", funding_min=480,
    ),
    "ETHUSDT": _instrument(
        "ETHUSDT", tick="0.01", scale=2, step="0.01", min_qty="0.01", max_qty="10000.00",
        max_market_qty="2000.00", max_price="199999.98", max_leverage="100.00", funding_min=480,
    ),
    "AI16ZUSDT": _instrument(
        "AI16ZUSDT", tick="0.00001", scale=5, step="1", min_qty="1", max_qty="2000000",
        max_market_qty="400000", max_price="199.99998", max_leverage="25.00", funding_min=240,
    ),
    "GRIFFAINUSDT": _instrument(
        "GRIFFAINUSDT", tick="0.000001", scale=6, step="1", min_qty="1", max_qty="5000000",
        max_market_qty="1000000", max_price="19.999998", max_leverage="25.00", funding_min=240,
    ),
}  # fmt: skip


def synthetic_profile(symbol: str) -> SymbolProfile:
    """The character of `symbol`. Raises UnknownSymbol."""
    if symbol in PROFILES:
        return PROFILES[symbol]
    number = symbol.removeprefix(_EXTRA_PREFIX).removesuffix(_EXTRA_SUFFIX)
    if (
        symbol == f"{_EXTRA_PREFIX}{number}{_EXTRA_SUFFIX}"
        and number.isdigit()
        and len(number) == 2
    ):
        return extra_profile(int(number))
    raise UnknownSymbol(
        f"the synthetic market has no {symbol}: it has {', '.join(PROFILES)} and SYN01USDT..SYN99USDT"
    )


def synthetic_instruments(symbols: Sequence[str] = DEFAULT_SYMBOLS) -> list[Instrument]:
    """Rules of `symbols` in their order (index = place in the run's symbol table). Raises UnknownSymbol."""
    return [_RULES.get(symbol) or _extra_instrument(symbol) for symbol in symbols]


def _extra_instrument(symbol: str) -> Instrument:
    synthetic_profile(symbol)
    return _instrument(
        symbol, tick="0.0001", scale=4, step="0.1", min_qty="0.1", max_qty="500000.0",
        max_market_qty="100000.0", max_price="1999.9998", max_leverage="50.00", funding_min=480,
    )  # fmt: skip


def symbols_named(text: str) -> tuple[str, ...]:
    """What `--symbols` means: names separated by commas, or a number n: the four and n - 4 generic alts.

    Raises UnknownSymbol.
    """
    if text.strip().isdigit():
        count = int(text)
        if not 1 <= count <= len(PROFILES) + 99:
            raise UnknownSymbol(f"{count} symbols: 1 to {len(PROFILES) + 99} are possible")
        extras = tuple(extra_profile(i).symbol for i in range(1, count - len(PROFILES) + 1))
        return (DEFAULT_SYMBOLS + extras)[:count]
    symbols = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(set(symbols)) != len(symbols):
        raise UnknownSymbol(f"a symbol is named twice in {text}")
    for symbol in symbols:
        synthetic_profile(symbol)
    return symbols or DEFAULT_SYMBOLS
