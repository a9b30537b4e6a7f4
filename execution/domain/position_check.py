"""The venue's own position of each symbol against all that is held of it here."""

from __future__ import annotations

from execution.domain.strays import PositionDoubt, foreign_trade, part_of, taken_off, unseen_fill
from execution.domain.trade import POSITION_DIFFERS, UNSEEN
from execution.domain.trade_manager import begin_close
from execution.domain.trade_runner import TradeRunner
from execution.domain.venue import OrderFilled, PositionUpdated
from execution.domain.workspace import Workspace

_MS = 1_000_000


class PositionCheck:
    """Notes differences, and settles those that stay. Nothing is added to a symbol meanwhile."""

    def __init__(self, work: Workspace, trades: TradeRunner) -> None:
        self._work = work
        self._trades = trades

    def on_position(self, update: PositionUpdated, now: int) -> None:
        """The venue tells its position; older news than was heard says nothing."""
        state, symbol = self._work.state, update.symbol
        if update.venue_ts_ns < state.position_told_ns.get(symbol, 0):
            return
        state.position_told_ns[symbol] = update.venue_ts_ns
        before = state.position_doubts.pop(symbol, None)
        is_in_doubt = update.lots != self._work.signed_position(symbol)
        if is_in_doubt or before is not None:
            self._work.settled.pop(symbol, None)  # what may be added has changed
        if is_in_doubt:
            state.position_doubts[symbol] = PositionDoubt(
                symbol=symbol,
                lots=update.lots,
                average_entry_ticks=update.average_entry_ticks,
                venue_ts_ns=update.venue_ts_ns,
                since_ns=before.since_ns if before is not None else now,
            )

    def on_fill(self, fill: OrderFilled) -> None:
        """A fill may explain a difference; after a newer one the venue's position must be told anew."""
        state, symbol = self._work.state, fill.symbol
        told_ns = state.position_told_ns.get(symbol, 0)
        state.position_told_ns[symbol] = max(fill.venue_ts_ns, told_ns)
        doubt = state.position_doubts.get(symbol)
        if doubt is None:
            return
        is_explained = doubt.lots == self._work.signed_position(symbol)
        if is_explained or fill.venue_ts_ns > doubt.venue_ts_ns:
            del state.position_doubts[symbol]
            self._work.settled.pop(symbol, None)

    def on_time(self, now: int) -> None:
        """A difference that has stayed is believed: never are lots left that nobody looks after."""
        for doubt in list(self._work.state.position_doubts.values()):
            wait_ns = self._work.config_for(doubt.symbol).protect_deadline_ms * _MS
            if now - doubt.since_ns >= wait_ns:
                del self._work.state.position_doubts[doubt.symbol]
                self._settle(doubt, now)

    def _settle(self, doubt: PositionDoubt, now: int) -> None:
        symbol, known = doubt.symbol, self._work.signed_position(doubt.symbol)
        difference = doubt.lots - known
        if not difference:
            return
        text = f"the venue holds {doubt.lots} lots, {known} are known: the difference is settled"
        self._work.alert(symbol, text, now)
        unseen = unseen_fill(symbol, difference, self._price_ticks(doubt), now)
        taken = taken_off(self._work.held(symbol), difference)
        for trade, lots in taken:
            begin_close(trade, POSITION_DIFFERS)
            trade.on_fill(UNSEEN, part_of(unseen, lots))
        for trade, _ in taken:  # when all are booked: what one needs depends on the others
            self._trades.manage(trade, now)
        if left := abs(difference) - sum(lots for _, lots in taken):
            rest = part_of(unseen, left)
            self._trades.undo(foreign_trade(rest), rest, now)

    def _price_ticks(self, doubt: PositionDoubt) -> int:
        """The price of now; without one the venue's average, or ours of what it no longer has."""
        quote = self._work.quotes.get(doubt.symbol)
        if quote is not None and quote.has_touch:
            return round(quote.mid_ticks)
        averages = [held.average_entry_ticks for held in self._work.held(doubt.symbol)]
        return round(max([doubt.average_entry_ticks, *averages]))
