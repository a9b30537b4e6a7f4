"""Markets that come from elsewhere or go there; what is known of an imported one is kept beside it."""

from __future__ import annotations

from msgspec import Struct

SCHEMA_VERSION = 1


class ImportRefused(Exception):
    """Nothing was imported and nothing changed: tell the asker; the text says what to do."""


class ExportRefused(Exception):
    """No file was made: tell the asker; the text says what to do."""


class SourceFile(Struct, frozen=True, kw_only=True, rename="camel"):
    """A file that was read; `name` is its name alone: the content is what counts."""

    name: str
    bytes: int
    sha256: str


class ImportReceipt(Struct, frozen=True, kw_only=True, rename="camel"):
    """`import-<recorderRun>.json` in each day of the run.

    `exchange_ahead_ns` is `MarketData.exchange_ahead_ns` of the source: replays of the recording need it to
    match as replays of the source do. `from_`, `to` are core times, ns, of the first and last message.
    """

    recorder_run: str
    format: str
    sources: list[SourceFile]
    symbols: list[str]
    messages: dict[str, int]
    faults: dict[str, int]
    notes: list[str]
    first_ts: int
    last_ts: int
    exchange_ahead_ns: int = 0
    schema_version: int = SCHEMA_VERSION
