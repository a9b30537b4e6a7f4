"""The decision desk of the running service: what it consumes and gives goes into the journal.

Each input and its outputs are written in one go, with nothing awaited in between, so the order in the
journal is the order in which the core saw things.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from failover.adapters.journal import JournalWriter
from failover.adapters.streams import Entry
from market.domain.frames import Frames
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.decision_desk import DecisionDesk, DeskOptions
from strategy.domain.journal_words import (
    FRAMES_STREAM,
    InputKind,
    StoppedCall,
    Written,
    decode_table,
    encode_outputs,
)
from strategy.domain.messages import StrategyInput, StrategyOutput
from strategy.domain.scorer import ScorerTooSlow, ScorerWatch, told

_Result = TypeVar("_Result")
_encode = msgspec.msgpack.Encoder().encode


class JournalledDesk:
    """`take_…` feed the desk; `desk` is there to be looked at. `at_ns` is the last core time seen."""

    def __init__(
        self,
        journal: JournalWriter,
        options: DeskOptions,
        now_ns: int,
        watch: ScorerWatch | None = None,
    ) -> None:
        self._watch = None if watch is None else _NotedWatch(watch)
        self._journal = journal
        self.desk = DecisionDesk(options, watch=self._watch)
        self.at_ns = now_ns
        journal.begin(now_ns, _encode(options))

    @property
    def core(self) -> StrategyCore | None:
        return self.desk.core

    def take_table(self, payload: bytes) -> bool:
        """True when it made the core. Raises: msgspec.DecodeError."""
        table = decode_table(payload)
        if tuple(table) == self.desk.table:
            return False
        self._journal.take(InputKind.TABLE, self.at_ns, payload)
        return self.desk.on_table(table)

    def restore(self, payload: bytes) -> bool:
        """Go on from the numeric state of an earlier run; False when it is of another build or torn."""
        self._journal.take(InputKind.CHECKPOINT, self.at_ns, payload)
        return self.desk.core is not None and self.desk.core.restore(payload)

    def take_frames(self, entry: Entry, frames: Frames) -> list[StrategyOutput]:
        """`frames` are the rows of `entry`."""
        self.at_ns = max(self.at_ns, int(frames["ts_ns"][-1]))
        try:
            outputs = self.desk.on_frames(frames)
        finally:  # what a clock said of pluggable scorers is an input too, and goes first
            self._note_stopped_scorers()
            self._journal.take_range(
                InputKind.FRAMES, self.at_ns, FRAMES_STREAM, entry.run_id, entry.number,
                entry.count, entry.payload,
            )  # fmt: skip
        return self._made(outputs)

    def take_news(
        self, payload: bytes, messages: list[StrategyInput], now_ns: int
    ) -> list[StrategyOutput]:
        """`messages` are those of `payload`, read at `now_ns`."""
        self.at_ns = max(self.at_ns, now_ns)
        self._journal.take(InputKind.NEWS, now_ns, payload)
        return self._made(self.desk.on_news(messages, now_ns))

    def take_news_gap(self) -> None:
        self._journal.take(InputKind.NEWS_GAP, self.at_ns)
        self.desk.on_news_gap()

    def take_config(self, config: DecisionConfig) -> list[StrategyOutput]:
        """Raises: BadScorer, and then nothing changed."""
        self._journal.take(InputKind.CONFIG, self.at_ns, _encode(config))
        return self._made(self.desk.on_config(config))

    def take_written(self, request_id: str, stream_id: str) -> None:
        self._journal.take(InputKind.WRITTEN, self.at_ns, _encode(Written(request_id, stream_id)))
        self.desk.note_written(request_id, stream_id)

    def keep_state(self) -> None:
        """Write the whole state when it is due; between two inputs."""
        if self._journal.wants_checkpoint():
            self._journal.stood(self.at_ns, self.desk.state())

    def _note_stopped_scorers(self) -> None:
        stopped = [] if self._watch is None else self._watch.take_stopped()
        if stopped:
            self._journal.take(InputKind.SCORER_STOPPED, self.at_ns, _encode(stopped))

    def _made(self, outputs: list[StrategyOutput]) -> list[StrategyOutput]:
        if outputs:
            self._journal.made(encode_outputs(outputs))
        return outputs


class _NotedWatch:
    """A scorer's stopwatch that remembers which calls it stopped."""

    def __init__(self, watch: ScorerWatch) -> None:
        self._watch = watch
        self._calls = 0
        self._stopped: list[StoppedCall] = []

    def call(self, ask: Callable[[], _Result], limit_s: float) -> _Result:
        number, self._calls = self._calls, self._calls + 1
        try:
            return self._watch.call(ask, limit_s)
        except ScorerTooSlow as slow:
            self._stopped.append(StoppedCall(number, told(slow)))
            raise

    def take_stopped(self) -> list[StoppedCall]:
        """Those of the input that has just been fed."""
        stopped, self._stopped, self._calls = self._stopped, [], 0
        return stopped
