"""The market kernel under proof: raw messages of the recording, in the order of its journal."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from failover.domain.journal import Begun, Taken, TakenRange
from market.domain.config import MarketConfig
from market.domain.events import EventChunk
from market.domain.frames import FRAME_DTYPE, Frames, pack_frames, unpack_frames
from market.domain.instruments import Instrument
from market.domain.journal_words import (
    InputKind,
    MarketStood,
    decode_begun,
    decode_config,
    decode_stood,
    encode,
)
from market.domain.kernel import MarketKernel
from market.domain.reconfigure import reconfigured
from replay.domain.verify_core import Outputs

_NO_FRAMES = np.zeros(0, FRAME_DTYPE)


class RawMessages(Protocol):
    """The raw recording of one market run."""

    def take(self, first: int, count: int) -> EventChunk:
        """Messages `first` .. by seq, which rise from call to call. Raises: NotRecorded."""
        ...


class KernelDesk:
    """One run's kernel as the service drives it; `frames` and `seq` say how far it is."""

    def __init__(self, raw: RawMessages) -> None:
        self._raw = raw
        self._instruments: list[Instrument] = []
        self._config = MarketConfig()
        self._kernel = MarketKernel((), self._config)
        self.seq = self.frames = 0

    def begin(self, begun: Begun) -> None:
        """Raises: msgspec.MsgspecError when it was written by another build."""
        made_of = decode_begun(begun.payload)
        self._instruments, self._config = made_of.instruments, made_of.config
        self._kernel = MarketKernel(self._instruments, self._config)

    def restore(self, payload: bytes) -> None:
        """Raises: ValueError, msgspec.MsgspecError."""
        stood = decode_stood(payload)
        self._config = stood.config
        self._kernel = MarketKernel(self._instruments, stood.config)
        self._kernel.restore(stood.kernel)
        self.seq, self.frames = stood.seq, stood.frames

    def take(self, record: Taken) -> Frames:
        if record.kind == InputKind.TIME:
            return self._made(self._kernel.advance(record.at_ns))
        if record.kind == InputKind.CONFIG:
            self._config = decode_config(record.payload)
            self._kernel = reconfigured(self._kernel, self._instruments, self._config)
        return _NO_FRAMES

    def take_range(self, record: TakenRange) -> Frames:
        """Raises: NotRecorded."""
        chunk = self._raw.take(record.first, record.count)
        frames = self._made(self._kernel.process(chunk))
        self.seq = record.first + record.count - 1
        return frames

    def state(self) -> bytes:
        return encode(
            MarketStood(
                seq=self.seq, frames=self.frames, config=self._config, kernel=self._kernel.state()
            )
        )

    def _made(self, frames: Frames) -> Frames:
        self.frames += len(frames)
        return frames


class MarketUnderProof(KernelDesk):
    """A `CoreUnderProof`; its outputs are rows of FRAME_DTYPE."""

    def encode(self, outputs: Outputs) -> bytes:
        return pack_frames(np.asarray(outputs, FRAME_DTYPE))

    def decode(self, payload: bytes) -> Frames:
        return unpack_frames(payload)
