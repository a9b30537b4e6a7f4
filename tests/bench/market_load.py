"""A public websocket server that plays pre-encoded frames: the load of the market benchmark.

    python -m tests.bench.market_load SYMBOLS RATE      prints its port, then serves until stdin closes

Frames are encoded before the first is sent, WebSocket header included, and written many at once, so that
this process is not what is measured. The mix per symbol: nine deltas of `orderbook.50` to three trades,
two tickers, one touch. Every 50 ms a trade carries the real time, from which lag is read. RATE 0 sends
without pause.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
import uvloop
from websockets.asyncio.server import ServerConnection, serve

LEVELS = 50
ROUNDS = 60  # per cycle; each begins with a snapshot of every book
MID_TICK = 867_000
_TICK_S = 0.005
_LAG_EVERY_S = 0.05


def symbols_of(count: int) -> list[str]:
    return [f"LOAD{i:02d}USDT" for i in range(count)]


def encoded_cycle(symbols: list[str], seed: int = 5) -> list[bytes]:
    """One cycle of WebSocket text frames of all symbols."""
    rng = np.random.default_rng(seed)
    frames = [_frame(_book(symbol, "snapshot", 1, rng, LEVELS)) for symbol in symbols]
    update = dict.fromkeys(symbols, 1)
    for _ in range(ROUNDS):
        for symbol in symbols:
            for kind in ("book", "book", "book", "trade", "book", "book", "book", "ticker"):
                if kind == "book":
                    update[symbol] += 1
                    frames.append(_frame(_book(symbol, "delta", update[symbol], rng, 3)))
                else:
                    frames.append(
                        _frame(_trade(symbol, rng) if kind == "trade" else _ticker(symbol, rng))
                    )
            frames.append(_frame(_touch(symbol, update[symbol])))
    return frames


def _frame(message: dict[str, Any]) -> bytes:
    """An unmasked, final text frame (RFC 6455 §5.2)."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    size = len(payload)
    header = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return header + payload


def _book(symbol: str, kind: str, u: int, rng: np.random.Generator, levels: int) -> dict[str, Any]:
    if kind == "snapshot":
        offsets = list(range(LEVELS))
    else:
        offsets = sorted(rng.choice(LEVELS, levels, replace=False).tolist())
    sizes = rng.integers(1, 90_000, (2, len(offsets))).tolist()
    bids = [
        [f"{(MID_TICK - o) / 10:.2f}", f"{s / 1000:.3f}"]
        for o, s in zip(offsets, sizes[0], strict=True)
    ]
    asks = [
        [f"{(MID_TICK + 1 + o) / 10:.2f}", f"{s / 1000:.3f}"]
        for o, s in zip(offsets, sizes[1], strict=True)
    ]
    now_ms = time.time_ns() // 1_000_000
    return {
        "topic": f"orderbook.50.{symbol}", "type": kind, "ts": now_ms,
        "data": {"s": symbol, "b": bids, "a": asks, "u": u, "seq": u * 7}, "cts": now_ms - 3,
    }  # fmt: skip


def _touch(symbol: str, u: int) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    data = {"s": symbol, "b": [["86700.00", "1"]], "a": [["86700.10", "1"]], "u": u, "seq": u}
    return {"topic": f"orderbook.1.{symbol}", "type": "snapshot", "ts": now_ms, "data": data}


def _trade(symbol: str, rng: np.random.Generator, at_ms: int = 1) -> dict[str, Any]:
    side = "Buy" if rng.random() < 0.5 else "Sell"
    row = {
        "T": at_ms, "s": symbol, "S": side, "v": f"{rng.integers(1, 9000) / 1000:.3f}",
        "p": "86700.10" if side == "Buy" else "86700.00", "L": "PlusTick",
        "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False, "seq": 1783284617,
    }  # fmt: skip
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": at_ms, "data": [row]}


def _ticker(symbol: str, rng: np.random.Generator) -> dict[str, Any]:
    mark = 86_700 + rng.integers(0, 100) / 100
    return {
        "topic": f"tickers.{symbol}", "type": "delta", "cs": 1, "ts": time.time_ns() // 1_000_000,
        "data": {"symbol": symbol, "markPrice": f"{mark:.2f}", "openInterestValue": "5250990127.10"},
    }  # fmt: skip


class LoadServer:
    """Waits for the subscriptions, then plays the cycle round and round."""

    def __init__(self, symbols: list[str], rate: float) -> None:
        self._frames = encoded_cycle(symbols)
        self._symbols = symbols
        self._rate = rate
        self._rng = np.random.default_rng(1)

    async def serve(self, socket: ServerConnection) -> None:
        topics = 0
        playing: asyncio.Task[None] | None = None
        async for text in socket:
            request = json.loads(text)
            reply = {"success": True, "ret_msg": "", "conn_id": "c", "op": request["op"]}
            await socket.send(json.dumps({**reply, "req_id": request.get("req_id", "")}))
            topics += len(request.get("args", ()))
            if playing is None and topics >= 5 * len(self._symbols):
                playing = asyncio.create_task(self._play(socket))
        if playing is not None:
            playing.cancel()

    async def _play(self, socket: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        began, sent, place, lag_due = loop.time(), 0, 0, 0.0
        while True:
            now = loop.time()
            due = int((now - began) * self._rate) - sent if self._rate else 256
            batch = []
            for _ in range(due):
                batch.append(self._frames[place])
                place = (place + 1) % len(self._frames)
            sent += due
            if now >= lag_due:
                stamp = time.time_ns() // 1_000_000
                batch.append(_frame(_trade(self._symbols[0], self._rng, stamp)))
                lag_due = now + _LAG_EVERY_S
            socket.transport.write(b"".join(batch))
            await socket.drain()
            await asyncio.sleep(_TICK_S if self._rate else 0)


async def main(count: int, rate: float) -> None:
    load = LoadServer(symbols_of(count), rate)
    async with serve(load.serve, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
