"""What the watcher keeps of a run is what the run did, to the last unit, however the data were cut."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from execution.domain.config import ExecutionConfig
from execution.domain.venue import OrderFilled, VenueUpdate
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from replay.domain.backtest_parts import MarketVolume
from replay.domain.pipeline import Pipeline
from replay.domain.trade_results import total_costs
from replay.domain.trade_watch import TradeWatch
from strategy.domain.config import DecisionConfig

DEPOSIT = Decimal(10_000)


class FillSums:
    """The venue's fills, added up without the watcher."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.fees_usdt = Decimal(0)
        self.cash_usdt = Decimal(0)
        self.lots: dict[str, int] = {}
        self._unit = {i.symbol: i.tick_size * i.qty_step for i in instruments}

    def on_frames(self, frames: Frames) -> None: ...

    def on_strategy(self, outputs: Sequence[object], now_ns: int) -> None: ...

    def on_execution(self, outputs: Sequence[object], now_ns: int) -> None: ...

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        del now_ns
        if isinstance(update, OrderFilled):
            signed = update.side.sign * update.qty_lots
            self.fees_usdt += update.fee_usdt
            self.cash_usdt -= signed * update.price_ticks * self._unit[update.symbol]
            self.lots[update.symbol] = self.lots.get(update.symbol, 0) + signed


def watched(
    instruments: list[Instrument], decision: DecisionConfig, chunks: Sequence[EventChunk]
) -> tuple[TradeWatch, FillSums, Pipeline]:
    watch, sums = TradeWatch(instruments, DEPOSIT), FillSums(instruments)
    pipeline = Pipeline(instruments, decision, ExecutionConfig(), (watch, sums))
    for chunk in chunks:
        pipeline.feed(chunk)
    pipeline.finish()
    watch.finish()
    return watch, sums, pipeline


@pytest.fixture(scope="module")
def whole(
    instruments: list[Instrument], eager: DecisionConfig, market: EventChunk
) -> tuple[TradeWatch, FillSums, Pipeline]:
    return watched(instruments, eager, [market])


def test_trades_and_open_positions_are_the_fills_of_the_venue(
    whole: tuple[TradeWatch, FillSums, Pipeline], instruments: list[Instrument]
) -> None:
    watch, sums, pipeline = whole
    held = {symbol: lots for symbol, lots in sums.lots.items() if lots}
    by_symbol = {i.symbol: i for i in instruments}

    assert watch.trades
    assert watch.unexplained == 0
    assert {p.symbol for p in watch.open_positions} == set(held)
    value = sum(
        (
            by_symbol[symbol].lots_to_qty(lots)
            * by_symbol[symbol].tick_size
            * Decimal(quote.bid_ticks + quote.ask_ticks)
            / 2
            for symbol, lots in held.items()
            for quote in [pipeline.execution.quotes[symbol]]
        ),
        Decimal(0),
    )
    assert watch.equity_usdt == DEPOSIT + sums.cash_usdt + value - sums.fees_usdt


def test_costs_of_the_closed_trades_add_up_to_what_the_account_booked(
    whole: tuple[TradeWatch, FillSums, Pipeline],
) -> None:
    watch, _, pipeline = whole

    assert total_costs(watch.trades).net_usdt == watch.net_closed_usdt
    assert watch.net_closed_usdt == pipeline.execution.book.realized_usdt


def test_the_curve_ends_at_the_equity_and_starts_at_the_deposit(
    whole: tuple[TradeWatch, FillSums, Pipeline],
) -> None:
    watch, _, _ = whole
    points = watch.equity_points()

    assert points.last[0] == float(DEPOSIT)
    assert points.last[-1] == float(watch.equity_usdt)
    assert watch.drawdown.deepest_usdt >= float(DEPOSIT) - min(points.low)
    assert all(len(curve.last) > 30 for curve in watch.price_points().values())


@pytest.mark.parametrize("size", [7, 4096])
def test_how_the_stream_is_cut_changes_nothing_that_is_kept(
    whole: tuple[TradeWatch, FillSums, Pipeline],
    instruments: list[Instrument],
    eager: DecisionConfig,
    market: EventChunk,
    size: int,
) -> None:
    pieces = [market.slice(i, min(i + size, len(market))) for i in range(0, len(market), size)]

    watch, _, _ = watched(instruments, eager, pieces)

    assert watch.trades == whole[0].trades
    assert watch.equity_points() == whole[0].equity_points()
    assert watch.price_points() == whole[0].price_points()


def test_the_market_volume_is_that_of_its_trades(
    instruments: list[Instrument], market: EventChunk
) -> None:
    pieces = [market.slice(i, min(i + 1000, len(market))) for i in range(0, len(market), 1000)]
    volume = MarketVolume(tuple(instruments))
    for _ in volume.watch(iter(pieces)):
        pass

    expected = dict.fromkeys((i.symbol for i in instruments), Decimal(0))
    for i in range(len(market)):
        if market.kind[i] == 1 and not market.flags[i]:
            entry, instrument = market.level_offset[i], instruments[market.symbol[i]]
            expected[instrument.symbol] += instrument.notional(
                int(market.tick[entry]), int(market.lot[entry])
            )
    assert all(value > 0 for value in expected.values())
    assert volume.by_symbol() == pytest.approx({s: float(v) for s, v in expected.items()})
