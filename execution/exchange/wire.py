"""Text frames of the public websocket, written by hand where the rate is high."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from execution.exchange.board import PublicTrade, SymbolBoard
from execution.exchange.candles import Candle, interval_end_ms

_encoder = msgspec.json.Encoder()
Levels = Iterable[tuple[int, int]]


def json_text(value: Any) -> str:
    """Compact JSON."""
    return _encoder.encode(value).decode()


def _levels(board: SymbolBoard, levels: Levels) -> str:
    prices, qtys = board.prices, board.qtys
    return ",".join([f'["{prices[tick]}","{qtys[lots]}"]' for tick, lots in levels])


def book_frame(
    board: SymbolBoard,
    depth: int,
    kind: str,
    *,
    bids: Levels,
    asks: Levels,
    update_id: int,
    seq: int,
    ts_ms: int,
    cts_ms: int,
) -> str:
    """`kind` snapshot or delta. At depth 1 `ts` stands before `type`, as Bybit writes it."""
    symbol = board.instrument.symbol
    head = f'"ts":{ts_ms},"type":"{kind}"' if depth == 1 else f'"type":"{kind}","ts":{ts_ms}'
    return (
        f'{{"topic":"orderbook.{depth}.{symbol}",{head},"data":{{"s":"{symbol}",'
        f'"b":[{_levels(board, bids)}],"a":[{_levels(board, asks)}],"u":{update_id},"seq":{seq}}},'
        f'"cts":{cts_ms}}}'
    )


def trade_frame(board: SymbolBoard, trades: Iterable[PublicTrade], ts_ms: int) -> str:
    symbol = board.instrument.symbol
    rows = ",".join(
        f'{{"T":{t.time_ms},"s":"{symbol}","S":"{t.side}","v":"{board.qtys[t.lots]}",'
        f'"p":"{board.prices[t.tick]}","L":"{t.tick_direction}","i":"{t.exec_id}",'
        f'"BT":false,"RPI":false,"seq":{t.seq}}}'
        for t in trades
    )
    return f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{ts_ms},"data":[{rows}]}}'


def ticker_frame(symbol: str, kind: str, fields: Mapping[str, str], *, seq: int, ts_ms: int) -> str:
    return json_text(
        {
            "topic": f"tickers.{symbol}",
            "type": kind,
            "data": {"symbol": symbol} | dict(fields),
            "cs": seq,
            "ts": ts_ms,
        }
    )


def kline_frame(
    board: SymbolBoard, interval: str, candle: Candle, *, confirm: bool, ts_ms: int
) -> str:
    """Prices of a candle are written without trailing zeros, unlike those of the book."""
    symbol = board.instrument.symbol
    return json_text(
        {
            "topic": f"kline.{interval}.{symbol}",
            "data": [
                {
                    "start": candle.start_ms,
                    "end": interval_end_ms(interval, candle.start_ms),
                    "interval": interval,
                    "open": plain_price(board, candle.open),
                    "close": plain_price(board, candle.close),
                    "high": plain_price(board, candle.high),
                    "low": plain_price(board, candle.low),
                    "volume": volume_text(board, candle),
                    "turnover": turnover_text(board, candle),
                    "confirm": confirm,
                    "timestamp": ts_ms,
                }
            ],
            "ts": ts_ms,
            "type": "snapshot",
        }
    )


def candle_row(board: SymbolBoard, candle: Candle) -> list[str]:
    """One element of REST `kline`."""
    return [
        str(candle.start_ms),
        *(plain_price(board, t) for t in (candle.open, candle.high, candle.low, candle.close)),
        volume_text(board, candle),
        turnover_text(board, candle),
    ]


def plain_price(board: SymbolBoard, tick: int) -> str:
    text = board.prices[tick]
    return text.rstrip("0").rstrip(".") if "." in text else text


def volume_text(board: SymbolBoard, candle: Candle) -> str:
    return board.qtys[candle.volume] if candle.volume else "0"


def turnover_text(board: SymbolBoard, candle: Candle) -> str:
    instrument = board.instrument
    value = candle.turnover * instrument.tick_size * instrument.qty_step
    return f"{value.normalize():f}" if value else "0"
