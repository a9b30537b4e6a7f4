"""What the venue knows of one symbol besides its book: last trades, ticker figures, candles, funding."""

from __future__ import annotations

import uuid
from collections import deque
from decimal import Decimal
from typing import Any

import msgspec

from execution.exchange.candles import CandleBook
from execution.exchange.texts import PriceTexts, QtyTexts, nano_price_text
from execution.exchange.venue_facts import contract_facts
from market.domain.events import ASK, BID, BUY, TickerField
from market.domain.instruments import Instrument

_KEPT_TRADES = 1000
_NANO = 1_000_000_000


class PublicTrade(msgspec.Struct, frozen=True):
    """One fill as the public sees it; `seq` is the venue's cross sequence."""

    exec_id: str
    time_ms: int
    side: str
    tick: int
    lots: int
    tick_direction: str
    seq: int


class FundingPoint(msgspec.Struct, frozen=True):
    rate: str
    time_ms: int


class SymbolBoard:
    """Fed with the messages of one symbol, in order; read by REST and the ticker and candle topics."""

    def __init__(
        self, instrument: Instrument, candles: CandleBook, funding: list[FundingPoint]
    ) -> None:
        self.instrument = instrument
        self.candles = candles
        self.prices = PriceTexts(instrument)
        self.qtys = QtyTexts(instrument)
        self.trades: deque[PublicTrade] = deque(maxlen=_KEPT_TRADES)
        self.funding = funding
        self.touch: list[tuple[int, int]] = [(0, 0), (0, 0)]  # (tick, lots) of BID and ASK
        self._figures: dict[int, int] = {}
        self._last_tick = candles.current.close if not candles.is_empty else 0
        self._tick_direction = "ZeroPlusTick"
        self._fills = 0

    def add_trade(self, time_ms: int, side: int, tick: int, lots: int, seq: int) -> PublicTrade:
        """Note a fill and return it as it is published."""
        if tick != self._last_tick:
            self._tick_direction = "PlusTick" if tick > self._last_tick else "MinusTick"
        elif not self._tick_direction.startswith("Zero"):
            self._tick_direction = "Zero" + self._tick_direction
        self._last_tick = tick
        self._fills += 1
        trade = PublicTrade(
            exec_id=self._exec_id(seq),
            time_ms=time_ms,
            side="Buy" if side == BUY else "Sell",
            tick=tick,
            lots=lots,
            tick_direction=self._tick_direction,
            seq=seq,
        )
        self.trades.append(trade)
        self.candles.add_trade(time_ms, tick, lots)
        return trade

    def _exec_id(self, seq: int) -> str:
        number = (seq << 64 | self._fills) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)
        return str(uuid.UUID(int=number, version=5))

    def add_ticker(self, field: int, value: int) -> None:
        """Note a figure in the unit of `TickerField`; a passed funding instant goes to the history."""
        known = self._figures.get(field)
        if field == TickerField.NEXT_FUNDING_TIME and known is not None and value > known:
            self.funding.append(FundingPoint(self.funding_rate, known))
        self._figures[field] = value

    def set_touch(self, side: int, tick: int, lots: int) -> None:
        self.touch[side] = (tick, lots)

    def note_time(self, time_ms: int) -> None:
        """Open the minutes up to now; before the first trade the bid stands for the last price."""
        bid = self.touch[BID][0]
        if self.candles.is_empty and bid:
            self._last_tick = bid
            self.candles.add_trade(time_ms, bid, 0)
        self.candles.roll_to(time_ms)

    @property
    def funding_rate(self) -> str:
        return _plain(Decimal(self._figures.get(TickerField.FUNDING_RATE, 0)) / _NANO)

    @property
    def last_price(self) -> str:
        return self.prices[self._last_tick]

    @property
    def mark_price(self) -> Decimal:
        """Mark price, or the last price while no mark is known (some recordings have none)."""
        mark = self._figures.get(TickerField.MARK_PRICE)
        return Decimal(mark) / _NANO if mark else self.instrument.ticks_to_price(self._last_tick)

    def ticker(self) -> dict[str, str]:
        """Every field of the ticker topic of a perpetual, as text. Call once a trade or book is known."""
        figures, instrument = self._figures, self.instrument
        day = self.candles.day()
        nano = round(float(self.mark_price) * _NANO)
        interest = Decimal(figures.get(TickerField.OPEN_INTEREST, 0)) / 1000
        interest_value = interest * self.mark_price
        (bid, bid_lots), (ask, ask_lots) = self.touch[BID], self.touch[ASK]
        change = Decimal(self._last_tick - day.open) / Decimal(max(day.open, 1))
        return {
            "symbol": instrument.symbol,
            "tickDirection": self._tick_direction,
            "price24hPcnt": f"{change:.6f}",
            "lastPrice": self.last_price,
            "prevPrice24h": self.prices[day.open],
            "highPrice24h": self.prices[day.high],
            "lowPrice24h": self.prices[day.low],
            "prevPrice1h": self.prices[day.hour_open],
            "markPrice": nano_price_text(nano, instrument.price_scale),
            "indexPrice": nano_price_text(
                figures.get(TickerField.INDEX_PRICE, nano), instrument.price_scale
            ),
            "openInterest": _plain(interest),
            "openInterestValue": f"{interest_value:.2f}",
            "turnover24h": f"{day.turnover * instrument.tick_size * instrument.qty_step:.4f}",
            "volume24h": f"{instrument.lots_to_qty(day.volume):.4f}",
            "fundingIntervalHour": str(instrument.funding_interval_min // 60),
            "fundingCap": contract_facts(instrument.symbol).funding_cap,
            "nextFundingTime": str(figures.get(TickerField.NEXT_FUNDING_TIME, 0)),
            "fundingRate": self.funding_rate,
            "bid1Price": self.prices[bid] if bid else "",
            "bid1Size": self.qtys[bid_lots],
            "ask1Price": self.prices[ask] if ask else "",
            "ask1Size": self.qtys[ask_lots],
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
            "singleOpenInterest": _plain(interest / 2),
            "singleOpenInterestValue": f"{interest_value / 2:.2f}",
        }

    def rest_ticker(self) -> dict[str, Any]:
        """The row of REST `tickers`: the topic's fields, with those of dated futures empty."""
        row: dict[str, Any] = {k: v for k, v in self.ticker().items() if k != "tickDirection"}
        return row | {
            "predictedDeliveryPrice": "",
            "basisRate": "",
            "basis": "",
            "basisRateYear": "",
            "deliveryFeeRate": "",
            "deliveryTime": "0",
        }


def _plain(value: Decimal) -> str:
    """No exponent and no trailing zeros."""
    return f"{value.normalize():f}" if value else "0"
