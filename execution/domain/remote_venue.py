"""A venue that lives elsewhere, in the place of the simulated one: it takes commands, and that is all.

What it does is heard as `VenueUpdate`s, inputs of their own (`SimulatedDesk.on_venue`). So an account whose
venue is real is journalled, and fed again, by the same code as one that is simulated. Where the commands
go is the caller's business; fed again they go nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from execution.domain.config import ExecutionConfig
from execution.domain.venue import VenueCommand, VenueUpdate
from market.domain.events import EventChunk


def _nowhere(command: VenueCommand) -> None:
    """Fed again, a command reaches nobody."""


class RemoteVenue:
    """See the module's docstring. It keeps no state: what it knows it tells."""

    def __init__(self, send: Callable[[VenueCommand], None] = _nowhere) -> None:
        self._send = send

    def submit(self, command: VenueCommand) -> None:
        self._send(command)

    def on_config(
        self, config: ExecutionConfig, symbols: Mapping[str, ExecutionConfig] | None = None
    ) -> None:
        """Our settings are none of its business."""

    def process(self, chunk: EventChunk) -> list[VenueUpdate]:
        return []

    def advance(self, now_ns: int) -> list[VenueUpdate]:
        return []

    def observe(self, chunk: EventChunk) -> None:
        """Its books are its own."""

    def forget_books(self) -> None:
        """Its books are its own."""

    def distrust_books(self) -> None:
        """Its books are its own."""

    @property
    def is_idle(self) -> bool:
        return False  # unknown: a checkpoint is written each second

    def open_orders(self) -> tuple[str, ...]:
        return ()  # unknown: commands are sent again, ids are unique

    def state(self, *, with_books: bool = True) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        """There is nothing to restore."""
