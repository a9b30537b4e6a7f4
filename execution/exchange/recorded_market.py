"""A recording for the local exchange to play, through the same readers as a replay's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.recordings import BadRecording, MarketData, open_market_data

logger = logging.getLogger(__name__)


class BadMarket(ValueError):
    """Nothing to play; the text says which file, what is wrong and what would do."""


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """`chunks[...]` refer to `instruments` by index; core times never go back."""

    instruments: list[Instrument]
    chunks: Iterator[EventChunk]


def open_recorded(path: Path) -> RecordedMarket:
    """Whatever `open_market_data` reads. Raises BadMarket."""
    try:
        data = open_market_data([path])
    except BadRecording as error:
        raise BadMarket(str(error)) from None
    return RecordedMarket(list(data.instruments), _until_it_breaks(data))


def _until_it_breaks(data: MarketData) -> Iterator[EventChunk]:
    """A torn end is where the played market ends."""
    try:
        yield from data.chunks
    except BadRecording as error:
        logger.warning("recording_ends_early", extra={"reason": str(error)})
