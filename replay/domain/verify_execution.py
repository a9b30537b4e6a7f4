"""Execution's journal, input by input: its batches taken apart, each input readable in a report.

Execution gathers its inputs into batches (`execution.domain.tape`); what the last of a batch gave stands
behind it. Here each becomes a record of its own under the batch's number, so that a difference is found
at the very input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from execution.domain.tape import (
    FramesRead,
    MarketGapped,
    MarketRead,
    RowsTold,
    StepMade,
    TapeInput,
    TapeOutput,
    WriteFailed,
    unpack_inputs,
    unpack_outputs,
)
from failover.domain.journal import Made, Numbered, Taken

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in TapeInput.__args__}


class FedInput(NamedTuple):
    """One input, its number within the run (from 1), and the faults of the disk it met."""

    number: int
    item: TapeInput
    failed: list[WriteFailed]


def each_input(records: Iterable[Numbered]) -> Iterator[Numbered]:
    """The records with every batch of inputs taken apart. Raises: msgspec.DecodeError."""
    batch: Numbered | None = None
    for numbered in records:
        if batch is not None:
            is_followed = isinstance(numbered.record, Made)
            yield from _taken_apart(batch, numbered.record if is_followed else None)
            batch = None
        if isinstance(numbered.record, Taken):
            batch = numbered
        else:
            yield numbered
    if batch is not None:
        yield from _taken_apart(batch, None)


def _taken_apart(batch: Numbered, made: Any) -> Iterator[Numbered]:
    assert isinstance(batch.record, Taken)
    first, items = unpack_inputs(batch.record.payload)
    outputs = unpack_outputs(made.payload) if made is not None else []
    failed = [output for output in outputs if isinstance(output, WriteFailed)]
    for place, item in enumerate(items):
        is_last = place == len(items) - 1
        fed = FedInput(first + place, item, failed if is_last else [])
        yield Numbered(batch.number, Taken(type(item).__name__, item.now_ns, _packed(fed)))


def _packed(fed: FedInput) -> bytes:
    """Fields by name; what is itself msgpack stands in it as what it says."""
    fields = {name: getattr(fed.item, name) for name in fed.item.__struct_fields__}
    if payload := fields.get("payload"):
        fields["payload"] = msgspec.Raw(payload)
    failed = {"failed": fed.failed} if fed.failed else {}
    return _encode({"input": fed.number, **fields, **failed})


def input_of(record: Taken) -> FedInput:
    """Inverse of what `each_input` made of an input. Raises: msgspec.DecodeError, KeyError."""
    fields: dict[str, Any] = _decode(record.payload)
    number = msgspec.msgpack.decode(fields.pop("input"), type=int)
    failed = msgspec.msgpack.decode(fields.pop("failed", b"\x90"), type=list[WriteFailed])
    payload = fields.pop("payload", None)
    values = {name: msgspec.msgpack.decode(value) for name, value in fields.items()}
    if payload is not None:
        values["payload"] = bytes(payload)
    return FedInput(number, _KINDS[record.kind](**values), failed)


class Given(dict[str, Any]):
    """One output as a report shows it; the last one of a `TapeOutput` carries it as `item`."""

    item: TapeOutput | None = None


def shown(outputs: Sequence[TapeOutput]) -> list[Given]:
    """Each line, command, piece of news and row by itself. Raises: msgspec.DecodeError."""
    given: list[Given] = []
    for output in outputs:
        given += _parts(output)
        given[-1].item = output
    return given


def taped(given: Sequence[Given]) -> list[TapeOutput]:
    """Inverse of `shown`."""
    return [part.item for part in given if part.item is not None]


def _parts(output: TapeOutput) -> list[Given]:
    if isinstance(output, StepMade):
        lines, commands = msgspec.msgpack.decode(output.payload)
        seal = {"number": output.number, "stateSeal": output.state_seal}
        return [*_tagged(lines), *_tagged(commands), _given("StepMade", seal)]
    if isinstance(output, WriteFailed):
        return [_given("WriteFailed", {"write": output.write, "reason": output.reason})]
    decoded = msgspec.msgpack.decode(output.payload)
    if isinstance(output, RowsTold):
        return [_given("Row", row) for row in decoded]
    return _tagged(decoded)


def _tagged(messages: list[dict[str, Any]]) -> list[Given]:
    return [_given(str(message.get("kind", "News")), message) for message in messages]


def _given(kind: str, about: dict[str, Any]) -> Given:
    """Its class is named for what it is: that is the name a report gives it."""
    of_kind = _GIVEN.get(kind) or _GIVEN.setdefault(kind, type(kind, (Given,), {}))
    return of_kind(about)


_GIVEN: dict[str, type[Given]] = {}


class InputOrder:
    """Knows the order inputs must have been taken in: each later than the one before, streams count on."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._next_number = 0
        self._streams: dict[type, tuple[str, int]] = {}  # (run, number of the next record)
        self._has_gap = False

    def fault(self, number: int, item: TapeInput) -> str:
        """What is wrong with the place of this input; empty when nothing is."""
        found = self._fault(number, item)
        self._now_ns, self._next_number = item.now_ns, number + 1
        self._has_gap = isinstance(item, MarketGapped)
        if isinstance(item, MarketRead | FramesRead):
            self._streams[type(item)] = (item.run_id, item.number + item.count)
        return found

    def _fault(self, number: int, item: TapeInput) -> str:
        if self._next_number and number != self._next_number:
            return f"it follows input {self._next_number - 1}"
        if item.now_ns <= self._now_ns:
            return f"taken at {item.now_ns}, behind one taken at {self._now_ns}"
        if isinstance(item, MarketRead | FramesRead):
            return self._stream_fault(item)
        return ""

    def _stream_fault(self, item: MarketRead | FramesRead) -> str:
        run_id, expected = self._streams.get(type(item), ("", 0))
        if run_id != item.run_id or item.number == expected:
            return ""
        may_jump = self._has_gap or isinstance(
            item, FramesRead
        )  # frames that are lost are no input
        if may_jump and item.number > expected:
            return ""
        return f"record {item.number} of run {run_id} follows record {expected - 1}"
