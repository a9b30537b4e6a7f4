"""Instrument rules from Bybit's public REST, through pybit.

Source: Bybit V5 documentation, GET /v5/market/instruments-info.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from market.domain.instruments import Instrument
from market.ports import VenueUnreachable

_PAGE_ROWS = 1000
_MAX_PAGES = 50
_TIMEOUT_S = 10


def fetch_instruments(rest_url: str, *, is_local: bool = False) -> list[Instrument]:
    """Every USDT linear perpetual that trades, in the venue's order. Blocks; runs in a thread.

    `is_local` keeps away from a proxy named in the environment.
    Raises VenueUnreachable (network, refusal, nonsense): keep the rules you have and try again later.
    """
    session = HTTP(testnet=False, timeout=_TIMEOUT_S, max_retries=1)
    session.endpoint = rest_url
    session.client.trust_env = not is_local
    rows: list[dict[str, Any]] = []
    cursor = ""
    try:
        for _ in range(_MAX_PAGES):
            reply = session.get_instruments_info(
                category="linear", limit=_PAGE_ROWS, **({"cursor": cursor} if cursor else {})
            )
            page = reply["result"]["list"]
            rows += page
            cursor = reply["result"].get("nextPageCursor") or ""
            if not page or not cursor:
                break
        return [instrument_of(row) for row in rows if _is_wanted(row)]
    except (
        requests.RequestException,
        FailedRequestError,
        InvalidRequestError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        InvalidOperation,
    ) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise VenueUnreachable(f"{rest_url}: {reason}") from error
    finally:
        session.client.close()


def _is_wanted(row: dict[str, Any]) -> bool:
    return (
        row.get("contractType") == "LinearPerpetual"
        and row.get("settleCoin", row.get("quoteCoin")) == "USDT"
        and row.get("status") == "Trading"
    )


def instrument_of(row: dict[str, Any]) -> Instrument:
    """One row of `result.list`. Numbers lose their trailing zeros, so that equal rules compare equal."""
    price, lot, leverage = row["priceFilter"], row["lotSizeFilter"], row["leverageFilter"]
    return Instrument(
        symbol=row["symbol"],
        tick_size=plain_decimal(price["tickSize"]),
        qty_step=plain_decimal(lot["qtyStep"]),
        min_qty=plain_decimal(lot["minOrderQty"]),
        max_qty=plain_decimal(lot["maxOrderQty"]),
        max_market_qty=plain_decimal(lot.get("maxMktOrderQty") or lot["maxOrderQty"]),
        min_notional=plain_decimal(lot.get("minNotionalValue") or "5"),
        min_price=plain_decimal(price["minPrice"]),
        max_price=plain_decimal(price["maxPrice"]),
        min_leverage=plain_decimal(leverage["minLeverage"]),
        max_leverage=plain_decimal(leverage["maxLeverage"]),
        leverage_step=plain_decimal(leverage["leverageStep"]),
        price_scale=int(row["priceScale"]),
        funding_interval_min=int(row["fundingInterval"]),
        base_coin=row["baseCoin"],
        quote_coin=row["quoteCoin"],
        status=row["status"],
    )


def plain_decimal(text: str) -> Decimal:
    """A finite Decimal without trailing zeros and without exponent form."""
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a number")
    value = value.normalize()
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value
