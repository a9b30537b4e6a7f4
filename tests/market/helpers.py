"""Fakes and sample instruments for the market shell's tests."""

from __future__ import annotations

from decimal import Decimal

from market.domain.chunks import concat_chunks
from market.domain.events import EventChunk
from market.domain.frames import Frames
from market.domain.instruments import Instrument


def an_instrument(symbol: str = "BTCUSDT", **rules: object) -> Instrument:
    values: dict[str, object] = {
        "symbol": symbol,
        "tick_size": Decimal("0.1"),
        "qty_step": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "max_qty": Decimal(1190),
        "max_market_qty": Decimal(500),
        "min_notional": Decimal(5),
        "min_price": Decimal("0.1"),
        "max_price": Decimal("1999999.8"),
        "min_leverage": Decimal(1),
        "max_leverage": Decimal(100),
        "leverage_step": Decimal("0.01"),
        "price_scale": 2,
        "funding_interval_min": 480,
        "base_coin": symbol.removesuffix("USDT"),
    }
    return Instrument(**{**values, **rules})  # type: ignore[arg-type]


class CollectedChunks:
    """A chunk and frame sink that keeps what it was given."""

    def __init__(self) -> None:
        self.chunks: list[EventChunk] = []
        self.frames: list[Frames] = []

    def take_chunk(self, chunk: EventChunk) -> None:
        self.chunks.append(chunk)

    def take_frames(self, frames: Frames) -> None:
        self.frames.append(frames)

    @property
    def all(self) -> EventChunk:
        return concat_chunks(self.chunks)


class HandClock:
    """A clock advanced by hand."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns
