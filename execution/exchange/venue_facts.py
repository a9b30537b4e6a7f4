"""What Bybit says of a contract besides the trading rules: ids, funding caps, price bands, risk tiers."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from market.domain.instruments import Instrument


class ContractFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`funding_cap` and the price limit ratios are fractions; `first_tier_usdt` the lowest risk limit."""

    symbol_id: int
    launch_ms: int
    funding_cap: str = "0.02"
    price_limit_ratio_x: str = "0.15"
    price_limit_ratio_y: str = "0.3"
    first_tier_usdt: int = 50_000


_KNOWN: dict[str, ContractFacts] = {
    "BTCUSDT": ContractFacts(
        symbol_id=5, launch_ms=1_584_230_400_000, funding_cap="0.005",
        price_limit_ratio_x="0.01", price_limit_ratio_y="0.02", first_tier_usdt=2_000_000,
    ),
    "ETHUSDT": ContractFacts(
        symbol_id=6, launch_ms=1_615_766_400_000, funding_cap="0.005",
        price_limit_ratio_x="0.02", price_limit_ratio_y="0.04", first_tier_usdt=1_500_000,
    ),
}  # fmt: skip


def contract_facts(symbol: str) -> ContractFacts:
    """Facts of a known contract, plausible ones for any other."""
    return _KNOWN.get(symbol) or ContractFacts(
        symbol_id=1000 + zlib.crc32(symbol.encode()) % 9000, launch_ms=1_734_683_907_000
    )


def instrument_row(instrument: Instrument) -> dict[str, Any]:
    """One element of `instruments-info`, category linear."""
    facts = contract_facts(instrument.symbol)
    scale = instrument.price_scale

    def price(value: Decimal) -> str:
        return f"{value:.{scale}f}"

    def qty(value: Decimal) -> str:
        return f"{value:f}"

    return {
        "symbol": instrument.symbol,
        "symbolId": facts.symbol_id,
        "contractType": "LinearPerpetual",
        "status": instrument.status,
        "baseCoin": instrument.base_coin,
        "quoteCoin": instrument.quote_coin,
        "settleCoin": instrument.quote_coin,
        "symbolType": "",
        "launchTime": str(facts.launch_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(scale),
        "leverageFilter": {
            "minLeverage": f"{instrument.min_leverage:f}",
            "maxLeverage": f"{instrument.max_leverage:.2f}",
            "leverageStep": f"{instrument.leverage_step:.2f}",
        },
        "priceFilter": {
            "minPrice": price(instrument.min_price),
            "maxPrice": price(instrument.max_price),
            "tickSize": price(instrument.tick_size),
        },
        "lotSizeFilter": {
            "maxOrderQty": qty(instrument.max_qty),
            "minOrderQty": qty(instrument.min_qty),
            "qtyStep": qty(instrument.qty_step),
            "postOnlyMaxOrderQty": qty(instrument.max_qty),
            "maxMktOrderQty": qty(instrument.max_market_qty),
            "minNotionalValue": qty(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": instrument.funding_interval_min,
        "copyTrading": "none",
        "upperFundingRate": facts.funding_cap,
        "lowerFundingRate": f"-{facts.funding_cap}",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {
            "priceLimitRatioX": facts.price_limit_ratio_x,
            "priceLimitRatioY": facts.price_limit_ratio_y,
        },
        "displayName": "",
        "forbidUplWithdrawal": False,
    }


# Share of the highest leverage and size of the tier relative to the first, as Bybit's tables descend.
_TIERS: tuple[tuple[Decimal, Decimal], ...] = tuple(
    (Decimal(share), Decimal(size))
    for share, size in (
        ("1", "1"), ("0.9", "1.3"), ("0.8", "1.6"), ("0.7", "2"), ("0.6", "3"), ("0.5", "4"),
        ("0.4", "6"), ("0.3", "10"), ("0.2", "20"), ("0.1", "50"),
    )
)  # fmt: skip
MAX_TIERS = len(_TIERS)


def risk_limit_rows(instrument: Instrument, first_id: int) -> list[dict[str, Any]]:
    """The tiers of one symbol: initial margin 1/leverage, maintenance margin half of it.

    `mmDeduction` makes the maintenance margin continuous where a tier begins.
    """
    rows, deduction = [], Decimal(0)
    below_value, below_rate = Decimal(0), Decimal(0)
    for number, (share, size) in enumerate(_TIERS):
        leverage = max(Decimal(1), instrument.max_leverage * share)
        initial = (1 / leverage).quantize(Decimal("0.0001"))
        maintenance = (initial / 2).quantize(Decimal("0.00001"))
        deduction += below_value * (maintenance - below_rate)
        value = contract_facts(instrument.symbol).first_tier_usdt * size
        rows.append(
            {
                "id": first_id + number,
                "symbol": instrument.symbol,
                "riskLimitValue": f"{value.to_integral_value():f}",
                "maintenanceMargin": f"{maintenance.normalize():f}",
                "initialMargin": f"{initial.normalize():f}",
                "isLowestRisk": 1 if number == 0 else 0,
                "maxLeverage": f"{leverage:.2f}",
                "mmDeduction": f"{deduction.normalize():f}" if deduction else "",
            }
        )
        below_value, below_rate = value, maintenance
    return rows
