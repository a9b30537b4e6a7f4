"""Instrument rules: from the venue, else from the last run; refreshed while the feed runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from market.domain.instruments import Instrument
from market.ports import InstrumentStore, StoreUnavailable, VenueUnreachable

REFRESH_EVERY_S = 3600.0

logger = logging.getLogger(__name__)

FetchInstruments = Callable[[], list[Instrument]]


class NoInstruments(Exception):
    """Neither the venue nor the database has rules: the service cannot start; the text says what to do."""


class UnknownSymbols(Exception):
    """Configured symbols that the venue does not trade: correct SYMBOLS or --symbols."""


class InstrumentBook:
    """The rules of the venue's symbols; loaded at start, refreshed on demand."""

    def __init__(self, fetch: FetchInstruments, store: InstrumentStore, *, venue: str) -> None:
        """`fetch` blocks (it runs in a thread) and raises VenueUnreachable; `venue` is its name in words."""
        self._fetch = fetch
        self._store = store
        self._venue = venue
        self._by_symbol: dict[str, Instrument] = {}

    def all(self) -> list[Instrument]:
        return list(self._by_symbol.values())

    async def load(self, *, patience_s: float = 0.0) -> None:
        """Ask the venue, for `patience_s` again and again; fall back to the last rules stored.

        Raises NoInstruments.
        """
        try:
            instruments = await self._fetched(patience_s)
        except VenueUnreachable as error:
            instruments = await self._stored()
            if not instruments:
                raise NoInstruments(
                    f"no instrument rules: {self._venue} is out of reach ({error}) and none are stored; "
                    "start the exchange or check the network, then start again"
                ) from None
            logger.warning(
                "instruments_from_last_run", extra={"count": len(instruments), "reason": str(error)}
            )
            self._take(instruments)
            return
        if not instruments:
            raise NoInstruments(f"{self._venue} lists no USDT perpetual that trades")
        self._take(instruments)
        await self._save()

    async def refresh(self) -> list[str]:
        """Ask the venue once; returns the symbols whose rules changed or which no longer trade.

        Network and database troubles are logged; the rules then stay as they are.
        """
        before = self._by_symbol
        try:
            instruments = await asyncio.to_thread(self._fetch)
        except VenueUnreachable as error:
            logger.warning("instruments_refresh_failed", extra={"reason": str(error)})
            return []
        if not instruments:
            logger.warning("instruments_refresh_failed", extra={"reason": "empty list"})
            return []
        self._take(instruments)
        await self._save()
        return [symbol for symbol, rules in before.items() if self._by_symbol.get(symbol) != rules]

    def choose(self, symbols: Sequence[str]) -> list[Instrument]:
        """The rules of `symbols`, in that order, each once. Raises UnknownSymbols naming all unknown."""
        unknown = [symbol for symbol in symbols if symbol not in self._by_symbol]
        if unknown:
            raise UnknownSymbols(
                f"unknown symbol {', '.join(unknown)}: {self._venue} trades no such USDT perpetual; "
                "correct --symbols or SYMBOLS (upper case, e.g. BTCUSDT)"
            )
        return [self._by_symbol[symbol] for symbol in dict.fromkeys(symbols)]

    def get(self, symbol: str) -> Instrument | None:
        return self._by_symbol.get(symbol)

    def _take(self, instruments: Sequence[Instrument]) -> None:
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}

    async def _fetched(self, patience_s: float) -> list[Instrument]:
        deadline_s = asyncio.get_running_loop().time() + patience_s
        while True:
            try:
                return await asyncio.to_thread(self._fetch)
            except VenueUnreachable:
                if asyncio.get_running_loop().time() >= deadline_s:
                    raise
                await asyncio.sleep(0.5)

    async def _stored(self) -> list[Instrument]:
        try:
            return await asyncio.to_thread(self._store.load)
        except StoreUnavailable as error:
            logger.warning("instruments_not_loaded", extra={"reason": str(error)})
            return []

    async def _save(self) -> None:
        try:
            changed = await asyncio.to_thread(self._store.save, self.all())
        except StoreUnavailable as error:
            logger.warning("instruments_not_stored", extra={"reason": str(error)})
        else:
            logger.info(
                "instruments_stored", extra={"count": len(self._by_symbol), "changed": changed}
            )
