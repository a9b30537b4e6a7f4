"""Proves execution: its journalled inputs go to the account that runs live, core and simulated venue.

Market messages and frames come from the recording (`MarketSource`); that they are the very bytes
execution consumed, their CRC-32 on the tape says. A venue that is not simulated (LIVE) speaks through the
journal, so the same proof holds for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from execution.domain.tape import (
    FramesRead,
    MarketRead,
    StepMade,
    TapeInput,
    TapeOutput,
    pack_outputs,
    unpack_outputs,
)
from execution.ports import Commit
from execution.services.account_memory import RunStart, state_seal
from execution.services.refeed import Refeed
from failover.domain.days import iso_ms
from failover.domain.journal import Begun, Numbered, Taken, TakenRange
from market.domain.events import pack_chunk
from market.domain.frames import pack_frames
from replay.domain.verify_core import InputDiffers, MarketSource, Window, verify_run
from replay.domain.verify_coverage import LONGEST_AWAY_NS
from replay.domain.verify_execution import Given, InputOrder, each_input, input_of, shown, taped
from replay.domain.verify_report import EXECUTION, CoreReport, Divergence, Refusal

RAW = "market.raw"
_decode_start = msgspec.msgpack.Decoder(RunStart).decode


class ExecutionProofs:
    """Proves the runs of execution one after the other, oldest first, and that each began where the one
    before had ended.
    """

    def __init__(self, source: MarketSource) -> None:
        self.report = CoreReport(core=EXECUTION)
        self._source = source
        self._before: ExecutionUnderProof | None = None

    def prove(
        self,
        records: Iterable[Numbered],
        *,
        start: int = 1,
        window: Window = Window(),  # noqa: B008
    ) -> CoreReport:
        """One run (see `verify_run`); returns what it came to, and adds it to `report`."""
        proof = ExecutionUnderProof(self._source)
        found = verify_run(EXECUTION, each_input(records), proof, start=start, window=window)
        if self._before is not None and proof.start is not None:
            _look_at_the_seam(self._before, proof.start, found)
        self._before = proof
        self.report.add(found)
        return found


def _look_at_the_seam(before: ExecutionUnderProof, start: RunStart, found: CoreReport) -> None:
    """A killed run may have done more than its journal holds; the next one says how far it had come."""
    step, newest = before.last_step, start.recovered.newest
    last = newest or start.recovered.checkpoint
    if last is None:
        return
    found.unproved += max(0, last.number - step.number) + _messages_missing(before, last)
    # A run killed in its first moment has no journal at all, but steps: it began a restart's time later.
    if last.ts_ns - before.now_ns > LONGEST_AWAY_NS:
        found.refused.append(_gone(start, before.now_ns, last))
    if newest is None or newest.number != step.number or state_seal(newest) == step.state_seal:
        return
    found.note(
        Divergence(
            core=EXECUTION,
            run_id=start.facts.run_id,
            number=1,
            at=iso_ms(before.now_ns),
            at_ns=before.now_ns,
            what="STATE",
            place=f"the state of commit {newest.number}, with which this run began",
            recorded=state_seal(newest),
            replayed=step.state_seal,
            inputs_around=[],
        )
    )


def _gone(start: RunStart, from_ns: int | None, last: Commit) -> Refusal:
    return Refusal(
        core=EXECUTION,
        run_id=start.facts.run_id,
        reason=f"execution had come to commit {last.number} then, and no journal of it speaks of that",
        from_ns=from_ns,
        to_ns=last.ts_ns,
    )


def _messages_missing(before: ExecutionUnderProof, last: Commit) -> int:
    """Market messages that the run before had read when it was killed, and not journalled."""
    run_id, number = before.last_message
    places = [place for key, place in last.positions.items() if key.endswith(RAW)]
    return sum(
        max(0, place.next_number - 1 - (number if place.run_id == run_id else 0))
        for place in places
    )


class ExecutionUnderProof:
    """A `CoreUnderProof` of one run; feed it `each_input` of the run's records."""

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self._order = InputOrder()
        self.start: RunStart | None = None
        self.last_step = StepMade(0, 0, b"")  # that was fed again
        self.last_message: tuple[str, int] = ("", 0)  # market run, number of the last message fed
        self.now_ns = 0

    def begin(self, begun: Begun) -> None:
        """Raises: msgspec.DecodeError for a journal of another build."""
        self.start = _decode_start(begun.payload)
        self._refeed = Refeed(self.start)

    def restore(self, payload: bytes) -> None:
        assert self.start is not None
        self._refeed = Refeed(self.start, payload)
        self._order = InputOrder()

    def take(self, record: Taken) -> Sequence[Given]:
        """Raises: NotRecorded, InputDiffers."""
        fed = input_of(record)
        if fault := self._order.fault(fed.number, fed.item):
            raise InputDiffers(f"input {fed.number}: {fault}")
        seen, outputs = self._refeed.feed(fed.item, self._content(fed.item), fed.failed)
        if seen != fed.item:
            raise InputDiffers(f"input {fed.number}: {_differing(fed.item, seen)} is another")
        self._note(fed.item, outputs)
        return shown(outputs)

    def take_range(self, record: TakenRange) -> Sequence[Any]:
        raise InputDiffers(f"execution journals no ranges, and here is one of {record.stream}")

    def encode(self, outputs: Sequence[Given]) -> bytes:
        return pack_outputs(taped(outputs))

    def decode(self, payload: bytes) -> list[Given]:
        return shown(unpack_outputs(payload))

    def state(self) -> bytes:
        return self._refeed.account.memory()

    def _content(self, item: TapeInput) -> bytes:
        if isinstance(item, MarketRead):
            return pack_chunk(self._source.messages(item.run_id, item.number, item.count))
        if isinstance(item, FramesRead):
            return pack_frames(self._source.frames(item.run_id, item.number, item.count))
        return b""

    def _note(self, item: TapeInput, outputs: Sequence[TapeOutput]) -> None:
        self.now_ns = item.now_ns
        if isinstance(item, MarketRead):
            self.last_message = (item.run_id, item.number + item.count - 1)
        for output in outputs:
            if isinstance(output, StepMade):
                self.last_step = output


def _differing(recorded: TapeInput, seen: TapeInput | None) -> str:
    """Names of the fields that are not the same."""
    if type(recorded) is not type(seen):
        return "the kind"
    names = recorded.__struct_fields__
    return ", ".join(n for n in names if getattr(recorded, n) != getattr(seen, n))
