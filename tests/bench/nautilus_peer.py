"""nautilus_trader as the peer, in its own venv: reads the stream, then runs once per line on stdin.

Started by `peer_venv.py`; imports nothing of the project. Answers each line with JSON: seconds, steps,
orders, fills. A run is its Rust engine (the fastest it has) with a Python strategy that does what ours
does at its least: at each 100 ms step of market time it reads the best five levels a side from the
managed book, makes imbalance and microprice of them, follows a score, and takes and leaves a position
now and then with market orders that the simulated venue fills, with real fees. Making the data objects
and loading them into the engine are not timed.
"""

import json
import sys
import time
from decimal import Decimal

import nautilus_trader
import numpy as np
from nautilus_trader.core import nautilus_pyo3 as api
from nautilus_trader.core.nautilus_pyo3.trading import Strategy, StrategyConfig

STEP_NS = 100_000_000
ENTRY_EVERY_STEPS, HOLD_STEPS = 360, 50
PRICE_DECIMALS, SIZE_DECIMALS = 1, 3
LAST_OF_MESSAGE = 128  # F_LAST
INSTRUMENT = api.InstrumentId.from_str("BTCUSDT-LINEAR.BYBIT")
USDT = api.Currency.from_str("USDT")


def instrument():
    return api.CryptoPerpetual(
        INSTRUMENT, api.Symbol("BTCUSDT"), api.Currency.from_str("BTC"), USDT, USDT, False,
        PRICE_DECIMALS, SIZE_DECIMALS, api.Price.from_str("0.1"), api.Quantity.from_str("0.001"), 0, 0,
        max_quantity=api.Quantity.from_str("1000.000"),
        min_quantity=api.Quantity.from_str("0.001"),
        margin_init=Decimal("0.05"), margin_maint=Decimal("0.025"),
        maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.00055"),
    )  # fmt: skip


class Cached(dict):
    """Few prices and sizes repeat: each object is made once."""

    def __init__(self, make):
        self.make = make

    def __missing__(self, key):
        self[key] = self.make(key)
        return self[key]


def messages(path):
    """One object per message, as the engine takes them."""
    stream = {name: column.tolist() for name, column in np.load(path).items()}
    offset, side, tick, lot = (stream[name] for name in ("offset", "side", "tick", "lot"))
    # Fixed precision of 16 decimals inside the engine.
    prices = Cached(lambda ticks: api.Price.from_raw(ticks * 10**15, PRICE_DECIMALS))
    sizes = Cached(lambda lots: api.Quantity.from_raw(lots * 10**13, SIZE_DECIMALS))
    for i, (kind, ts) in enumerate(zip(stream["kind"], stream["core_ts"], strict=True)):
        first, last = offset[i], offset[i + 1]
        if kind == 1:
            taker = api.AggressorSide.SELLER if side[first] else api.AggressorSide.BUYER
            yield api.TradeTick(
                INSTRUMENT,
                prices[tick[first]],
                sizes[lot[first]],
                taker,
                api.TradeId(str(i)),
                ts,
                ts,
            )
            continue
        yield api.OrderBookDeltas(
            INSTRUMENT,
            [
                api.OrderBookDelta(
                    INSTRUMENT,
                    api.BookAction.UPDATE if lot[j] else api.BookAction.DELETE,
                    api.BookOrder(
                        api.OrderSide.SELL if side[j] else api.OrderSide.BUY,
                        prices[tick[j]], sizes[lot[j]], 0,
                    ),
                    LAST_OF_MESSAGE if j == last - 1 else 0, i, ts, ts,
                )
                for j in range(first, last)
            ],
        )  # fmt: skip


class Steps(Strategy):
    """Features and a rule at each step; nothing at the messages between."""

    def __new__(cls):
        config = StrategyConfig(strategy_id=api.StrategyId("S-001"), order_id_tag="001")
        return super().__new__(cls, config)

    def __init__(self):
        self.next_step_ns = 0
        self.steps = self.orders = self.held = self.trades_seen = 0
        self.signal = 0.0
        self.size = api.Quantity.from_str("0.010")

    def on_start(self):
        self.subscribe_book_deltas(INSTRUMENT, api.BookType.L2_MBP, managed=True)
        self.subscribe_trades(INSTRUMENT)

    def on_trade(self, tick):
        self.trades_seen += 1

    def on_book_deltas(self, deltas):
        now = deltas.ts_event
        if now < self.next_step_ns:
            return
        if not self.next_step_ns:
            self.next_step_ns = now - now % STEP_NS
        book = self.cache.order_book(INSTRUMENT)
        bids, asks = book.bids(5), book.asks(5)
        bid_size, ask_size = bids[0].size(), asks[0].size()
        bid, ask = bids[0].price.as_double(), asks[0].price.as_double()
        near = sum(level.size() for level in bids)
        far = sum(level.size() for level in asks)
        micro = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
        lean = (near - far) / (near + far) + (micro - 0.5 * (bid + ask)) / (ask - bid)
        while now >= self.next_step_ns:
            self.next_step_ns += STEP_NS
            self.step(lean)

    def step(self, lean):
        self.steps += 1
        self.signal = 0.9 * self.signal + 0.1 * lean
        phase = self.steps % ENTRY_EVERY_STEPS
        if phase == 0 and not self.held:
            self.held = 1 if self.signal > 0 else -1
            self.send(self.held)
        elif phase == HOLD_STEPS and self.held:
            self.send(-self.held)
            self.held = 0

    def send(self, sign):
        side = api.OrderSide.BUY if sign > 0 else api.OrderSide.SELL
        self.submit_order(self.order_factory.market(INSTRUMENT, side, self.size))
        self.orders += 1


def new_engine(data):
    silent = api.LoggerConfig(stdout_level=api.LogLevel.OFF, bypass_logging=True)
    config = api.BacktestEngineConfig(
        trader_id=api.TraderId("T-001"), bypass_logging=True, logging=silent, run_analysis=False
    )
    engine = api.BacktestEngine(config)
    engine.add_venue(
        api.Venue("BYBIT"), api.OmsType.NETTING, api.AccountType.MARGIN,
        [api.Money(1_000_000, USDT)],
        base_currency=USDT, default_leverage=Decimal(10), book_type=api.BookType.L2_MBP,
    )  # fmt: skip
    engine.add_instrument(instrument())
    engine.add_data(data)
    return engine


def timed_run(data):
    engine, strategy = new_engine(data), Steps()
    engine.add_strategy(strategy)
    began = time.thread_time()
    engine.run()
    seconds = time.thread_time() - began
    return {"seconds": seconds, "steps": strategy.steps, "orders": strategy.orders}


def main():
    data = list(messages(sys.argv[1]))
    timed_run(data[: len(data) // 20])
    print(json.dumps({"version": nautilus_trader.__version__}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(timed_run(data)), flush=True)


if __name__ == "__main__":
    main()
