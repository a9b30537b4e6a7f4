"""Fills of our simulated venue beside hftbacktest's, order by order, on the same stretch.

A seeded list of orders is played through both engines and through a slow reference whose switches are the
assumptions in which they differ (`fills_reference`). It must agree with ours with all switches off and
with hftbacktest with all on, or this raises; so the switches explain every difference there is.
"""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.domain.config import ExecutionConfig
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import (
    CancelOrder,
    OrderFilled,
    OrderSide,
    OrderType,
    PlaceOrder,
    TimeInForce,
)
from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk, EventKind
from market.domain.instruments import Instrument
from replay.adapters.session_paths import open_market_data
from tests.bench.fills_reference import (
    CANCEL,
    IOC,
    LIMIT,
    MARKET,
    PEER,
    POST_ONLY,
    Reference,
    Rules,
    Wanted,
)
from tests.bench.hftbacktest_venv import PeerMissing, peer_python
from tests.bench.result import Result
from tests.bench.stream import bench_instrument, bench_stream
from tests.conftest import SHARED

ORDERS = 400
LIFETIME_NS = 20_000_000_000  # a resting order is cancelled after
LATENCY_NS = 20_000_000
RECORDING = Path("data/l2/binance_usdm_20240808/btcusdt_20240808.gz")
Fills = NDArray[np.int64]  # per order: lots, price of the last fill, maker, its time


# -- the stretch and the orders -------------------------------------------------------------------------


def matched_part(chunk: EventChunk) -> EventChunk:
    """Prints and book changes in order of exchange time: what both engines understand alike.

    Sizes are doubled, and orders odd, because hftbacktest 2.4.4 stops with an error once a print brings an
    order exactly what it still wants (it is filled then, but stays in its book).
    """
    kinds = (EventKind.TRADE, EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA)
    rows = np.flatnonzero(np.isin(chunk.kind, kinds))
    rows = rows[np.argsort(chunk.exchange_ts_ns[rows], kind="stable")]
    first = int(np.flatnonzero(chunk.kind[rows] == EventKind.BOOK_SNAPSHOT)[0])
    part = pick_messages(chunk, rows[first:])
    return dataclasses.replace(part, lot=2 * part.lot)


def a_list_of_orders(chunk: EventChunk, instrument: Instrument, seed: int) -> list[dict[str, int]]:
    """Orders of all kinds near the touch of their time, most small, one in ten large."""
    rng, venue = np.random.default_rng(seed), SimulatedExchange([instrument], ExecutionConfig())
    begin, end = int(chunk.exchange_ts_ns[0]), int(chunk.exchange_ts_ns[-1])
    times = np.sort(rng.integers(begin + 5_000_000_000, end - 5_000_000_000, ORDERS))
    events, at = [], 0
    for identity, time_ns in enumerate(times, start=1):
        now = int(np.searchsorted(chunk.exchange_ts_ns, time_ns))
        venue.process(chunk.slice(at, now))
        at, side = now, int(rng.integers(2))
        kind = int(rng.choice([LIMIT, POST_ONLY, IOC, MARKET], p=[0.45, 0.25, 0.15, 0.15]))
        touch = venue.books.best(0, side)
        assert touch is not None
        offset = int(rng.integers(-12, 4)) if rng.integers(6) else int(rng.integers(-300, -100))
        lots = int(rng.integers(2, 60)) if rng.integers(10) else int(rng.integers(500, 4_000))
        lots = 2 * lots + 1
        event = {"at": int(time_ns), "identity": identity, "side": side, "lots": lots}
        events.append({**event, "kind": kind, "price": touch + offset * (1 if side == 0 else -1)})
        if kind in (LIMIT, POST_ONLY):
            events.append({**events[-1], "at": int(time_ns) + LIFETIME_NS, "kind": CANCEL})
    return sorted((e for e in events if e["at"] < end), key=lambda e: e["at"])


# -- three engines ----------------------------------------------------------------------------------------


def ours(chunk: EventChunk, instrument: Instrument, orders: list[dict[str, int]]) -> Fills:
    config = ExecutionConfig(sim_balance_usdt=1e9, sim_leverage=20.0)
    venue, fills = SimulatedExchange([instrument], config), np.zeros((ORDERS + 1, 4), np.int64)
    for event in orders:
        venue.submit(_command(event, instrument.symbol))
    for update in venue.process(chunk):
        if isinstance(update, OrderFilled):
            row = fills[int(update.client_order_id)]
            row[0] += update.qty_lots
            row[1:] = (update.price_ticks, update.is_maker, update.venue_ts_ns)
    return fills


def _command(event: dict[str, int], symbol: str) -> PlaceOrder | CancelOrder:
    identity, kind = str(event["identity"]), event["kind"]
    if kind == CANCEL:
        return CancelOrder(client_order_id=identity, symbol=symbol, decision_ts_ns=event["at"])
    in_force = {POST_ONLY: TimeInForce.POST_ONLY, LIMIT: TimeInForce.GTC}
    return PlaceOrder(
        client_order_id=identity,
        symbol=symbol,
        side=OrderSide.BUY if event["side"] == 0 else OrderSide.SELL,
        type=OrderType.MARKET if kind == MARKET else OrderType.LIMIT,
        time_in_force=in_force.get(kind, TimeInForce.IOC),
        qty_lots=event["lots"],
        price_ticks=None if kind == MARKET else event["price"],
        decision_ts_ns=event["at"],
    )


def peers(chunk: EventChunk, orders: list[dict[str, int]]) -> Fills:
    """Raises PeerMissing."""
    python, script = peer_python(), Path(__file__).with_name("hftbacktest_fills.py")
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("stream.npz", "orders.npz", "fills.npz")]
        np.savez(
            names[0], kind=chunk.kind, ts=chunk.exchange_ts_ns, offset=chunk.level_offset,
            side=chunk.side, tick=chunk.tick, lot=chunk.lot,
        )  # fmt: skip
        end = int(chunk.exchange_ts_ns[-1])
        events = [*orders, {**orders[0], "at": end, "kind": 5}]  # let the rest of the stretch pass
        columns: dict[str, Any] = {
            name: np.array([event[name] for event in events], np.int64) for name in orders[0]
        }
        np.savez(names[1], **columns)
        done = subprocess.run(
            [str(python), str(script), *names], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PeerMissing(f"hftbacktest failed: {done.stderr.strip().splitlines()[-1:]}")
        fills: Fills = np.load(names[2])["fills"]
    return fills


def reference(chunk: EventChunk, orders: list[dict[str, int]], rules: Rules) -> Fills:
    engine, wanted = Reference(rules), {}
    waiting = [(event["at"] + LATENCY_NS, event) for event in orders]
    for kind, levels, now in _messages(chunk):
        while waiting and waiting[0][0] <= now:
            at, event = waiting.pop(0)
            if event["kind"] == CANCEL:
                engine.cancel(event["identity"])
                continue
            names = ("identity", "side", "kind", "price", "lots")
            order = wanted[event["identity"]] = Wanted(*(event[name] for name in names))
            engine.arrive(order, at)
        engine.on_message(kind, levels, now)
    fills = np.zeros((ORDERS + 1, 4), np.int64)
    for identity, order in wanted.items():
        fills[identity] = order.result
    return fills


def _messages(chunk: EventChunk) -> Iterator[tuple[int, list[tuple[int, int, int]], int]]:
    entries = list(zip(chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist(), strict=True))
    offsets = chunk.level_offset.tolist()
    for i, kind in enumerate(chunk.kind.tolist()):
        yield kind, entries[offsets[i] : offsets[i + 1]], int(chunk.exchange_ts_ns[i])


# -- what differs and why ---------------------------------------------------------------------------------


def compare(name: str, chunk: EventChunk, instrument: Instrument) -> list[Result]:
    """Figures of one stretch. Raises AssertionError where the reference does not explain an engine."""
    orders = a_list_of_orders(chunk, instrument, seed=7)
    mine = ours(chunk, instrument, orders)
    _must_be_equal(f"{name}: our venue", mine, reference(chunk, orders, Rules()))
    # The peer's last column is the time of its last news of an order, a refused cancel included.
    mine, theirs = mine[:, :3], peers(chunk, orders)[:, :3]
    _must_be_equal(f"{name}: hftbacktest", theirs, reference(chunk, orders, PEER)[:, :3])
    differ = np.flatnonzero((mine != theirs).any(axis=1))
    results = _counts(name, mine, theirs, differ)
    for switch, number in _reasons(chunk, orders, mine, theirs, differ).items():
        text = f"fills {name}: differ by {switch}"
        results.append(Result(name=text, value=float(number), unit="orders"))
    return results


def _must_be_equal(name: str, fills: Fills, explained: Fills) -> None:
    wrong = np.flatnonzero((fills != explained).any(axis=1))
    if wrong.size:
        lines = [f"{i}: {fills[i].tolist()} is not {explained[i].tolist()}" for i in wrong[:10]]
        raise AssertionError(
            f"{name} and the reference disagree on {wrong.size}:\n" + "\n".join(lines)
        )


def _counts(name: str, mine: Fills, theirs: Fills, differ: NDArray[np.intp]) -> list[Result]:
    same = ORDERS - differ.size
    less = int((mine[:, 0] < theirs[:, 0]).sum())
    more = int((mine[:, 0] > theirs[:, 0]).sum())
    note = (
        f"ours filled {int((mine[:, 0] > 0).sum())} orders, {int(mine[:, 0].sum())} lots;"
        f" the peer {int((theirs[:, 0] > 0).sum())}, {int(theirs[:, 0].sum())};"
        f" of {differ.size} that differ ours filled less in {less}, more in {more}"
    )
    return [
        Result(
            name=f"fills {name}: same lots, price, role",
            value=float(same), unit="orders", peer="hftbacktest 2.4.4", peer_value=float(ORDERS),
            ratio=same / ORDERS, note=note,
        )
    ]  # fmt: skip


def _reasons(
    chunk: EventChunk,
    orders: list[dict[str, int]],
    mine: Fills,
    theirs: Fills,
    differ: NDArray[np.intp],
) -> Counter[str]:
    """Orders by the one switch that turns our result into the peer's; else several act together."""
    reasons: Counter[str] = Counter()
    explained: set[int] = set()
    for rule in fields(Rules):
        alone = reference(chunk, orders, Rules(**{rule.name: True}))[:, :3]
        by_it = {
            int(i) for i in differ if (alone[i] == theirs[i]).all() and (mine[i] != alone[i]).any()
        }
        reasons[rule.name.replace("_", " ")] = len(by_it)
        explained |= by_it
    reasons["several of these together"] = differ.size - len(explained)
    return reasons


def run() -> list[Result]:
    try:
        return [*_recorded(), *_synthetic()]
    except PeerMissing as missing:
        print(f"no comparison of fills: {missing}")
        return []


def _synthetic() -> list[Result]:
    chunk = matched_part(bench_stream(60_000, seconds=450.0))
    return compare("synthetic", chunk, bench_instrument())


def _recorded() -> list[Result]:
    if not (SHARED / RECORDING).is_file():
        print(f"no recording at {SHARED / RECORDING}: only the bench stream is compared")
        return []
    data = open_market_data([SHARED / RECORDING])
    chunk = matched_part(concat_chunks(list(data.chunks)))
    return compare("recorded", chunk, data.instruments[0])
