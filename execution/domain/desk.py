"""The execution core and the simulated venue as one thing in one process: live SIM and replay alike.

The desk routes commands to the venue and brings its updates back when they arrive. It returns the rest
of what the core wanted, in order. `journal` is called with each batch before any command of it is
submitted: the write-ahead point. When it says that it could not write, what may add to a position stays
here (what protects or closes one goes out all the same). `sent` gets the SENT lines once their commands have
really been given to the venue.
"""

from __future__ import annotations

from collections.abc import Callable

from execution.domain.core import ExecutionCore
from execution.domain.operator import OperatorCommand
from execution.domain.outputs import ExecutionOutput, LogLine, is_sent_line
from execution.domain.profile import ExecutionSettings
from execution.domain.remote_venue import RemoteVenue
from execution.domain.sim_reports import Deliveries
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.trade import adds_to_position
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    OrderUpdated,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
    VenueCode,
    VenueCommand,
    VenueOrderStatus,
    VenueUpdate,
)
from market.domain.events import EventChunk
from market.domain.frames import Frames
from strategy.domain.messages import OrderRequest, RepriceHint

Journal = Callable[[list[ExecutionOutput]], bool]
Sent = Callable[[list[LogLine]], None]
UNWRITABLE = "ORDER_LOG_UNWRITABLE"
COMMANDS = (PlaceOrder, AmendOrder, CancelOrder, SetTradingStop, SetLeverage)


def _no_journal(outputs: list[ExecutionOutput]) -> bool:
    """Replay keeps no write-ahead log."""
    return True


def _no_sent_log(lines: list[LogLine]) -> None:
    """Replay keeps no write-ahead log."""


def _unwritten(order: PlaceOrder | AmendOrder) -> OrderUpdated | CommandRefused:
    """A command whose intent could not be written never leaves; it comes back as refused."""
    if isinstance(order, AmendOrder):
        return CommandRefused(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            command="AMEND",
            code=VenueCode.OK,  # the venue said nothing
            reason=UNWRITABLE,
            venue_ts_ns=order.decision_ts_ns,
            deliver_at_ns=order.decision_ts_ns,
        )
    return OrderUpdated(
        client_order_id=order.client_order_id,
        exchange_order_id="",
        symbol=order.symbol,
        status=VenueOrderStatus.REJECTED,
        revision=1,
        qty_lots=order.qty_lots,
        filled_lots=0,
        venue_ts_ns=order.decision_ts_ns,
        deliver_at_ns=order.decision_ts_ns,
        price_ticks=order.price_ticks,
        reason=UNWRITABLE,
    )


def _as_it_was(line: LogLine, kept_back: set[str]) -> LogLine:
    """The line of an order that was kept back says so; its number stays, so that none is missing."""
    if line.record["clientOrderId"] not in kept_back:
        return line
    return LogLine({**line.record, "kind": "RESULT", "lastError": f"{UNWRITABLE}: not sent"})


class SimulatedDesk:
    """Core, venue and the way between them."""

    def __init__(
        self,
        core: ExecutionCore,
        venue: SimulatedExchange | RemoteVenue,
        journal: Journal = _no_journal,
        sent: Sent = _no_sent_log,
    ) -> None:
        self.core = core
        self.venue = venue
        self.deliveries = Deliveries()
        self.journal = journal
        self.sent = sent

    def on_market(self, chunk: EventChunk) -> None:
        """The venue sees the market; what it does to our orders is on its way to us afterwards."""
        self.deliveries.push(self.venue.process(chunk))

    def deliver(self, now_ns: int) -> list[ExecutionOutput]:
        """Hear every update that has arrived by `now_ns`, each at its own time."""
        outputs: list[ExecutionOutput] = []
        while (update := self.deliveries.pop_due(now_ns)) is not None:
            outputs += self._carry_out(self.core.on_venue(update, update.deliver_at_ns))
        return outputs

    def on_venue(self, update: VenueUpdate, now_ns: int) -> list[ExecutionOutput]:
        """Hear a venue that is not simulated here; `now_ns` is when its word came in."""
        return self._carry_out(self.core.on_venue(update, now_ns))

    def on_request(
        self, request: OrderRequest | RepriceHint, now_ns: int, stream_id: str = ""
    ) -> list[ExecutionOutput]:
        return self._carry_out(self.core.on_request(request, now_ns, stream_id))

    def on_quotes(self, frames: Frames) -> list[ExecutionOutput]:
        return self._carry_out(self.core.on_quotes(frames))

    def on_operator(self, command: OperatorCommand, now_ns: int) -> list[ExecutionOutput]:
        return self._carry_out(self.core.on_operator(command, now_ns))

    def on_config(self, settings: ExecutionSettings) -> list[ExecutionOutput]:
        """Core and venue go by another config from the next input on."""
        self.venue.on_config(settings.config, settings.symbols)
        return self._carry_out(
            self.core.on_config(
                settings.config,
                settings.limits,
                settings.version,
                settings.symbols,
                settings.symbol_limits,
            )
        )

    def on_timer(self, now_ns: int, venue_time_ns: int) -> list[ExecutionOutput]:
        """Let time pass: for the venue up to `venue_time_ns` (it may lag the feed), for us to `now_ns`."""
        self.deliveries.push(self.venue.advance(venue_time_ns))
        return [*self.deliver(now_ns), *self._carry_out(self.core.on_timer(now_ns))]

    def resubmit(self, commands: list[VenueCommand]) -> None:
        """After a restart: commands that may not have reached the venue before it (ids are unique)."""
        known = {*self.venue.open_orders()}
        for command in commands:
            if not isinstance(command, PlaceOrder) or command.client_order_id not in known:
                self.venue.submit(command)

    def _carry_out(self, outputs: list[ExecutionOutput]) -> list[ExecutionOutput]:
        if not outputs:
            return outputs
        is_durable, kept_back = self.journal(outputs), set()
        for output in outputs:
            if isinstance(output, PlaceOrder | AmendOrder) and not (
                is_durable or self._never_adds(output)
            ):
                if isinstance(output, PlaceOrder):
                    kept_back.add(output.client_order_id)
                self.deliveries.push([_unwritten(output)])
            elif isinstance(output, COMMANDS):
                self.venue.submit(output)
        lines = [output for output in outputs if isinstance(output, LogLine)]
        if sent := [_as_it_was(line, kept_back) for line in lines if is_sent_line(line)]:
            self.sent(sent)
        return [output for output in outputs if not isinstance(output, COMMANDS)]

    def _never_adds(self, command: PlaceOrder | AmendOrder) -> bool:
        """By leg, not by `reduce_only`: a stray may have to be closed by an order without it."""
        order = self.core.orders.get(command.client_order_id)
        return order is not None and not adds_to_position(order.leg)
