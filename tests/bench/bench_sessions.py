"""Building, opening and reading sessions, beside what the same bytes cost to decode or to unpack barely.

All in CPU time of the process, in turns. The reader that parsed line by line (tests/market/reference_reader)
says what the result must be.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec
import zstandard

from failover.domain.days import iso_ms
from market.adapters.recording_reader import Recording
from market.domain.chunks import concat_chunks
from market.domain.events import pack_chunk
from market.domain.raw_events import LINE_TYPES, RawFile
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildReplayOptions, ReplayManifest, SessionFacts
from replay.services.session_build import build_session, open_session
from tests.bench.result import Result, measured
from tests.bench.session_load import DAY_START_NS, file_texts, lay_down, mixed_stream, symbols_of
from tests.market import reference_reader

SYMBOLS, MESSAGES, SECONDS = 4, 400_000, 3_600.0
RUNS = 5
REFERENCE_SHARE = 10  # the old reader walks one symbol of so many seconds only
FACTS = SessionFacts(created_at="2026-01-01T00:00:00.000Z", speed_factor=4.0)


def run() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="bench-sessions-") as folder:
        root = Path(folder)
        instruments = symbols_of(SYMBOLS)
        texts = file_texts(instruments, mixed_stream(SYMBOLS, MESSAGES, SECONDS))
        plain, packed = SessionStore(root / "plain"), SessionStore(root / "packed")
        lay_down(plain.market_dir, instruments, texts)
        lay_down(packed.market_dir, instruments, texts)
        _compress(packed.market_dir, zstandard.ZstdCompressor(level=3).compress, ".zst")
        names = [instrument.symbol for instrument in instruments]
        _check(plain)
        return _measure(plain, packed, names, texts)


def _measure(
    plain: SessionStore, packed: SessionStore, names: list[str], texts: dict[str, bytes]
) -> list[Result]:
    lines = {name: text.splitlines(keepends=True) for name, text in texts.items()}
    zipped = [zstandard.ZstdCompressor(level=3).compress(text) for text in texts.values()]
    gzipped = [gzip.compress(text, 6) for text in texts.values()]
    built: list[ReplayManifest] = []
    works: dict[str, Callable[[], object]] = {
        "build": lambda: built.append(_build(plain, names)),
        "build zstd": lambda: built.append(_build(packed, names)),
        "read": lambda: _consume(Recording(plain.market_dir)),
        "read zstd": lambda: _consume(Recording(packed.market_dir)),
        "open": lambda: [len(c) for c in open_session(plain, built[0].session_id).chunks],
        "msgspec": lambda: _decoded(lines, typed=False),
        "msgspec typed": lambda: _decoded(lines, typed=True),
        "unzstd": lambda: [zstandard.ZstdDecompressor().decompress(part) for part in zipped],
        "gunzip": lambda: [gzip.decompress(part) for part in gzipped],
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(RUNS + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if turn:  # the first warms up: machine code is loaded, files are in memory
                times[name].append(time.process_time() - began)
            _remove_all_but(built[0], plain, packed)
    assert len({manifest.digest for manifest in built}) == 1, "builds differ"
    assert {manifest.total_events for manifest in built} == {MESSAGES}
    rates = {name: [MESSAGES / seconds for seconds in taken] for name, taken in times.items()}
    return [*_results(rates), *_rebuild(plain, built[0])]


def _results(rates: dict[str, list[float]]) -> list[Result]:
    def against(name: str, work: str, peer: str, note: str = "") -> Result:
        return measured(
            f"sessions: {name}",
            rates[work],
            "lines/s",
            peer=peer,
            peer_values=rates[peer],
            note=note,
        )

    alone = median(rates["msgspec"])
    return [
        against("build from JSONL", "build", "msgspec", "peer: msgspec.json.decode of each line"),
        against("build from zstd", "build zstd", "unzstd", "peer: unpacking the same bytes alone"),
        against("read JSONL", "read", "msgspec typed", "peer: msgspec into the line's own struct"),
        against("read zstd", "read zstd", "unzstd"),
        against("read zstd beside gunzip", "read zstd", "gunzip"),
        against(
            "open from columns (second run)", "open", "build",
            f"peer: the first run; msgspec alone decodes {alone:,.0f} lines/s here",
        ),
    ]  # fmt: skip


def _remove_all_but(kept: ReplayManifest, *stores: SessionStore) -> None:
    """Else each build asks the machine for memory that it never had, to hold the files it writes."""
    for store in stores:
        for manifest in store.list_sessions():
            if manifest.session_id != kept.session_id:
                store.delete_session(manifest.session_id)


def _rebuild(store: SessionStore, manifest: ReplayManifest) -> list[Result]:
    rates = []
    for _ in range(RUNS):
        (store.folder(manifest.session_id) / "columns" / "cache.json").unlink()
        began = time.process_time()
        data = open_session(store, manifest.session_id)
        rates.append(MESSAGES / (time.process_time() - began))
        assert sum(len(chunk) for chunk in data.chunks) == MESSAGES
        assert not data.faults.counts
    return [measured("sessions: columns anew from events.jsonl", rates, "lines/s")]


def _build(store: SessionStore, names: list[str]) -> ReplayManifest:
    options = BuildReplayOptions(
        from_=iso_ms(DAY_START_NS),
        to=iso_ms(DAY_START_NS + int(SECONDS + 60) * 1_000_000_000),
        symbols=names,
    )
    return build_session(options, store, facts=FACTS)


def _consume(recording: Recording) -> None:
    assert sum(len(chunk) for chunk in recording.chunks()) == MESSAGES
    assert not recording.problems


def _decoded(lines: dict[str, list[bytes]], *, typed: bool) -> None:
    for name, texts in lines.items():
        kind = RawFile(name.removesuffix(".jsonl").rpartition("-")[2])
        decoder = msgspec.json.Decoder(LINE_TYPES[kind]) if typed else msgspec.json.Decoder()
        for text in texts:
            decoder.decode(text)


def _check(store: SessionStore) -> None:
    to_ns = DAY_START_NS + int(SECONDS / REFERENCE_SHARE) * 1_000_000_000
    wanted = reference_reader.Recording(store.market_dir, to_ns=to_ns)
    found = Recording(store.market_dir, to_ns=to_ns)
    same = pack_chunk(concat_chunks(list(found.chunks()))) == pack_chunk(
        concat_chunks(list(wanted.chunks()))
    )
    assert same, "the compiled reader does not read what the old one read"


def _compress(market_dir: Path, compress: Callable[[bytes], bytes], suffix: str) -> None:
    for path in list(market_dir.glob("*/*.jsonl")):
        path.with_name(path.name + suffix).write_bytes(compress(path.read_bytes()))
        path.unlink()
