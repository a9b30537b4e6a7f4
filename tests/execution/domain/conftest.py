"""A hand-made market in front of the simulated venue: every test of it tells its story through it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.sim_config import SimConfig
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    FundingPaid,
    OrderFilled,
    OrderSide,
    OrderType,
    OrderUpdated,
    PlaceOrder,
    PositionUpdated,
    SetLeverage,
    SetTradingStop,
    TimeInForce,
    TriggerBy,
    VenueUpdate,
    WalletUpdated,
)
from market.domain.events import ASK, BID, ChunkBuilder, EventKind, TickerField
from market.domain.instruments import Instrument

MS = 1_000_000


class Venue:
    """One symbol, BTCUSDT: a tick is 0.1, a lot 0.001, so a lot at 10000 ticks is worth one USDT.

    Each market message comes 1 ms after the one before.
    """

    def __init__(
        self,
        instrument: Instrument,
        config: ExecutionConfig | None = None,
        *,
        min_notional_usdt: int = 1,
    ) -> None:
        instrument = msgspec.structs.replace(instrument, min_notional=Decimal(min_notional_usdt))
        self.instrument = instrument
        self.config = config or ExecutionConfig()
        self.exchange = SimulatedExchange([instrument], self.config)
        self.now = 1_000 * MS
        self.placed = 0
        self.updates: list[VenueUpdate] = []
        self.snapshot()

    # -- the market ---------------------------------------------------------------------------------

    def feed(self, kind: EventKind, levels: list[tuple[int, int, int]], flags: int = 0) -> None:
        self.now += MS
        builder = ChunkBuilder()
        builder.add(
            kind, symbol=0, seq=self.now, core_ts_ns=self.now, exchange_ts_ns=self.now,
            levels=levels, flags=flags,
        )  # fmt: skip
        self.updates += self.exchange.process(builder.take())

    def snapshot(self, bid: int = 10_000, lots: int = 5) -> None:
        levels = [(BID, bid - i, lots) for i in range(5)]
        self.feed(EventKind.BOOK_SNAPSHOT, levels + [(ASK, bid + 1 + i, lots) for i in range(5)])

    def touch(self, bid: int, ask: int, lots: int = 5) -> None:
        self.feed(EventKind.BBO, [(BID, bid, lots), (ASK, ask, lots)])

    def trade(self, taker: int, tick: int, lots: int, flags: int = 0) -> None:
        self.feed(EventKind.TRADE, [(taker, tick, lots)], flags)

    def level(self, side: int, tick: int, lots: int) -> None:
        self.feed(EventKind.BOOK_DELTA, [(side, tick, lots)])

    def mark(self, tick: int) -> None:
        self.ticker(MARK_PRICE=tick * 10**8)

    def index(self, tick: int) -> None:
        self.ticker(INDEX_PRICE=tick * 10**8)

    def ticker(self, **fields: int) -> None:
        self.feed(
            EventKind.TICKER, [(0, int(TickerField[name]), value) for name, value in fields.items()]
        )

    def settle(self, ms: int = 30) -> None:
        self.now += ms * MS
        self.updates += self.exchange.advance(self.now)

    # -- commands -----------------------------------------------------------------------------------

    def place(self, side: str, lots: int, price: int | None = None, **changes: Any) -> str:
        self.placed += 1
        identity = changes.pop("client_order_id", f"o{self.placed}")
        kind = changes.pop("type", OrderType.MARKET if price is None else OrderType.LIMIT)
        self.exchange.submit(
            PlaceOrder(
                client_order_id=identity,
                symbol="BTCUSDT",
                side=OrderSide(side),
                type=kind,
                time_in_force=changes.pop(
                    "time_in_force", TimeInForce.IOC if price is None else TimeInForce.GTC
                ),
                qty_lots=lots,
                price_ticks=price,
                decision_ts_ns=self.now,
                **changes,
            )
        )
        return str(identity)

    def a_stop(self, trigger: int, by: TriggerBy, lots: int = 5) -> str:
        """A closing stop of a long."""
        return self.place(
            "SELL", lots, type=OrderType.STOP_MARKET, trigger_ticks=trigger, trigger_by=by,
            reduce_only=True, close_on_trigger=True,
        )  # fmt: skip

    def amend(self, identity: str, **changes: int) -> None:
        self.exchange.amend(AmendOrder(**self._named(identity), **changes))

    def cancel(self, identity: str) -> None:
        self.exchange.cancel(CancelOrder(**self._named(identity)))

    def trading_stop(self, **changes: Any) -> None:
        self.exchange.submit(SetTradingStop(**self._named("tpsl"), **changes))

    def leverage(self, leverage: float) -> None:
        self.exchange.submit(SetLeverage(**self._named("lev"), leverage=leverage))

    def _named(self, identity: str) -> dict[str, Any]:
        return {"client_order_id": identity, "symbol": "BTCUSDT", "decision_ts_ns": self.now}

    # -- what came of it ----------------------------------------------------------------------------

    def told(self, kind: type[Any]) -> list[Any]:
        return [update for update in self.updates if isinstance(update, kind)]

    def fills(self, identity: str | None = None) -> list[tuple[int, int]]:
        return [
            (u.price_ticks, u.qty_lots)
            for u in self.told(OrderFilled)
            if identity in (None, u.client_order_id)
        ]

    def last(self, identity: str) -> OrderUpdated:
        updates = [u for u in self.told(OrderUpdated) if u.client_order_id == identity]
        return updates[-1]  # type: ignore[no-any-return]

    def refusals(self) -> list[int]:
        return [u.code for u in self.told(CommandRefused)]

    def last_position(self) -> PositionUpdated:
        return self.told(PositionUpdated)[-1]  # type: ignore[no-any-return]

    def last_wallet(self) -> WalletUpdated:
        return self.told(WalletUpdated)[-1]  # type: ignore[no-any-return]

    def fundings(self) -> list[FundingPaid]:
        return self.told(FundingPaid)

    @property
    def position(self) -> int:
        return self.exchange.account().positions["BTCUSDT"].lots

    @property
    def equity(self) -> Decimal:
        return self.exchange.account().equity_usdt


@pytest.fixture
def make_venue(an_instrument: Callable[[str], Instrument]) -> Callable[..., Venue]:
    """A venue with its own settings: `sim` are fields of SimConfig, all else of ExecutionConfig."""

    def make(
        *, min_notional_usdt: int = 1, sim: dict[str, Any] | None = None, **settings: Any
    ) -> Venue:
        config = ExecutionConfig(sim=SimConfig(**(sim or {})), **settings)
        return Venue(an_instrument("BTCUSDT"), config, min_notional_usdt=min_notional_usdt)

    return make


@pytest.fixture
def venue(make_venue: Callable[..., Venue]) -> Venue:
    return make_venue()
