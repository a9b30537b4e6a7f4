"""The tape of a running account on the decision journal: packed inputs, and what each of them gave.

Inputs that give nothing are gathered for up to `GATHER_NS`; one that gives something goes to the journal
with all before it as soon as the next input begins. The journal's own thread writes (within 0.1 s): what
`kill -9` takes is at most the quiet inputs of the last second or so. The next run's `RunFacts` say how far
the account had come, so that a verification can count what is missing.
"""

from __future__ import annotations

from typing import Protocol

from execution.domain.tape import (
    FramesRead,
    MarketRead,
    TapeInput,
    TapeOutput,
    pack_inputs,
    pack_outputs,
)

GATHER_NS = 1_000_000_000
GATHER_ITEMS = 1_000
KIND = "INPUTS"
RAW_STREAM, FRAMES_STREAM = "market.raw", "market.frames"


class Journal(Protocol):
    """As `failover.adapters.journal.JournalWriter` does it."""

    def take(self, kind: str, at_ns: int, payload: bytes = b"") -> None: ...

    def made(self, payload: bytes) -> None: ...

    def wants_checkpoint(self) -> bool: ...

    def stood(self, at_ns: int, payload: bytes) -> None: ...

    def keep_last(
        self, at_ns: int, stream: str, run_id: str, first: int, count: int, content: bytes
    ) -> None: ...


class NoTape:
    """For an account that nobody will ask to prove anything."""

    def wants_memory(self) -> bool:
        return False

    def remember(self, memory: bytes, now_ns: int) -> None:
        """Not kept."""

    def input(self, item: TapeInput, content: bytes = b"") -> None:
        """Not kept."""

    def output(self, item: TapeOutput) -> None:
        """Not kept."""


class JournalTape:
    """A `Tape`. `end` must be called before the journal is closed."""

    def __init__(self, journal: Journal, gather_ns: int = GATHER_NS) -> None:
        self._journal = journal
        self._gather_ns = gather_ns
        self._inputs: list[TapeInput] = []
        self._outputs: list[TapeOutput] = []
        self._next_number = 1
        self._market_runs: dict[str, str] = {}  # of each stream, the run that was read last
        self._wants_memory = False

    def wants_memory(self) -> bool:
        return self._wants_memory or self._journal.wants_checkpoint()

    def remember(self, memory: bytes, now_ns: int) -> None:
        self._wants_memory = False
        self.end()
        self._journal.stood(now_ns, memory)

    def input(self, item: TapeInput, content: bytes = b"") -> None:
        if isinstance(item, MarketRead | FramesRead):
            self._keep_last(item, content)
        inputs = self._inputs
        if inputs and (
            self._outputs
            or item.now_ns - inputs[0].now_ns >= self._gather_ns
            or len(inputs) >= GATHER_ITEMS
        ):
            self.end()
        self._inputs.append(item)

    def _keep_last(self, item: MarketRead | FramesRead, content: bytes) -> None:
        """What a killed market did not record itself is evidence; the proof goes on from a state behind."""
        stream = RAW_STREAM if isinstance(item, MarketRead) else FRAMES_STREAM
        self._journal.keep_last(item.now_ns, stream, item.run_id, item.number, item.count, content)
        if self._market_runs.setdefault(stream, item.run_id) != item.run_id:
            self._market_runs[stream], self._wants_memory = item.run_id, True

    def output(self, item: TapeOutput) -> None:
        self._outputs.append(item)

    def end(self) -> None:
        """Hand over what is gathered."""
        if not self._inputs:
            return
        inputs, self._inputs = self._inputs, []
        self._journal.take(KIND, inputs[-1].now_ns, pack_inputs(self._next_number, inputs))
        self._next_number += len(inputs)
        if self._outputs:
            outputs, self._outputs = self._outputs, []
            self._journal.made(pack_outputs(outputs))
