"""Ticks and lots as the venue writes them, remembered: the same few thousand texts go out all day."""

from __future__ import annotations

from market.domain.instruments import Instrument

_REMEMBERED = 16_384


class PriceTexts(dict[int, str]):
    """`texts[tick]` -> the price padded to the price scale; clients match levels by this text."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__()
        self._instrument = instrument

    def __missing__(self, tick: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        text = self[tick] = self._instrument.format_price(tick)
        return text


class QtyTexts(dict[int, str]):
    """`texts[lots]` -> the quantity; 0 is "0", the sign of a deleted level."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__()
        self._instrument = instrument

    def __missing__(self, lots: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        text = self[lots] = self._instrument.format_qty(lots) if lots else "0"
        return text


def nano_price_text(value: int, price_scale: int) -> str:
    """A price in 1e-9 quote coin with the symbol's decimals."""
    return f"{value / 1e9:.{price_scale}f}"
