"""hftbacktest with its risk-averse queue: what becomes of a list of orders. Runs in the peer's venv.

`python hftbacktest_fills.py STREAM.npz ORDERS.npz OUT.npz`; imports nothing of the project. Prices are
given as ticks and quantities as lots (tick size 1, lot size 1), so that its float arithmetic is exact.
"""

import sys

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)
from numba import njit

LATENCY_NS = 20_000_000
FEED_DELAY_NS = 1_000
IOC = 3


def rows_of(path):
    """One row per level; within a message deletions first, so that no row shows a crossed book."""
    stream = np.load(path)
    counts = np.diff(stream["offset"])
    message = np.repeat(np.arange(counts.size), counts)
    is_trade = stream["kind"][message] == 1
    rows = np.zeros(message.size, event_dtype)
    kind = np.where(is_trade, TRADE_EVENT, DEPTH_EVENT).astype(np.uint64)
    side = np.where(stream["side"] == 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    rows["ev"] = kind | side | np.uint64(EXCH_EVENT) | np.uint64(LOCAL_EVENT)
    rows["exch_ts"] = stream["ts"][message]
    rows["local_ts"] = rows["exch_ts"] + FEED_DELAY_NS
    rows["px"], rows["qty"] = stream["tick"], stream["lot"]
    return rows[np.lexsort((stream["lot"] > 0, message))]


@njit
def play(hbt, at, kind, identity, side, price, lots):
    """Send everything at its time; the last event is the end of the stretch."""
    hbt.elapse(1)  # its clock stands at the first event only after this
    for i in range(at.size):
        if hbt.elapse(at[i] - hbt.current_timestamp) != 0:
            return i
        if kind[i] == 4:
            hbt.cancel(0, identity[i], False)
        elif kind[i] < 4:
            order_type = MARKET if kind[i] == 3 else LIMIT
            in_force = GTX if kind[i] == 1 else IOC if kind[i] == 2 else GTC
            if side[i] == 0:
                hbt.submit_buy_order(0, identity[i], price[i], lots[i], in_force, order_type, False)
            else:
                hbt.submit_sell_order(
                    0, identity[i], price[i], lots[i], in_force, order_type, False
                )
    return at.size


@njit
def collect(hbt, out):
    """Columns: lots filled, price of the last fill, was it a maker, its time."""
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get()
        filled = round(order.qty - order.leaves_qty)
        out[order.order_id, 0] = filled
        if filled > 0:
            out[order.order_id, 1] = order.exec_price_tick
            out[order.order_id, 2] = 1 if order.arr[0].maker else 0
            out[order.order_id, 3] = order.exch_timestamp


def main():
    rows, wanted = rows_of(sys.argv[1]), np.load(sys.argv[2])
    asset = (
        BacktestAsset()
        .data(rows)
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.00055)
        .tick_size(1.0)
        .lot_size(1.0)
        .last_trades_capacity(0)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    names = ("at", "kind", "identity", "side", "price", "lots")
    columns = [wanted[name] for name in names]
    columns[4:] = [column.astype(np.float64) for column in columns[4:]]
    sent = play(hbt, *columns)
    if sent != columns[0].size:
        sys.exit(f"hftbacktest stopped at event {sent} of {columns[0].size}")
    out = np.zeros((int(wanted["identity"].max()) + 1, 4), np.int64)
    collect(hbt, out)
    np.savez(sys.argv[3], fills=out)


if __name__ == "__main__":
    main()
