"""The last known instrument rules in the ORM, by environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import close_old_connections, transaction
from django.db.utils import Error as DatabaseError

from market.domain.instruments import Instrument
from market.models import InstrumentRules
from market.ports import StoreUnavailable

_DECIMALS = (
    "tick_size", "qty_step", "min_qty", "max_qty", "max_market_qty", "min_notional", "min_price",
    "max_price", "min_leverage", "max_leverage", "leverage_step",
)  # fmt: skip
_PLAIN = ("symbol", "base_coin", "quote_coin", "status", "price_scale", "funding_interval_min")


class DjangoInstrumentStore:
    """An `InstrumentStore`. Called from a thread; database errors become StoreUnavailable."""

    def __init__(self, bybit_env: str) -> None:
        self._bybit_env = bybit_env

    def load(self) -> list[Instrument]:
        """All rules last stored for the environment, by symbol. Raises StoreUnavailable."""
        try:
            close_old_connections()
            rows = list(InstrumentRules.objects.filter(bybit_env=self._bybit_env))
        except DatabaseError as error:
            raise StoreUnavailable(str(error)) from error
        return [_instrument_of(row) for row in rows]

    def save(self, instruments: Sequence[Instrument]) -> int:
        """Store what is new or changed; returns how many. Raises StoreUnavailable."""
        try:
            close_old_connections()
            with transaction.atomic():
                return self._save(instruments)
        except DatabaseError as error:
            raise StoreUnavailable(str(error)) from error

    def _save(self, instruments: Sequence[Instrument]) -> int:
        now = datetime.now(UTC)
        known = {
            row.symbol: row for row in InstrumentRules.objects.filter(bybit_env=self._bybit_env)
        }
        created, changed = [], []
        for instrument in instruments:
            row = known.pop(instrument.symbol, None)
            if row is None:
                created.append(self._row_of(instrument, now))
            elif _instrument_of(row) != instrument:
                _copy(instrument, row)
                row.changed_at = now
                changed.append(row)
        InstrumentRules.objects.bulk_create(created)
        InstrumentRules.objects.bulk_update(changed, [*_DECIMALS, *_PLAIN[1:], "changed_at"])
        InstrumentRules.objects.filter(
            bybit_env=self._bybit_env, symbol__in=[i.symbol for i in instruments]
        ).update(updated_at=now)
        return len(created) + len(changed)

    def _row_of(self, instrument: Instrument, now: datetime) -> InstrumentRules:
        row = InstrumentRules(
            bybit_env=self._bybit_env, symbol=instrument.symbol, updated_at=now, changed_at=now
        )
        _copy(instrument, row)
        return row


def _copy(instrument: Instrument, row: InstrumentRules) -> None:
    for name in _DECIMALS:
        setattr(row, name, f"{getattr(instrument, name):f}")
    for name in _PLAIN:
        setattr(row, name, getattr(instrument, name))


def _instrument_of(row: InstrumentRules) -> Instrument:
    rules: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    rules.update((name, Decimal(getattr(row, name))) for name in _DECIMALS)
    return Instrument(**rules)


def known_names(bybit_env: str) -> frozenset[str]:
    """Symbols whose rules were ever seen in the environment. Raises: DatabaseError."""
    rows = InstrumentRules.objects.filter(bybit_env=bybit_env)
    return frozenset(rows.values_list("symbol", flat=True))
