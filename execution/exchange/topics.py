"""Names of public topics: which exist, and for which symbols."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from execution.exchange.candles import INTERVALS

BOOK_DEPTHS = (1, 50, 200, 1000)


class Topic(msgspec.Struct, frozen=True):
    """`kind`: orderbook (with `depth`), kline (with `interval`), publicTrade, tickers, allLiquidation."""

    name: str
    kind: str
    symbol: int
    depth: int = 0
    interval: str = ""


def parse_topic(name: object, symbols: Mapping[str, int]) -> Topic | None:
    """The topic `name` means for a market with `symbols` (name -> index); None when there is none such."""
    if not isinstance(name, str):
        return None
    kind, _, rest = name.partition(".")
    detail, _, symbol = rest.rpartition(".")
    index = symbols.get(symbol)
    if index is None:
        return None
    if kind == "orderbook" and detail in {str(depth) for depth in BOOK_DEPTHS}:
        return Topic(name, kind, index, depth=int(detail))
    if kind == "kline" and detail in INTERVALS:
        return Topic(name, kind, index, interval=detail)
    if kind in ("publicTrade", "tickers", "allLiquidation") and not detail:
        return Topic(name, kind, index)
    return None
