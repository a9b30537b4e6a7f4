"""hftbacktest as the peer, in its own venv: reads the stream, then runs once per line on stdin.

Started by `hftbacktest_venv.py`; imports nothing of the project. A line names the strategy: `market` or
`limit`, by how it enters. Answers each with JSON: seconds, steps, trades. A run is what a backtest does:
100 ms steps, features of the book, a numba strategy that takes a position now and then. Loading and
conversion are not timed.
"""

import json
import sys
import time

import hftbacktest
import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
    event_dtype,
)
from numba import njit

STEP_NS = 100_000_000
FEED_DELAY_NS = 1_000_000


def rows_of(path):
    """One row per price level, as the peer wants it."""
    stream = np.load(path)
    repeats = np.diff(stream["offset"])
    is_trade = np.repeat(stream["kind"] == 1, repeats)
    rows = np.zeros(stream["side"].size, event_dtype)
    kind = np.where(is_trade, TRADE_EVENT, DEPTH_EVENT).astype(np.uint64)
    side = np.where(stream["side"] == 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    rows["ev"] = kind | side | np.uint64(EXCH_EVENT) | np.uint64(LOCAL_EVENT)
    rows["exch_ts"] = np.repeat(stream["core_ts"], repeats)
    rows["local_ts"] = rows["exch_ts"] + FEED_DELAY_NS
    rows["px"] = np.round(stream["tick"] * 0.1, 1)
    rows["qty"] = stream["lot"] * 0.001
    return rows, stream["tick"].min() * 0.1, stream["tick"].max() * 0.1


def new_backtest(rows, lowest, highest):
    asset = (
        BacktestAsset()
        .data(rows)
        .linear_asset(1.0)
        .constant_order_latency(5_000_000, 5_000_000)
        .power_prob_queue_model(2.0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.00055)
        .tick_size(0.1)
        .lot_size(0.001)
        .last_trades_capacity(0)
        .roi_lb(lowest - 10.0)
        .roi_ub(highest + 10.0)
    )
    return ROIVectorMarketDepthBacktest([asset])


@njit
def best_five(depth, tick, step):
    """Size of the best five levels from `tick` outward."""
    total, found = 0.0, 0
    while found < 5:
        size = depth.bid_qty_at_tick(tick) if step < 0 else depth.ask_qty_at_tick(tick)
        if size > 0.0:
            total += size
            found += 1
        tick += step
    return total


@njit
def lean_of(depth):
    """What the strategies go by: the best five levels of both sides and the sizes at the touch."""
    bid, ask = depth.best_bid_tick, depth.best_ask_tick
    bids, asks = best_five(depth, bid, -1), best_five(depth, ask, 1)
    bid_lots, ask_lots = depth.bid_qty_at_tick(bid), depth.ask_qty_at_tick(ask)
    return (bids - asks) / (bids + asks) + (bid_lots - ask_lots) / (bid_lots + ask_lots) * 0.5


@njit
def send_market(hbt, number, is_buy):
    depth = hbt.depth(0)
    if is_buy:
        hbt.submit_buy_order(0, number, depth.best_ask, 0.01, GTC, MARKET, False)
    else:
        hbt.submit_sell_order(0, number, depth.best_bid, 0.01, GTC, MARKET, False)


@njit
def by_market(hbt, out):
    """Enters by a market order every 36 s, leaves by one 5 s later."""
    steps, orders, held, signal = 0, 0, 0, 0.0
    while hbt.elapse(STEP_NS) == 0:
        signal = 0.9 * signal + 0.1 * lean_of(hbt.depth(0))
        steps += 1
        if steps % 360 == 0 and held == 0:
            orders += 1
            held = 1 if signal > 0 else -1
            send_market(hbt, orders, held > 0)
        elif steps % 360 == 50 and held != 0:
            orders += 1
            send_market(hbt, orders, held < 0)
            held = 0
        if steps % 600 == 0:
            hbt.clear_inactive_orders(0)
    out[0], out[1], out[2] = steps, orders, signal


@njit
def by_limit(hbt, out):
    """Rests at its touch every 18 s, cancels after 2 s, leaves by a market order 5 s after it came."""
    steps, orders, resting, leave_at, signal = 0, 0, 0, 0, 0.0
    while hbt.elapse(STEP_NS) == 0:
        depth = hbt.depth(0)
        signal = 0.9 * signal + 0.1 * lean_of(depth)
        steps += 1
        held = hbt.position(0)
        if resting > 0 and steps % 180 == 20:
            own = hbt.orders(0)
            if resting in own and own.get(resting).cancellable:
                hbt.cancel(0, resting, False)
            resting = 0
        if held == 0 and resting == 0 and steps % 180 == 0:
            orders += 1
            if signal > 0:
                hbt.submit_buy_order(0, orders, depth.best_bid, 0.01, GTC, LIMIT, False)
            else:
                hbt.submit_sell_order(0, orders, depth.best_ask, 0.01, GTC, LIMIT, False)
            resting, leave_at = orders, steps + 50
        elif held != 0 and steps >= leave_at:
            orders += 1
            send_market(hbt, orders, held < 0)
            leave_at = steps + 20
        if steps % 600 == 0:
            hbt.clear_inactive_orders(0)
    out[0], out[1], out[2] = steps, orders, signal


STRATEGIES = {"market": by_market, "limit": by_limit}


def timed_run(data, strategy):
    hbt = new_backtest(*data)
    out = np.zeros(3)
    began = time.thread_time()
    STRATEGIES[strategy](hbt, out)
    seconds = time.thread_time() - began
    trades = hbt.state_values(0).num_trades
    hbt.close()
    return {"seconds": seconds, "steps": int(out[0]), "trades": int(trades)}


def main():
    data = rows_of(sys.argv[1])
    for strategy in STRATEGIES:
        timed_run(data, strategy)  # compiles
    print(json.dumps({"version": hftbacktest.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(timed_run(data, line.strip() or "market")), flush=True)


if __name__ == "__main__":
    main()
