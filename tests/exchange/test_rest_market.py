"""REST market endpoints: envelopes, codes, parameters and paging."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from execution.domain.synthetic_instruments import symbols_named
from execution.exchange.boards import synthetic_boards
from execution.exchange.build import synthetic_exchange
from tests.exchange.served import RunningExchange, running


def get(exchange: RunningExchange, path: str, **params: object) -> dict[str, Any]:
    query = urllib.parse.urlencode(params)
    with urllib.request.urlopen(f"{exchange.rest}/v5/{path}?{query}", timeout=60) as reply:
        assert reply.status == 200
        return json.loads(reply.read())


def result(exchange: RunningExchange, path: str, **params: object) -> Any:
    reply = get(exchange, path, **params)
    assert (reply["retCode"], reply["retMsg"], reply["retExtInfo"]) == (0, "OK", {})
    assert isinstance(reply["time"], int)
    return reply["result"]


def test_the_time_is_given_in_seconds_and_nanoseconds_as_text(exchange: RunningExchange) -> None:
    time = result(exchange, "market/time")

    assert time["timeNano"].startswith(time["timeSecond"])
    assert len(time["timeNano"]) == 19


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("market/orderbook", {"category": "linear", "symbol": "NOPEUSDT"}, "Not supported symbols"),
        ("market/orderbook", {"category": "linear"}, "params error: symbol invalid"),
        ("market/orderbook", {"symbol": "BTCUSDT"}, "params error: category invalid"),
        ("market/recent-trade", {"category": "spot", "symbol": "BTCUSDT"}, "Not supported symbols"),
        ("market/tickers", {"category": "dogs"}, "params error: category invalid"),
        ("market/tickers", {"category": "linear", "symbol": "x"}, "Not supported symbols"),
        ("market/kline", {"symbol": "BTCUSDT", "interval": "7"}, "params error: interval invalid"),
        ("market/kline", {"symbol": "BTCUSDT", "interval": "1", "start": "x"}, "params error: start"),
        ("market/orderbook", {"category": "linear", "symbol": "BTCUSDT", "limit": 1001}, "limit"),
        ("market/orderbook", {"category": "linear", "symbol": "BTCUSDT", "limit": "-1"}, "limit"),
        ("market/funding/history",
         {"category": "linear", "symbol": "BTCUSDT", "startTime": 5}, "endTime"),
    ],
)  # fmt: skip
def test_bad_parameters_are_a_business_error_with_status_200(
    exchange: RunningExchange, path: str, params: dict[str, object], message: str
) -> None:
    reply = get(exchange, path, **params)

    assert reply["retCode"] == 10001
    assert message in reply["retMsg"]
    assert reply["result"] == {}


def test_an_unknown_path_is_not_found(exchange: RunningExchange) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(exchange, "market/everything")
    with refused.value:
        assert refused.value.code == 404


def test_instruments_come_in_pages_whose_cursor_may_be_sent_back_in_any_encoding() -> None:
    with running(synthetic_exchange(seed=1, symbols=symbols_named("6"))) as served:
        for encode in (lambda c: c, urllib.parse.unquote):
            seen: list[str] = []
            cursor = ""
            while True:
                page = result(
                    served, "market/instruments-info", category="linear", limit=2, cursor=cursor
                )
                seen += [row["symbol"] for row in page["list"]]
                cursor = encode(page["nextPageCursor"])
                if not cursor:
                    break
            assert seen == sorted(symbols_named("6"))


def test_other_categories_and_states_are_empty_not_errors(exchange: RunningExchange) -> None:
    for params in (
        {"category": "spot"},
        {"category": "inverse", "limit": 1000},
        {"category": "option", "baseCoin": "BTC"},
        {"category": "linear", "status": "PreLaunch"},
    ):
        page = result(exchange, "market/instruments-info", **params)
        assert page == {"category": params["category"], "list": [], "nextPageCursor": ""}
    assert result(exchange, "asset/coin/query-info") == {"rows": []}


def test_the_book_is_sorted_and_padded_to_the_price_scale(exchange: RunningExchange) -> None:
    book = result(exchange, "market/orderbook", category="linear", symbol="AI16ZUSDT", limit=40)
    bids, asks = ([float(price) for price, _ in book[side]] for side in "ba")

    assert len(bids) == len(asks) == 40
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert {len(price.partition(".")[2]) for price, _ in book["b"] + book["a"]} == {5}
    assert book["u"] > 1
    assert book["cts"] <= book["ts"]


def test_trades_come_newest_first(exchange: RunningExchange) -> None:
    rows = result(exchange, "market/recent-trade", category="linear", symbol="BTCUSDT", limit=50)[
        "list"
    ]
    times = [int(row["time"]) for row in rows]

    assert rows
    assert times == sorted(times, reverse=True)
    assert len({row["execId"] for row in rows}) == len(rows)


@pytest.mark.parametrize(("interval", "minutes"), [("1", 1), ("5", 5), ("60", 60), ("D", 1440)])
def test_candles_join_without_a_hole_and_end_with_the_open_one(
    exchange: RunningExchange, interval: str, minutes: int
) -> None:
    params = {"category": "linear", "symbol": "ETHUSDT", "interval": interval}
    rows = result(exchange, "market/kline", **params, limit=20)["list"]
    starts = [int(row[0]) for row in rows]

    assert all(a - b == minutes * 60_000 for a, b in itertools.pairwise(starts))
    assert all(len(row) == 7 and all(isinstance(v, str) for v in row) for row in rows)
    for _, opened, high, low, closed, volume, turnover in (map(float, row) for row in rows):
        assert low <= min(opened, closed) <= max(opened, closed) <= high
        assert low * volume * 0.999 <= turnover <= high * volume * 1.001
    window = result(exchange, "market/kline", **params, start=starts[-1], end=starts[-1])["list"]
    assert window == rows[-1:]


def test_funding_history_and_price_limits_and_tiers(exchange: RunningExchange) -> None:
    fundings = result(exchange, "market/funding/history", category="linear", symbol="BTCUSDT")
    times = [int(row["fundingRateTimestamp"]) for row in fundings["list"]]
    assert len(times) == 200
    assert all(a - b == 8 * 3600_000 for a, b in itertools.pairwise(times))

    limits = result(exchange, "market/price-limit", symbol="BTCUSDT")
    ticker = result(exchange, "market/tickers", category="linear", symbol="BTCUSDT")["list"][0]
    assert float(limits["sellLmt"]) < float(ticker["bid1Price"])
    assert float(ticker["ask1Price"]) < float(limits["buyLmt"])

    tiers = result(exchange, "market/risk-limit", category="linear", symbol="BTCUSDT")["list"]
    margins = [float(tier["maintenanceMargin"]) for tier in tiers]
    assert margins == sorted(margins)
    assert tiers[0]["isLowestRisk"] == 1
    assert tiers[0]["mmDeduction"] == ""


def test_a_synthetic_past_ends_where_the_market_begins() -> None:
    server = synthetic_exchange(seed=1, symbols=("BTCUSDT",))
    start_ns = server.venue.now_ns
    board = synthetic_boards([server.venue.boards[0].instrument], seed=1, start_ns=start_ns)[0]

    assert board.candles.current.close == round(86_700 / 0.1)
    assert board.candles.day().low <= board.candles.day().high
