"""Proves execution: its journalled inputs go to the account that runs live, core and simulated venue.

Market messages and frames come from the recording (`MarketSource`); that they are the very bytes
execution consumed, their CRC-32 on the tape says. A venue that is not simulated (LIVE) speaks through the
journal, so the same proof holds for it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from execution.services.account_memory import RunStart
from execution.services.refeed import Refeed
from failover.domain.journal import Begun, Taken, TakenRange
from market.domain.events import pack_chunk
from market.domain.frames import pack_frames
from replay.domain.verify_core import InputDiffers, MarketSource
from replay.domain.verify_execution import InputOrder, input_of

_decode_start = msgspec.msgpack.Decoder(RunStart).decode


class ExecutionUnderProof:
    """A `CoreUnderProof` of one run; feed it `each_input` of the run's records."""

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self._order = InputOrder()
        self.start: RunStart | None = None
        self.last_step = 0  # number of the last commit that was proved
        self.last_message: tuple[str, int] = ("", 0)  # market run, number of the last message fed

    def begin(self, begun: Begun) -> None:
        """Raises: msgspec.DecodeError for a journal of another build."""
        self.start = _decode_start(begun.payload)
        self.restore(self.start.memory)

    def restore(self, payload: bytes) -> None:
        assert self.start is not None
        self._refeed = Refeed(self.start.facts, payload)
        self._order = InputOrder()

    def take(self, record: Taken) -> Sequence[TapeOutput]:
        """Raises: NotRecorded, InputDiffers."""
        fed = input_of(record)
        if fault := self._order.fault(fed.number, fed.item):
            raise InputDiffers(fault)
        seen, outputs = self._refeed.feed(fed.item, self._content(fed.item), fed.failed)
        if seen != fed.item:
            raise InputDiffers(f"{_differing(fed.item, seen)} of input {fed.number} is another")
        self._note(fed.item, outputs)
        return outputs

    def take_range(self, record: TakenRange) -> Sequence[Any]:
        raise InputDiffers(f"execution journals no ranges, and here is one of {record.stream}")

    def encode(self, outputs: Sequence[TapeOutput]) -> bytes:
        return pack_outputs(outputs)

    def decode(self, payload: bytes) -> list[TapeOutput]:
        return unpack_outputs(payload)

    def state(self) -> bytes:
        return self._refeed.account.memory()

    def _content(self, item: TapeInput) -> bytes:
        if isinstance(item, MarketRead):
            return pack_chunk(self._source.messages(item.run_id, item.number, item.count))
        if isinstance(item, FramesRead):
            return pack_frames(self._source.frames(item.run_id, item.number, item.count))
        return b""

    def _note(self, item: TapeInput, outputs: Sequence[TapeOutput]) -> None:
        if isinstance(item, MarketRead):
            self.last_message = (item.run_id, item.number + item.count - 1)
        for output in outputs:
            if isinstance(output, StepMade):
                self.last_step = output.number


def _differing(recorded: TapeInput, seen: TapeInput | None) -> str:
    """Names of the fields that are not the same."""
    if type(recorded) is not type(seen):
        return "the kind"
    names = recorded.__struct_fields__
    return ", ".join(n for n in names if getattr(recorded, n) != getattr(seen, n))
