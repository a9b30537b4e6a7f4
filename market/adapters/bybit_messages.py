"""Typed parsers of every message on Bybit's public linear websocket.

`parse(frame)` returns one of the structs below or raises `BadMessage`; it never raises anything else,
whatever the bytes are. Prices and sizes stay the exchange's own text: `UnitGrid` turns them into ticks
and lots. Source: Bybit V5 documentation, websocket public topics and connect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

# ms since the epoch; the bound keeps the same instant in nanoseconds inside 63 bits.
Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
Counter = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Text = Annotated[str, Meta(max_length=40)]


class BadMessage(ValueError):
    """The frame is dropped and counted under `kind`; the feed goes on."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class BookData(Struct, gc=False):
    """`b`, `a`: [price, absolute size] by level; `u` rises by one per message of a topic."""

    s: Text
    b: list[tuple[Text, Text]]
    a: list[tuple[Text, Text]]
    u: Counter
    seq: Counter = 0


class BookMessage(Struct, gc=False):
    topic: str
    type: Literal["snapshot", "delta"]
    ts: Millis
    data: BookData
    cts: Millis = 0


class TradeData(Struct, gc=False):
    """One fill. `S` is what the taker did; `BT` a block trade, `RPI` a retail price improvement."""

    T: Millis
    s: Text
    S: Literal["Buy", "Sell"]
    v: Text
    p: Text
    i: str = ""
    L: str = ""
    BT: bool = False
    RPI: bool = False
    seq: Counter = 0


class TradeMessage(Struct, gc=False):
    topic: str
    ts: Millis
    data: list[TradeData]
    type: str = ""


class TickerData(Struct, gc=False, rename="camel"):
    """The fields of a ticker that the system uses; None = not in this message, "" = not applicable."""

    symbol: Text
    last_price: Text | None = None
    mark_price: Text | None = None
    index_price: Text | None = None
    funding_rate: Text | None = None
    next_funding_time: Text | None = None
    open_interest: Text | None = None


class TickerMessage(Struct, gc=False):
    topic: str
    type: Literal["snapshot", "delta"]
    ts: Millis
    data: TickerData
    cs: Counter = 0


class KlineData(Struct, gc=False):
    start: Millis
    end: Millis
    interval: Text
    open: Text
    high: Text
    low: Text
    close: Text
    volume: Text
    turnover: Text
    confirm: bool
    timestamp: Millis


class KlineMessage(Struct, gc=False):
    topic: str
    ts: Millis
    data: list[KlineData]
    type: str = ""


class LiquidationData(Struct, gc=False):
    """`S` is the side of the liquidated position: Buy = a long was liquidated."""

    T: Millis
    s: Text
    S: Literal["Buy", "Sell"]
    v: Text
    p: Text


class LiquidationMessage(Struct, gc=False):
    topic: str
    ts: Millis
    data: list[LiquidationData]
    type: str = ""


class Reply(Struct, gc=False):
    """Answer to subscribe, unsubscribe or ping; `req_id` comes back as it was sent (text or number)."""

    op: Text
    success: bool
    ret_msg: Annotated[str, Meta(max_length=4096)] = ""
    conn_id: str = ""
    req_id: str | int = ""

    @property
    def is_pong(self) -> bool:
        return self.op in ("ping", "pong")


Message = BookMessage | TradeMessage | TickerMessage | KlineMessage | LiquidationMessage | Reply

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "orderbook": msgspec.json.Decoder(BookMessage),
    "publicTrade": msgspec.json.Decoder(TradeMessage),
    "tickers": msgspec.json.Decoder(TickerMessage),
    "kline": msgspec.json.Decoder(KlineMessage),
    "allLiquidation": msgspec.json.Decoder(LiquidationMessage),
}
_decode_reply = msgspec.json.Decoder(Reply).decode

# Bybit writes the topic first, so nine bytes usually tell the decoder. Any other order goes the slow way.
_TOPIC_FIRST = b'{"topic":"'
_PEEK = len(_TOPIC_FIRST) + 1
_BY_START = {
    _TOPIC_FIRST + name[:1].encode(): (name + ".", decoder.decode)
    for name, decoder in _DECODERS.items()
}


class _Envelope(Struct, gc=False):
    topic: str = ""
    op: str = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def parse(frame: bytes | str) -> Message:
    """One frame as the struct of its topic. Raises BadMessage, with a kind to count it by."""
    if isinstance(frame, str):
        frame = frame.encode("utf-8", "surrogatepass")
    try:
        fast = _BY_START.get(frame[:_PEEK])
        if fast is not None:
            prefix, decode = fast
            message: Message = decode(frame)
            if message.topic.startswith(prefix):  # type: ignore[union-attr]  # topic decoders only
                return message
        return _parse_any_order(frame)
    except msgspec.ValidationError as error:
        raise BadMessage("wrong_shape", str(error)[:200]) from None
    except msgspec.DecodeError as error:
        raise BadMessage("not_json", str(error)[:200]) from None
    except UnicodeDecodeError as error:
        raise BadMessage("not_utf8", str(error)[:200]) from None
    except RecursionError:
        raise BadMessage("nested_too_deep", f"frame of {len(frame)} bytes") from None


def _parse_any_order(frame: bytes) -> Message:
    envelope = _decode_envelope(frame)
    if envelope.topic:
        decoder = _DECODERS.get(envelope.topic.partition(".")[0])
        if decoder is None:
            raise BadMessage("unknown_topic", envelope.topic[:80])
        message: Message = decoder.decode(frame)
        return message
    if envelope.op:
        return _decode_reply(frame)
    raise BadMessage("unknown_message", repr(frame[:80]))


def symbol_of(topic: str) -> str:
    """`orderbook.50.BTCUSDT` -> `BTCUSDT`."""
    return topic.rpartition(".")[2]


def named_topic(ret_msg: str) -> str:
    """The topic that a refused subscribe request names as the bad one, or ""."""
    return ret_msg.rpartition("topic:")[2].strip() if "topic:" in ret_msg else ""
