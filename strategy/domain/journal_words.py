"""What the strategy's journal calls its inputs, and how their payloads are written."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from market.domain.instruments import Instrument
from strategy.domain.config import DecisionConfig
from strategy.domain.decision_desk import DeskOptions
from strategy.domain.messages import StrategyInput, StrategyOutput

CORE = "strategy"
FRAMES_STREAM = "market.frames"


class InputKind(StrEnum):
    """The comment says what the payload is."""

    TABLE = "TABLE"  # an entry of market.symbols as it came
    FRAMES = "FRAMES"  # a range of market.frames
    NEWS = "NEWS"  # an entry of execution.events as it came
    NEWS_GAP = "NEWS_GAP"  # empty: news were missed
    CONFIG = "CONFIG"  # msgpack of the DecisionConfig
    WRITTEN = "WRITTEN"  # msgpack of Written
    CHECKPOINT = "CHECKPOINT"  # the numeric state of an earlier run, as it was read
    SCORER_STOPPED = "SCORER_STOPPED"  # msgpack list of StoppedCall, of the next input


class Written(NamedTuple):
    """Where on the bus a request went."""

    request_id: str
    stream_id: str


class StoppedCall(NamedTuple):
    """The n-th call of a pluggable scorer within an input, from 0, was stopped for being too slow."""

    number: int
    text: str


_encode = msgspec.msgpack.Encoder().encode
decode_table = msgspec.msgpack.Decoder(list[Instrument]).decode
decode_news = msgspec.msgpack.Decoder(list[StrategyInput]).decode
decode_config = msgspec.msgpack.Decoder(DecisionConfig).decode
decode_written = msgspec.msgpack.Decoder(Written).decode
decode_stopped = msgspec.msgpack.Decoder(list[StoppedCall]).decode
decode_options = msgspec.msgpack.Decoder(DeskOptions).decode
decode_outputs = msgspec.msgpack.Decoder(list[StrategyOutput]).decode


def encode_outputs(outputs: Sequence[StrategyOutput]) -> bytes:
    """What one input gave, in order."""
    return _encode(list(outputs))
