"""What the market's journal calls the kernel's inputs, and how their payloads are written.

What the kernel gives are frames, as they lie in memory. Raw messages are a range by `seq`; their content is
in the raw recording alone.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from market.domain.config import MarketConfig
from market.domain.instruments import Instrument

CORE = "market"
RAW_STREAM = "market.raw"


class InputKind(StrEnum):
    """The comment says what the payload is."""

    RAW = "RAW"  # a range of market.raw
    TIME = "TIME"  # empty: core time reached `at_ns` without a message, and that made frames
    CONFIG = "CONFIG"  # msgpack of the MarketConfig, in force after time has reached `at_ns`


class MarketBegun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of the market begins with; the run id is the recorder run."""

    instruments: list[Instrument]
    config: MarketConfig


class MarketStood(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel after message `seq` and `frames` frames, under `config`."""

    seq: int
    frames: int
    config: MarketConfig
    kernel: bytes


encode = msgspec.msgpack.Encoder().encode
decode_begun = msgspec.msgpack.Decoder(MarketBegun).decode
decode_stood = msgspec.msgpack.Decoder(MarketStood).decode
decode_config = msgspec.msgpack.Decoder(MarketConfig).decode
