"""Funding at the simulated venue: when it is due, and what a position pays or gets.

The ticker carries the rate and the next instant. Positive rate: longs pay, shorts get. Payment is
position value at mark times rate. Without an instant in the recording, the instrument's interval from
00:00 UTC stands in; without a rate nothing is paid.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from execution.domain.sim_floor import SimFloor
from execution.domain.sim_ledger import FEE_STEP
from execution.domain.sim_margin import SimMargins
from execution.domain.venue import FundingPaid

_MINUTE_NS = 60_000_000_000


class SimFunding:
    """Settles each instant once per position."""

    def __init__(self, floor: SimFloor, margins: SimMargins) -> None:
        self._floor = floor
        self._margins = margins

    def due_ns(self, symbol: str) -> int:
        """The next instant at which this position pays."""
        settled = self._floor.memory.funded_until_ns.get(symbol, self._floor.memory.now_ns)
        told = self._floor.market.next_funding_ns(symbol)
        if told > settled:
            return told
        interval = self._floor.instruments[symbol].funding_interval_min * _MINUTE_NS
        return (settled // interval + 1) * interval

    def next_due(self) -> tuple[int, str] | None:
        """(instant, symbol) of the first payment to come; None without a position."""
        held = self._floor.held
        return min((self.due_ns(symbol), symbol) for symbol in held) if held else None

    def settle(self, symbol: str) -> None:
        """Pay the instant that is due now."""
        floor, memory = self._floor, self._floor.memory
        memory.funded_until_ns[symbol] = self.due_ns(symbol)
        rate = floor.market.funding_rate(symbol)
        if not rate:
            return
        position, mark = floor.position(symbol), floor.market.mark_usdt(symbol)
        value = floor.instruments[symbol].lots_to_qty(position.lots) * mark
        fee = (value * rate).quantize(FEE_STEP, ROUND_HALF_EVEN)
        position.funding_usdt += fee
        floor.note_change(symbol)
        self._take_from_margin(symbol, fee)
        memory.fundings += 1
        floor.reports.add(
            FundingPaid(
                exec_id=f"{memory.venue_id}-F{memory.fundings}",
                symbol=symbol,
                position_lots=position.lots,
                mark_usdt=mark,
                rate=rate,
                fee_usdt=fee,
                venue_ts_ns=memory.now_ns,
                deliver_at_ns=floor.reports.heard_at_ns,
            )
        )

    def _take_from_margin(self, symbol: str, fee: Decimal) -> None:
        """Isolated: what the free wallet cannot pay comes out of the position's own margin."""
        if not self._margins.is_isolated or fee <= 0:
            return
        missing = -self._margins.available_usdt()
        if missing > 0:
            self._floor.position(symbol).margin_eaten_usdt += min(missing, fee)
