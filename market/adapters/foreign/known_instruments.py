"""Trading rules for recordings that carry none: facts of the contracts, as the venues state them.

Binance: `exchangeInfo`; Bybit: `instruments-info` of category linear; BitMEX: its contract guide.
`--instruments` overrides them with a file: a Bybit instruments-info reply, or a list of instruments in our
own JSON. Spot, inverse and quanto markets are here for those who ask to have them taken as linear: of a
contract, `qty_step` is then the base coins that one contract stands for, at a price that is named here.
"""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from market.domain.instruments import Instrument
from market.domain.recordings import BadRecording

BINANCE_USDM, BYBIT_LINEAR = "Binance USD-M", "Bybit linear"
BINANCE_COINM, BINANCE_SPOT, BITMEX = "Binance COIN-M", "Binance spot", "BitMEX"

# What one contract of an inverse or quanto market is taken for: its `qty_step` in the tables below.
CONTRACTS_AS_LINEAR = {
    (BINANCE_COINM, "BTCUSD_PERP"): "one contract (100 USD) counts as 0.0016 BTC, as at 62,500 USD",
    (BINANCE_COINM, "ETHUSD_PERP"): "one contract (10 USD) counts as 0.004 ETH, as at 2,500 USD",
    (BITMEX, "XBTUSD"): "one contract (1 USD) counts as 0.000125 XBT, as at 8,000 USD",
    (
        BITMEX,
        "ETHUSD",
    ): "one contract (0.000001 XBT a USD) counts as 0.008 ETH, as at 8,000 USD an XBT",
}


def _rules(
    symbol: str,
    tick: str,
    scale: int,
    step: str,
    max_qty: str,
    max_market_qty: str,
    min_notional: str,
    max_price: str,
    max_leverage: str,
) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        qty_step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(max_qty),
        max_market_qty=Decimal(max_market_qty),
        min_notional=Decimal(min_notional),
        min_price=Decimal(tick),
        max_price=Decimal(max_price),
        min_leverage=Decimal(1),
        max_leverage=Decimal(max_leverage),
        leverage_step=Decimal("0.01"),
        price_scale=scale,
        funding_interval_min=480,
        base_coin=symbol.removesuffix("_PERP").removesuffix("USDT").removesuffix("USD"),
    )


_KNOWN: dict[str, dict[str, Instrument]] = {
    venue: {rules.symbol: rules for rules in table}
    for venue, table in {
        BINANCE_USDM: (
            _rules("BTCUSDT", "0.10", 2, "0.001", "1000", "120", "100", "4529764", "125"),
            _rules("ETHUSDT", "0.01", 2, "0.001", "10000", "2000", "20", "306177", "125"),
            _rules("XRPUSDT", "0.0001", 4, "0.1", "10000000", "2000000", "5", "100000", "75"),
            _rules("DOGEUSDT", "0.00001", 5, "1", "50000000", "30000000", "5", "30", "75"),
        ),
        BINANCE_COINM: (
            _rules("BTCUSD_PERP", "0.1", 1, "0.0016", "1600", "96", "0", "4520958", "125"),
            _rules("ETHUSD_PERP", "0.01", 2, "0.004", "4000", "240", "0", "306177", "100"),
        ),
        BINANCE_SPOT: (
            _rules("NEXOUSDT", "0.001", 3, "0.01", "900000", "100000", "5", "1000", "1"),
        ),
        BITMEX: (
            _rules("XBTUSD", "0.5", 1, "0.000125", "1250", "1250", "0", "1000000", "100"),
            _rules("ETHUSD", "0.05", 2, "0.008", "80000", "80000", "0", "100000", "50"),
        ),
        BYBIT_LINEAR: (
            _rules("BTCUSDT", "0.10", 2, "0.001", "1500", "150", "5", "1999999.80", "100"),
            _rules("ETHUSDT", "0.01", 2, "0.01", "10000", "2000", "5", "199999.98", "100"),
            _rules("SOLUSDT", "0.010", 3, "0.1", "96000", "12000", "5", "199999.980", "100"),
            _rules("XRPUSDT", "0.0001", 4, "0.1", "7500000", "1500000", "5", "1999.9998", "100"),
            _rules("DOGEUSDT", "0.00001", 5, "1", "43678900", "5991100", "5", "199.99998", "75"),
        ),
    }.items()
}  # fmt: skip


def known_instrument(
    venue: str, symbol: str, override: dict[str, Instrument] | None, path: object
) -> Instrument:
    """Rules of `symbol`. Raises BadRecording when neither the override nor our table has them."""
    if override is not None:
        if symbol in override:
            return override[symbol]
        raise BadRecording(path, 0, f"no rules of {symbol} in the instruments file", "add them")
    if symbol not in _KNOWN[venue]:
        raise BadRecording(
            path, 0, f"the trading rules of {symbol} ({venue}) are not known",
            "give them with --instruments FILE (a Bybit instruments-info reply or our own JSON)",
        )  # fmt: skip
    return _KNOWN[venue][symbol]


def read_instruments(path: Path) -> dict[str, Instrument]:
    """Symbol -> rules from a file of either shape, gzip or plain. Raises BadRecording."""
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        document = msgspec.json.decode(data)
    except (OSError, EOFError, ValueError) as error:
        raise BadRecording(
            path, 0, f"cannot be read ({error})", "name an instruments file"
        ) from None
    rows = bybit_rows(document)
    if rows is not None:
        return instruments_of_reply(rows, path)
    try:
        rules = msgspec.convert(document, list[Instrument], strict=False)
    except msgspec.ValidationError as error:
        raise BadRecording(
            path, 0, f"holds no instruments ({error})", "see replay/README.md"
        ) from None
    return {rule.symbol: rule for rule in rules}


def bybit_rows(document: Any) -> list[Any] | None:
    """The `result.list` of an instruments-info reply of category linear, else None."""
    result = document.get("result") if isinstance(document, dict) else None
    if isinstance(result, dict) and result.get("category") == "linear":
        rows = result.get("list")
        return rows if isinstance(rows, list) else None
    return None


class _PriceFilter(msgspec.Struct, rename="camel"):
    min_price: Decimal
    max_price: Decimal
    tick_size: Decimal


class _LotFilter(msgspec.Struct, rename="camel"):
    qty_step: Decimal
    min_order_qty: Decimal
    max_order_qty: Decimal
    max_mkt_order_qty: Decimal
    min_notional_value: Decimal = Decimal(5)


class _LeverageFilter(msgspec.Struct, rename="camel"):
    min_leverage: Decimal
    max_leverage: Decimal
    leverage_step: Decimal


class _Row(msgspec.Struct, rename="camel"):
    symbol: str
    contract_type: str
    status: str
    base_coin: str
    quote_coin: str
    price_scale: int
    funding_interval: int
    price_filter: _PriceFilter
    lot_size_filter: _LotFilter
    leverage_filter: _LeverageFilter


def instruments_of_reply(rows: list[Any], path: object) -> dict[str, Instrument]:
    """Rules of the USDT perpetuals among `rows`. Raises BadRecording on a row of another shape."""
    try:
        parsed = msgspec.convert(rows, list[_Row], strict=False)
    except msgspec.ValidationError as error:
        raise BadRecording(
            path, 0, f"instruments reply not understood ({error})", "use another"
        ) from None
    return {
        row.symbol: _of_row(row)
        for row in parsed
        if row.contract_type == "LinearPerpetual" and row.quote_coin == "USDT"
    }


def _of_row(row: _Row) -> Instrument:
    price, lot, leverage = row.price_filter, row.lot_size_filter, row.leverage_filter
    return Instrument(
        symbol=row.symbol,
        tick_size=price.tick_size,
        qty_step=lot.qty_step,
        min_qty=lot.min_order_qty,
        max_qty=lot.max_order_qty,
        max_market_qty=lot.max_mkt_order_qty,
        min_notional=lot.min_notional_value,
        min_price=price.min_price,
        max_price=price.max_price,
        min_leverage=leverage.min_leverage,
        max_leverage=leverage.max_leverage,
        leverage_step=leverage.leverage_step,
        price_scale=row.price_scale,
        funding_interval_min=row.funding_interval,
        base_coin=row.base_coin,
        quote_coin=row.quote_coin,
        status=row.status,
    )
