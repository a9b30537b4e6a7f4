"""What a replay session is: the records of phase 12 §5 to §7, and the rules of their names.

data/replay/sessions/<sessionId>/manifest.json    ReplayManifest
data/replay/sessions/<sessionId>/events.jsonl     one ReplayEvent a line, in the order of replay
data/replay/sessions/<sessionId>/columns/         the same in columns, made anew whenever it is stale
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from failover.domain.days import iso_ms
from market.domain.instruments import Instrument
from market.domain.raw_events import RawFile

SCHEMA_VERSION = 1
MARKET_TRADE, MARKET_ORDERBOOK, MARKET_TICKER = "MARKET_TRADE", "MARKET_ORDERBOOK", "MARKET_TICKER"
FILE_OF_TYPE: dict[str, RawFile] = {
    MARKET_TRADE: RawFile.TRADES,
    MARKET_ORDERBOOK: RawFile.ORDERBOOK,
    MARKET_TICKER: RawFile.TICKER,
}
EVENT_TYPES = tuple(FILE_OF_TYPE)
CREATORS = ("MANUAL", "AUTO", "TEST")

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,39}", re.ASCII)
_SYMBOLS_IN_ID = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SessionRefused(Exception):
    """The session cannot be made, opened or brought in: tell the asker, nothing has been left behind.

    `code`: BAD_REQUEST, BAD_RANGE, BAD_ID, EXISTS, UNKNOWN_SYMBOL, NO_DATA, NO_SNAPSHOT, BAD_RECORDING,
    DISK_FULL, STORAGE, STOPPED, NOT_FOUND, BROKEN, BAD_ARCHIVE. `fields`: what is wrong by field name.
    """

    def __init__(self, code: str, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields or {}


class SourceDateRange(Struct, frozen=True, kw_only=True):
    """Core times, ISO-8601 UTC; `to` is exclusive."""

    from_: str = field(name="from")
    to: str


class SessionFile(Struct, frozen=True, kw_only=True, rename="camel"):
    """A file and what was read of it: `rows` lines, `bytes` of its uncompressed beginning, their hash.

    `path` of a recorded file is relative to the data folder, of the session's own to the session's.
    """

    path: str
    rows: int
    sha256: str
    bytes: int = 0


class SessionFees(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the config in force at the time of building asks, bps; a run states its own."""

    maker_fee_bps: float
    taker_fee_bps: float


class SessionCheckpoint(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a symbol's book or ticker was primed with at the start: its state after message `seq`."""

    symbol: str
    type: str  # MARKET_ORDERBOOK | MARKET_TICKER
    recorder_run: str
    seq: int
    recv_ts: int
    entries: int
    is_trusted: bool = True


class RecordedRun(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the session holds of one recorder run; times are core times in ns."""

    recorder_run: str
    first_seq: int
    last_seq: int
    first_ts: int
    last_ts: int
    events: int


class ReplayManifest(Struct, frozen=True, kw_only=True, rename="camel"):
    """Phase 12 §6, with what a result must be able to name. `digest` is of the events as columns:
    it does not depend on how they are written or cut."""

    session_id: str
    created_at: str
    created_by: str
    source_date_range: SourceDateRange
    symbols: list[str]
    event_types: list[str]
    speed_factor: float
    total_events: int
    notes: str | None = None
    instruments: list[Instrument] = []
    fees: SessionFees | None = None
    config_version: str = ""
    checkpoints: list[SessionCheckpoint] = []
    assumptions: list[str] = []
    digest: str = ""
    files: list[SessionFile] = []
    events: SessionFile | None = None
    recorder_runs: list[RecordedRun] = []
    event_counts: dict[str, int] = {}
    faults: dict[str, int] = {}
    truncated: bool = False
    exchange_ahead_ns: int = 0
    schema_version: int = SCHEMA_VERSION

    @property
    def from_ns(self) -> int:
        return parse_instant(self.source_date_range.from_)

    @property
    def to_ns(self) -> int:
        return parse_instant(self.source_date_range.to)


class BuildReplayOptions(Struct, frozen=True, kw_only=True, rename="camel"):
    """Phase 12 §7; `max_events` None: no limit. Times are core times, ISO-8601; without a zone UTC."""

    from_: str = field(name="from")
    to: str
    symbols: list[str]
    include_types: list[str] = field(default_factory=lambda: list(EVENT_TYPES))
    session_id: str | None = None
    max_events: int | None = None
    notes: str | None = None
    created_by: str = "MANUAL"


class BuildProgress(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a build is. `phase`: READING, FINISHING, DONE. Bytes are those of the files on disk."""

    session_id: str
    phase: str
    bytes_read: int
    bytes_total: int
    events: int
    last_event_timestamp: str | None = None

    @property
    def progress_pct(self) -> float:
        if self.phase == "DONE":
            return 100.0
        share = self.bytes_read / self.bytes_total if self.bytes_total else 0.0
        return round(min(share, 0.99) * 100, 1)


class SessionFacts(Struct, frozen=True, kw_only=True):
    """What a build takes from the config in force, and the clock: nothing of it changes the events."""

    created_at: str
    speed_factor: float
    config_version: str = ""
    fees: SessionFees | None = None


class ReplayEvent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line of events.jsonl (phase 12 §5): a RawMarketEvent under the type of the replay.

    Lines are written as bytes, from the recorded ones; this is for whoever reads single lines.
    """

    timestamp: str
    type: str
    payload: dict[str, Any]
    recorder_run: str
    seq: int
    recv_ts: int
    symbol: str | None = None
    source: str = ""
    ts_ns: int = 0
    schema_version: int = 0


def parse_instant(text: str) -> int:
    """ISO-8601 as nanoseconds since the epoch, whole microseconds; without a zone it is UTC.

    Raises: ValueError when it is no time between 1970 and 2200.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if not 1970 <= moment.year <= 2200:
        raise ValueError(f"{text} is not between 1970 and 2200")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def is_session_id(text: str) -> bool:
    """Whether it may name a folder: no separator, no leading dot, at most 120 plain characters."""
    return _SESSION_ID.fullmatch(text) is not None and ".." not in text


def is_symbol(text: str) -> bool:
    return _SYMBOL.fullmatch(text) is not None


def default_session_id(from_ns: int, to_ns: int, symbols: list[str]) -> str:
    """`2025-11-18T10-11-BTCUSDT-AI16ZUSDT`: day, hours and symbols; minutes and a second day if needed."""
    start, end = (
        _EPOCH + timedelta(microseconds=from_ns // 1000),
        _EPOCH + timedelta(microseconds=to_ns // 1000),
    )
    last = _clock(end) if start.date() == end.date() else f"{end:%Y-%m-%d}T{_clock(end)}"
    named = "-".join(symbols[:_SYMBOLS_IN_ID])
    more = f"+{len(symbols) - _SYMBOLS_IN_ID}" if len(symbols) > _SYMBOLS_IN_ID else ""
    return f"{start:%Y-%m-%d}T{_clock(start)}-{last}-{named}{more}"[:110]


def _clock(moment: datetime) -> str:
    """Hour; with minutes and seconds where they are not zero."""
    if moment.second or moment.microsecond:
        return f"{moment:%H%M%S}"
    return f"{moment:%H%M}" if moment.minute else f"{moment:%H}"


def checked_options(options: BuildReplayOptions) -> tuple[int, int]:
    """(from, to) in ns. Raises: SessionRefused with every field that is wrong."""
    problems: dict[str, str] = {}
    times: dict[str, int] = {}
    for name, text in (("from", options.from_), ("to", options.to)):
        try:
            times[name] = parse_instant(text)
        except (ValueError, TypeError, OverflowError):
            problems[name] = f"{text!r} is no ISO-8601 time"
    if problems:
        raise SessionRefused("BAD_RANGE", "the range cannot be read", problems)
    if times["to"] <= times["from"]:
        raise SessionRefused("BAD_RANGE", "`to` is not after `from`", {"to": "is not after from"})
    problems |= _bad_lists(options)
    if options.max_events is not None and options.max_events < 1:
        problems["maxEvents"] = "must be at least 1"
    if options.created_by not in CREATORS:
        problems["createdBy"] = f"must be one of {', '.join(CREATORS)}"
    if problems:
        said = "; ".join(f"{name}: {reason}" for name, reason in problems.items())
        raise SessionRefused("BAD_REQUEST", said, problems)
    if options.session_id is not None and not is_session_id(options.session_id):
        raise SessionRefused(
            "BAD_ID", "a session id has letters, digits, '.', '_', '+', '-', at most 120",
            {"sessionId": "is no name of a session"},
        )  # fmt: skip
    return times["from"], times["to"]


def _bad_lists(options: BuildReplayOptions) -> dict[str, str]:
    problems = {}
    if not options.symbols:
        problems["symbols"] = "name at least one"
    elif bad := [symbol for symbol in options.symbols if not is_symbol(symbol)]:
        problems["symbols"] = f"no names of symbols: {', '.join(map(repr, bad))}"
    elif len(set(options.symbols)) < len(options.symbols):
        problems["symbols"] = "one is named twice"
    if not options.include_types:
        problems["includeTypes"] = "name at least one"
    elif unknown := [name for name in options.include_types if name not in FILE_OF_TYPE]:
        problems["includeTypes"] = (
            f"{', '.join(unknown)} unknown; there are {', '.join(EVENT_TYPES)}"
        )
    return problems


def iso_exact(ts_ns: int) -> str:
    """As `iso_ms`, with microseconds where ms would lose some: the range must select the same again."""
    if ts_ns % 1_000_000 == 0:
        return iso_ms(ts_ns)
    moment = _EPOCH + timedelta(microseconds=ts_ns // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def manifest_bytes(manifest: ReplayManifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
