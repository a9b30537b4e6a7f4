"""Boards of a market's symbols, with a past for the synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence

from execution.domain.synthetic_history import synthetic_funding, synthetic_history
from execution.domain.synthetic_instruments import synthetic_profile
from execution.exchange.board import FundingPoint, SymbolBoard
from execution.exchange.candles import MINUTE_MS, Candle, CandleBook
from market.domain.instruments import Instrument

_HISTORY_MINUTES = 1500
_HISTORY_FUNDINGS = 200


def empty_boards(instruments: Sequence[Instrument]) -> list[SymbolBoard]:
    """Nothing known yet: a recording starts without a past."""
    return [SymbolBoard(instrument, CandleBook(), []) for instrument in instruments]


def synthetic_boards(
    instruments: Sequence[Instrument], *, seed: int, start_ns: int
) -> list[SymbolBoard]:
    """A day of candles and past fundings up to `start_ns`."""
    start_ms = start_ns // 1_000_000
    return [
        SymbolBoard(
            instrument,
            CandleBook(_past_candles(instrument, seed, start_ms)),
            _past_fundings(instrument, seed, start_ms),
        )
        for instrument in instruments
    ]


def _past_candles(instrument: Instrument, seed: int, start_ms: int) -> list[Candle]:
    profile = synthetic_profile(instrument.symbol)
    past = synthetic_history(profile, instrument, seed=seed, minutes=_HISTORY_MINUTES)
    first_ms = start_ms // MINUTE_MS * MINUTE_MS - _HISTORY_MINUTES * MINUTE_MS
    columns = zip(*(column.tolist() for column in past), strict=True)
    return [
        Candle(
            first_ms + number * MINUTE_MS,
            opened,
            high,
            low,
            closed,
            volume,
            volume * ((high + low) // 2),
        )
        for number, (opened, high, low, closed, volume) in enumerate(columns)
    ]


def _past_fundings(instrument: Instrument, seed: int, start_ms: int) -> list[FundingPoint]:
    rates = synthetic_funding(instrument.symbol, seed=seed, count=_HISTORY_FUNDINGS)
    interval_ms = instrument.funding_interval_min * MINUTE_MS
    last_ms = start_ms // interval_ms * interval_ms
    return [
        FundingPoint(
            f"{rate:.8f}".rstrip("0"), last_ms - (_HISTORY_FUNDINGS - 1 - number) * interval_ms
        )
        for number, rate in enumerate(rates)
    ]
