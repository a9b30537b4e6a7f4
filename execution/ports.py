"""What the execution services need from the outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from execution.domain.outputs import LogLine, RecordRow
from execution.domain.tape import TapeInput, TapeOutput
from execution.domain.venue import VenueCommand
from failover.adapters.streams import Position
from market.domain.instruments import Instrument
from strategy.domain.messages import ExecutionEvent, ExecutionSnapshot


class Commit(msgspec.Struct, kw_only=True):
    """Everything at one instant. Books are only in a checkpoint, a step's outputs only in the redo."""

    number: int
    core: bytes
    venue: bytes
    deliveries: bytes
    positions: dict[str, Position]
    symbols: tuple[str, ...]
    ts_ns: int
    lines: list[LogLine] = []
    commands: list[VenueCommand] = []
    news: list[ExecutionEvent | ExecutionSnapshot | RecordRow] = []
    instruments: tuple[Instrument, ...] = ()  # in a checkpoint, and before the first one
    bybit_env: str = ""  # whose prices the account lives on; "" of a build that did not say


class Recovered(msgspec.Struct, kw_only=True):
    """What a start finds: the last checkpoint, the newest redo record after it, and what was torn."""

    checkpoint: Commit | None
    newest: Commit | None
    torn_bytes: int = 0

    def instruments(self, table: Sequence[Instrument]) -> list[Instrument]:
        """The market's table, and behind it what the account knew that is no longer there.

        A symbol that was ever traded stays in the account's books; one with a position must be managed.
        """
        names = {instrument.symbol for instrument in table}
        before: dict[str, Instrument] = {}
        for commit in (self.checkpoint, self.newest):
            before |= {item.symbol: item for item in (commit.instruments if commit else ())}
        return [*table, *(item for name, item in before.items() if name not in names)]


class CommitJournal(Protocol):
    """Redo and checkpoint. Both writers raise StorageError (DiskFull)."""

    def recover(self) -> Recovered: ...

    def append(self, commit: Commit) -> None: ...

    def write_checkpoint(self, commit: Commit) -> None: ...

    def drop_redo(self) -> None: ...


class OrderLines(Protocol):
    """The write-ahead order log."""

    def append(self, lines: list[LogLine], ts_ns: int) -> None:
        """Raises: StorageError (DiskFull)."""

    def last_seq(self) -> int: ...


class DayLines(Protocol):
    """`day-*.jsonl` of closed trades, or of orders and how they were carried out."""

    def append(self, record: Any, *, ts_ns: int) -> None:
        """Raises: StorageError (DiskFull)."""

    def has(self, identity: str) -> bool: ...


class RowSink(Protocol):
    """Takes rows for the ORM; never blocks and never raises."""

    def put(self, rows: Sequence[dict[str, Any]], log_seq: int) -> None: ...


class NewsWriter(Protocol):
    """A stream of the bus; `append` never waits."""

    def append(self, payload: bytes, count: int = 1) -> int: ...


class Tape(Protocol):
    """Writes down what an account takes in and gives, in order (`execution.domain.tape`). Never waits."""

    def wants_memory(self) -> bool:
        """Whether `remember` should be told the whole state before the next input."""

    def remember(self, memory: bytes, now_ns: int) -> None: ...

    def input(self, item: TapeInput, content: bytes = b"") -> None:
        """Told before the account acts on it; `content` are the messages or frames themselves."""

    def output(self, item: TapeOutput) -> None:
        """Given by the last input."""
