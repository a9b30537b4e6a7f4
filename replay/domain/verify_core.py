"""Feeds a core what its journal says it consumed, and compares what it gives, byte for byte.

`verify_run` goes through the records of one run: inputs go to the core under proof, `Made` must be what they
gave, `Stood` must be the state it is in. After a difference, or where records are missing, the core goes on
from the next recorded state, so each fault is found at its own place and the rest is proved all the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from failover.domain.days import iso_ms
from failover.domain.journal import (
    Begun,
    Ended,
    JournalRecord,
    Made,
    Missing,
    Numbered,
    Stood,
    Tail,
    Taken,
    TakenRange,
)
from market.domain.events import EventChunk
from market.domain.frames import Frames
from replay.domain.verify_report import CoreReport, Divergence, Refusal

Outputs = Any  # of one input, in order: a list of messages, or an array of rows
_BEFORE, _AFTER = 5, 3
_LONGEST_TEXT = 2_000
_NO_BEGIN = "its journal does not say what the core was made of: its beginning is gone"


class NotRecorded(Exception):
    """What a core consumed cannot be had again; the text says what and why.

    `is_tail`: it is of the last moment of a killed market run, which nobody recorded.
    """

    def __init__(self, reason: str, *, is_tail: bool = False) -> None:
        super().__init__(reason)
        self.is_tail = is_tail


class InputDiffers(Exception):
    """What is fed is not what was consumed (a range has another digest)."""


class MarketSource(Protocol):
    """What market published, recomputed from the raw recording. Numbers rise from call to call."""

    def frames(self, run_id: str, first: int, count: int) -> Frames:
        """Rows `first` .. of `market.frames` of a market run. Raises: NotRecorded."""
        ...

    def messages(self, run_id: str, first: int, count: int) -> EventChunk:
        """Messages `first` .. of `market.raw` of a market run. Raises: NotRecorded."""
        ...


class CoreUnderProof(Protocol):
    """One core, driven by the classes that drive it live. What it gives is what its host journals."""

    def begin(self, begun: Begun) -> None:
        """Make the core of what the run began with."""
        ...

    def restore(self, payload: bytes) -> None:
        """Go on from a recorded state (`begin` came before)."""
        ...

    def take(self, record: Taken) -> Outputs:
        """Feed one input; the outputs it gives."""
        ...

    def take_range(self, record: TakenRange) -> Outputs:
        """Feed a piece of a stream. Raises: NotRecorded, InputDiffers."""
        ...

    def encode(self, outputs: Outputs) -> bytes:
        """Outputs as the host writes them into `Made`."""
        ...

    def decode(self, payload: bytes) -> Outputs:
        """Inverse of `encode`."""
        ...

    def state(self) -> bytes:
        """The whole state, as the host writes it into `Stood`."""
        ...


class Window(msgspec.Struct, frozen=True):
    """Core times that are asked for; None is open."""

    from_ns: int | None = None
    to_ns: int | None = None

    def is_over(self, at_ns: int) -> bool:
        return self.to_ns is not None and at_ns >= self.to_ns


def verify_run(
    core: str,
    records: Iterable[Numbered],
    under_proof: CoreUnderProof,
    *,
    start: int = 1,
    window: Window = Window(),  # noqa: B008  (frozen)
) -> CoreReport:
    """Prove one run from record `start` on (1, or the number of a `Stood`) to the window's end."""
    proof = _Proof(core, under_proof, start)
    for numbered in records:
        at_ns = at_of(numbered.record)
        if at_ns is not None and numbered.number > 1 and window.is_over(at_ns):
            proof.close(is_cut=True)
            return proof.report
        proof.take(numbered)
    proof.close(is_cut=False)
    return proof.report


def at_of(record: JournalRecord) -> int | None:
    """The record's core time; None for one that has none."""
    if isinstance(record, TakenRange):
        return record.until_ns
    return getattr(record, "at_ns", None)


class _Proof:
    """The state of one run's verification."""

    def __init__(self, core: str, under_proof: CoreUnderProof, start: int) -> None:
        self.report = CoreReport(core=core, runs=1)
        self._core, self._under_proof, self._start = core, under_proof, start
        self._run_id = ""
        self._at_ns = 0
        self._input = Numbered(0, Ended(0))  # the last one fed
        self._outputs: Outputs = ()  # given and not yet compared
        self._around: deque[Numbered] = deque(maxlen=_BEFORE)
        self._after: list[dict[str, Any]] | None = None  # of a divergence: inputs that followed
        self._is_lost = start > 1  # until the next recorded state
        self._lost_since_ns: int | None = None
        self._why_lost = ""
        self._is_ended = self._is_tail = False
        self._seal = hashlib.blake2b(digest_size=16)

    def take(self, numbered: Numbered) -> None:
        record = numbered.record
        if isinstance(record, Begun):
            self._begin(record)
        elif isinstance(record, Tail):
            return
        elif isinstance(record, Missing):
            self._lose(f"{record.records} records are missing: {record.reason}")
        elif isinstance(record, Stood):
            self._compare_state(numbered.number, record)
        elif isinstance(record, Ended):
            self._check_nothing_left()
            self._is_ended = True
        elif isinstance(record, Made):
            self._compare_outputs(numbered.number, record)
        else:
            self._feed(numbered)
        self._at_ns = at_of(record) or self._at_ns

    def close(self, *, is_cut: bool) -> None:
        """The end of the records: of a killed run, what its last inputs gave may not have been written."""
        self.report.digest = self._seal.hexdigest() if self.report.compared else ""
        if self._is_tail:
            return
        if self._why_lost:
            self._refuse()
        elif len(self._outputs) and not is_cut and not self._is_ended:
            self.report.unproved += 1

    # --- inputs

    def _begin(self, record: Begun) -> None:
        """The first of a run counts: each day's file tells it anew."""
        if not self._run_id:
            self._run_id = record.run_id
            self._under_proof.begin(record)

    def _feed(self, numbered: Numbered) -> None:
        if not self._run_id:
            self._lose(_NO_BEGIN)
        self._check_nothing_left()
        if self._after is not None and len(self._after) < _BEFORE + _AFTER:
            self._after.append(told(numbered))
        self._around.append(numbered)
        if self._is_lost:
            return
        self._input = numbered
        try:
            self._outputs = self._given(numbered.record)
        except NotRecorded as error:
            self._lose(str(error), is_tail=error.is_tail)
        except InputDiffers as error:
            self._differ(numbered.number, "INPUT", str(error), None, None)
        except ValueError:  # an input that the core refuses: its host passed it over then, too
            self._outputs = ()
        except Exception as error:  # noqa: BLE001  (a core that raises now and did not then)
            self._differ(numbered.number, "OUTPUT", "the core raised", None, repr(error))
        else:
            self.report.inputs += _size(numbered.record)
            self.report.to_ns = at_of(numbered.record) or self._at_ns
            if self.report.from_ns is None:
                self.report.from_ns = self.report.to_ns

    def _given(self, record: JournalRecord) -> Outputs:
        if isinstance(record, TakenRange):
            return self._under_proof.take_range(record)
        assert isinstance(record, Taken)
        return self._under_proof.take(record)

    # --- comparing

    def _compare_outputs(self, number: int, record: Made) -> None:
        if number < self._start:
            return
        recorded = self._under_proof.decode(record.payload)
        self.report.outputs += len(recorded)
        if self._is_lost:
            self.report.unproved += self._is_tail
            return
        given, self._outputs = self._outputs, ()
        self.report.compared += len(recorded)
        self._seal.update(record.payload)
        if self._under_proof.encode(given) != record.payload:
            place, left, right = first_difference(recorded, given)
            self._differ(number, "OUTPUT", place, left, right)

    def _check_nothing_left(self) -> None:
        """An input follows, so what the one before gave should have been recorded."""
        if len(self._outputs) and not self._is_lost:
            given, self._outputs = self._outputs, ()
            place, _, right = first_difference((), given)
            self._differ(self._input.number, "OUTPUT", place, None, right)

    def _compare_state(self, number: int, record: Stood) -> None:
        self._check_nothing_left()
        if self._is_lost:
            if number < self._start:
                return
            if self._run_id:
                self._go_on_from(record)
            else:
                self._why_lost = self._why_lost or _NO_BEGIN
            return
        self.report.states += 1
        state = self._under_proof.state()
        if state != record.payload:
            place, left, right = _states_apart(record.payload, state)
            self._differ(number, "STATE", place, left, right)
            self._go_on_from(record)

    def _go_on_from(self, record: Stood) -> None:
        if self._why_lost:
            self._refuse(record.at_ns)
        self._under_proof.restore(record.payload)
        self._outputs = ()
        self._is_lost = self._is_tail = False

    # --- what is found

    def _differ(self, number: int, what: str, place: str, recorded: Any, replayed: Any) -> None:
        at_ns = at_of(self._input.record) or self._at_ns
        around = [told(each) for each in self._around]
        self._after, self._is_lost, self._outputs = around, True, ()
        self.report.note(
            Divergence(
                core=self._core,
                run_id=self._run_id,
                number=number,
                at=iso_ms(at_ns),
                at_ns=at_ns,
                what=what,
                place=place,
                recorded=plain(recorded),
                replayed=plain(replayed),
                inputs_around=around,
            )
        )

    def _lose(self, reason: str, *, is_tail: bool = False) -> None:
        self._outputs = ()
        if self._is_tail and not is_tail:  # from here on it is more than a last moment
            self._is_tail, self._why_lost = False, reason
        if self._is_lost:
            return
        self._is_lost, self._is_tail = True, is_tail
        self._why_lost, self._lost_since_ns = reason, self._at_ns
        self.report.unproved += is_tail

    def _refuse(self, to_ns: int | None = None) -> None:
        self.report.refused.append(
            Refusal(
                core=self._core,
                run_id=self._run_id,
                reason=self._why_lost,
                from_ns=self._lost_since_ns,
                to_ns=to_ns,
            )
        )
        self._why_lost = ""


def _size(record: JournalRecord) -> int:
    return record.count if isinstance(record, TakenRange) else 1


# --- for people


def told(numbered: Numbered) -> dict[str, Any]:
    """An input as a report shows it."""
    record = numbered.record
    about: dict[str, Any] = {"number": numbered.number, "kind": getattr(record, "kind", "")}
    at_ns = at_of(record)
    if at_ns is not None:
        about |= {"at": iso_ms(at_ns), "atNs": at_ns}
    if isinstance(record, TakenRange):
        last = record.first + record.count - 1
        about |= {"stream": record.stream, "runId": record.run_id, "from": record.first, "to": last}
    elif isinstance(record, Taken):
        about["payload"] = _shown(record.payload)
    return about


def _shown(payload: bytes) -> Any:
    try:
        return plain(msgspec.msgpack.decode(payload))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"{len(payload)} bytes: {payload[:64].hex()}"


def plain(value: Any) -> Any:
    """The value as JSON takes it; what is very long is cut, visibly."""
    if isinstance(value, np.void):
        return {name: value[name].tolist() for name in value.dtype.names or ()}
    try:
        text = msgspec.json.encode(value, enc_hook=repr)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError):
        return repr(value)[:_LONGEST_TEXT]
    if len(text) > _LONGEST_TEXT:
        return f"{text[:_LONGEST_TEXT].decode('utf-8', 'replace')}... ({len(text)} bytes)"
    return msgspec.json.decode(text)


def first_difference(recorded: Sequence[Any], given: Sequence[Any]) -> tuple[str, Any, Any]:
    """(where, recorded, replayed) of the first pair that is not the same; None where a side has none."""
    most = max(len(recorded), len(given))
    for place in range(most):
        left = recorded[place] if place < len(recorded) else None
        right = given[place] if place < len(given) else None
        if left is None or right is None or _packed(left) != _packed(right):
            counts = f"{place + 1} of {len(recorded)} recorded, {len(given)} replayed"
            return f"{_kind(left, right)}, {counts}", left, right
    return "the same values in other bytes", None, None


def _kind(left: Any, right: Any) -> str:
    """What it is, and of a frame the columns that differ."""
    shown = right if left is None else left
    if not isinstance(shown, np.void):
        return type(shown).__name__
    if left is None or right is None:
        return "frame"
    names = [n for n in shown.dtype.names or () if left[n].tobytes() != right[n].tobytes()]
    return f"frame ({', '.join(names)})"


def _packed(value: Any) -> bytes:
    if isinstance(value, np.void):
        return value.tobytes()
    return type(value).__name__.encode() + msgspec.msgpack.encode(value)


def _states_apart(recorded: bytes, replayed: bytes) -> tuple[str, Any, Any]:
    """The first part of two states that is not the same."""
    try:
        left, right = msgspec.msgpack.decode(recorded), msgspec.msgpack.decode(replayed)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "the whole state", f"{len(recorded)} bytes", f"{len(replayed)} bytes"
    place = ["state"]
    while type(left) is type(right) and isinstance(left, dict | list):
        keys = (
            range(max(len(left), len(right)))
            if isinstance(left, list)
            else list(dict.fromkeys((*left, *right)))
        )
        key = next((key for key in keys if _part(left, key) != _part(right, key)), None)
        if key is None:
            break
        left, right = _part(left, key), _part(right, key)
        place.append(str(key))
    return ".".join(place), left, right


def _part(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError):
        return None
