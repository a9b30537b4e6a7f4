"""REST `/v5/market/*` of the local exchange, and the empty answers clients ask for while they load."""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from execution.exchange.board import SymbolBoard
from execution.exchange.candles import INTERVALS
from execution.exchange.venue import PublicVenue
from execution.exchange.venue_facts import (
    MAX_TIERS,
    contract_facts,
    instrument_row,
    risk_limit_rows,
)
from execution.exchange.wire import candle_row, json_text

PARAMETER_ERROR = 10001
_OTHER_CATEGORIES = ("spot", "inverse", "option")
_RISK_SYMBOLS_A_PAGE = 15

Params = Mapping[str, str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """Answered with HTTP 200 and this code, as Bybit does with business errors."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MarketRest:
    """Handlers of the public endpoints; `routes()` is what the application mounts."""

    def __init__(self, venue: PublicVenue, clock_ns: Callable[[], int]) -> None:
        self._venue = venue
        self._clock_ns = clock_ns

    def routes(self) -> list[web.RouteDef]:
        endpoints: dict[str, Callable[[Params], Any]] = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/recent-trade": self._recent_trade,
            "/v5/market/tickers": self._tickers,
            "/v5/market/kline": self._kline,
            "/v5/market/funding/history": self._funding_history,
            "/v5/market/risk-limit": self._risk_limit,
            "/v5/market/price-limit": self._price_limit,
            "/v5/asset/coin/query-info": lambda _: {"rows": []},
        }
        return [web.get(path, self._endpoint(answer)) for path, answer in endpoints.items()]

    def _endpoint(self, answer: Callable[[Params], Any]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return self._reply(0, "OK", answer(request.query))
            except Refused as refused:
                return self._reply(refused.code, refused.message, {})

        return handle

    def _reply(self, code: int, message: str, result: Any) -> web.Response:
        envelope = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self._clock_ns() // 1_000_000,
        }
        return web.Response(text=json_text(envelope), content_type="application/json")

    # --- endpoints

    def _time(self, _: Params) -> dict[str, str]:
        now_ns = self._clock_ns()
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def _instruments(self, params: Params) -> dict[str, Any]:
        category = _category(params)
        rows = [] if category != "linear" else [b.instrument for b in self._chosen(params)]
        status = params.get("status") or "Trading"
        base = params.get("baseCoin")
        rows = [i for i in rows if i.status == status and base in (None, "", i.base_coin)]
        rows.sort(key=lambda instrument: instrument.symbol)
        limit = _whole(params, "limit", 500, 1, 1000)
        page, cursor = _page(rows, limit, params, key=lambda i: i.symbol)
        return {
            "category": category,
            "list": [instrument_row(instrument) for instrument in page],
            "nextPageCursor": cursor,
        }

    def _orderbook(self, params: Params) -> dict[str, Any]:
        board = self._linear_board(params)
        limit = _whole(params, "limit", 25, 1, 1000)
        return self._venue.book(self._venue.index[board.instrument.symbol], limit)

    def _recent_trade(self, params: Params) -> dict[str, Any]:
        board = self._linear_board(params)
        limit = _whole(params, "limit", 500, 1, 1000)
        newest = list(board.trades)[-limit:][::-1]
        return {
            "category": "linear",
            "list": [
                {
                    "execId": trade.exec_id,
                    "symbol": board.instrument.symbol,
                    "price": board.prices[trade.tick],
                    "size": board.qtys[trade.lots],
                    "side": trade.side,
                    "time": str(trade.time_ms),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                    "seq": str(trade.seq),
                }
                for trade in newest
            ],
        }

    def _tickers(self, params: Params) -> dict[str, Any]:
        category = _category(params)
        boards = self._chosen(params) if category == "linear" else []
        rows = [board.rest_ticker() for board in boards if not board.candles.is_empty]
        return {"category": category, "list": sorted(rows, key=lambda row: str(row["symbol"]))}

    def _kline(self, params: Params) -> dict[str, Any]:
        board = self._linear_board(params, default="linear")
        interval = params.get("interval", "")
        if interval not in INTERVALS:
            raise Refused(PARAMETER_ERROR, "params error: interval invalid")
        limit = _whole(params, "limit", 200, 1, 1000)
        start_ms, end_ms = _span(params, "start", "end")
        candles = [c for c in board.candles.candles(interval) if start_ms <= c.start_ms <= end_ms]
        # With a start alone Bybit counts from the start on, else back from the end.
        from_start = bool(params.get("start")) and not params.get("end")
        chosen = candles[:limit] if from_start else candles[-limit:]
        return {
            "category": "linear",
            "symbol": board.instrument.symbol,
            "list": [candle_row(board, candle) for candle in reversed(chosen)],
        }

    def _funding_history(self, params: Params) -> dict[str, Any]:
        board = self._linear_board(params)
        if params.get("startTime") and not params.get("endTime"):
            raise Refused(PARAMETER_ERROR, "params error: endTime is required with startTime")
        limit = _whole(params, "limit", 200, 1, 200)
        start_ms, end_ms = _span(params, "startTime", "endTime")
        points = [p for p in board.funding if start_ms <= p.time_ms <= end_ms]
        return {
            "category": "linear",
            "list": [
                {
                    "symbol": board.instrument.symbol,
                    "fundingRate": point.rate,
                    "fundingRateTimestamp": str(point.time_ms),
                }
                for point in points[-limit:][::-1]
            ],
        }

    def _risk_limit(self, params: Params) -> dict[str, Any]:
        category = _category(params)
        boards = self._chosen(params) if category == "linear" else []
        instruments = sorted((b.instrument for b in boards), key=lambda i: i.symbol)
        page, cursor = _page(instruments, _RISK_SYMBOLS_A_PAGE, params, key=lambda i: i.symbol)
        rows = [
            row
            for instrument in page
            for row in risk_limit_rows(
                instrument, 1 + MAX_TIERS * self._venue.index[instrument.symbol]
            )
        ]
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def _price_limit(self, params: Params) -> dict[str, Any]:
        board = self._linear_board(params, default="linear")
        instrument = board.instrument
        band = Decimal(contract_facts(instrument.symbol).price_limit_ratio_x)
        return {
            "symbol": instrument.symbol,
            "buyLmt": board.prices[instrument.round_price_down(board.mark_price * (1 + band))],
            "sellLmt": board.prices[instrument.round_price_up(board.mark_price * (1 - band))],
            "ts": str(self._clock_ns() // 1_000_000),
        }

    # --- parameters

    def _chosen(self, params: Params) -> list[SymbolBoard]:
        """The boards of `symbol`, or all."""
        return [self._board(params["symbol"])] if params.get("symbol") else self._venue.boards

    def _linear_board(self, params: Params, default: str = "") -> SymbolBoard:
        category = _category(params, default)
        symbol = params.get("symbol")
        if not symbol:
            raise Refused(PARAMETER_ERROR, "params error: symbol invalid")
        if category != "linear":
            raise Refused(PARAMETER_ERROR, "Not supported symbols")
        return self._board(symbol)

    def _board(self, symbol: str) -> SymbolBoard:
        index = self._venue.index.get(symbol)
        if index is None:
            raise Refused(PARAMETER_ERROR, "Not supported symbols")
        return self._venue.boards[index]


def _category(params: Params, default: str = "") -> str:
    category = params.get("category", default)
    if category != "linear" and category not in _OTHER_CATEGORIES:
        raise Refused(PARAMETER_ERROR, "params error: category invalid")
    return category


def _whole(params: Params, name: str, default: int, least: int, most: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused(PARAMETER_ERROR, f"params error: {name} invalid")
    number = int(text)
    if not least <= number <= most:
        raise Refused(PARAMETER_ERROR, f"params error: {name} out of range {least}..{most}")
    return number


def _span(params: Params, first: str, last: str) -> tuple[int, int]:
    """Both ends in ms, open where a parameter is missing."""
    forever = 10**17
    return _whole(params, first, 0, 0, forever), _whole(params, last, forever, 0, forever)


def _page(
    rows: list[Any], limit: int, params: Params, *, key: Callable[[Any], str]
) -> tuple[list[Any], str]:
    """One page of `rows` (sorted by `key`) and the cursor of the next: opaque, percent-encoded."""
    cursor = params.get("cursor", "")
    if cursor:
        # Clients send the cursor back as it came, encoded once more, or decoded: all mean the same.
        after = urllib.parse.unquote(urllib.parse.unquote(cursor)).removeprefix("after=")
        rows = [row for row in rows if key(row) > after]
    page = rows[:limit]
    if len(rows) <= limit:
        return page, ""
    return page, urllib.parse.quote(f"after={key(page[-1])}", safe="")
