"""The strategy under proof: the desk that decides live, fed from its journal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from failover.domain.journal import Begun, Taken, TakenRange
from market.domain.frames import Frames, pack_frames
from replay.domain.verify_core import InputDiffers, MarketSource
from strategy.domain.decision_desk import DecisionDesk
from strategy.domain.journal_words import (
    InputKind,
    StoppedCall,
    decode_config,
    decode_news,
    decode_options,
    decode_outputs,
    decode_stopped,
    decode_table,
    decode_written,
    encode_outputs,
)
from strategy.domain.messages import StrategyOutput
from strategy.domain.scorer import SCORERS, ScorerRegistry, ScorerTooSlow

_Result = TypeVar("_Result")
_DIGEST_BYTES = 16


class StrategyUnderProof:
    """A `CoreUnderProof`. `scorers` must give those that the recorded run had."""

    def __init__(self, market: MarketSource, scorers: ScorerRegistry = SCORERS) -> None:
        self._market, self._scorers = market, scorers
        self._watch = _RecordedWatch()
        self._desk: DecisionDesk | None = None

    def begin(self, begun: Begun) -> None:
        """Raises: msgspec.MsgspecError when it was written by another build."""
        options = decode_options(begun.payload)
        self._desk = DecisionDesk(options, watch=self._watch, scorers=self._scorers)

    def restore(self, payload: bytes) -> None:
        self._there.restore(payload)

    def take(self, record: Taken) -> Sequence[StrategyOutput]:
        desk, payload = self._there, record.payload
        match InputKind(record.kind):
            case InputKind.NEWS:
                return desk.on_news(decode_news(payload), record.at_ns)
            case InputKind.CONFIG:
                return desk.on_config(decode_config(payload))
            case InputKind.TABLE:
                desk.on_table(decode_table(payload))
            case InputKind.NEWS_GAP:
                desk.on_news_gap()
            case InputKind.WRITTEN:
                desk.note_written(*decode_written(payload))
            case InputKind.CHECKPOINT:
                _restore_numbers(desk, payload)
            case InputKind.SCORER_STOPPED:
                self._watch.expect(decode_stopped(payload))
            case InputKind.FRAMES:
                raise InputDiffers("frames are journalled as ranges")
        return ()

    def take_range(self, record: TakenRange) -> Sequence[StrategyOutput]:
        """Raises: NotRecorded, InputDiffers."""
        frames = self._market.frames(record.run_id, record.first, record.count)
        if frames_digest(frames) != record.digest:
            raise InputDiffers(
                f"frames {record.first} to {record.first + record.count - 1} of {record.run_id} "
                "are not those that the strategy read"
            )
        try:
            return self._there.on_frames(frames)
        finally:
            self._watch.expect(())

    def encode(self, outputs: Sequence[StrategyOutput]) -> bytes:
        return encode_outputs(outputs)

    def decode(self, payload: bytes) -> Sequence[StrategyOutput]:
        outputs: list[StrategyOutput] = decode_outputs(payload)
        return outputs

    def state(self) -> bytes:
        return self._there.state()

    @property
    def _there(self) -> DecisionDesk:
        assert self._desk is not None, "a run begins with `Begun`"
        return self._desk


def frames_digest(frames: Frames) -> bytes:
    """What a range of frames is known by in the journal."""
    return hashlib.blake2b(pack_frames(frames), digest_size=_DIGEST_BYTES).digest()


def _restore_numbers(desk: DecisionDesk, payload: bytes) -> None:
    """As the service does at its start: a state that is of no use is no hindrance."""
    if desk.core is not None:
        try:
            desk.core.restore(payload)
        except (IndexError, ValueError, OverflowError):
            return


class _RecordedWatch:
    """Stops the scorer's calls that were stopped then, and lets all others take their time."""

    def __init__(self) -> None:
        self._stopped: dict[int, str] = {}
        self._calls = 0

    def expect(self, stopped: Sequence[StoppedCall]) -> None:
        self._stopped, self._calls = {call.number: call.text for call in stopped}, 0

    def call(self, ask: Callable[[], _Result], limit_s: float) -> _Result:
        del limit_s
        number, self._calls = self._calls, self._calls + 1
        if number in self._stopped:
            raise ScorerTooSlow(self._stopped[number])
        return ask()
