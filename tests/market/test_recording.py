"""The recorder writes what the reader reads back, bit for bit."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover.adapters.files import write_atomically
from failover.adapters.jsonl import JsonlAppender
from failover.domain.errors import DiskFull
from market.adapters.indexed_file import IndexedFile
from market.adapters.recording_check import RecordingCheck
from market.adapters.recording_reader import NotARecording, Recording
from market.domain.chunks import concat_chunks
from market.domain.events import ChunkBuilder, EventChunk, EventKind, pack_chunk
from market.domain.instruments import Instrument
from market.domain.recording_findings import Problem
from market.services.recorder import MarketRecorder
from tests.market.helpers import an_instrument

MS = 1_000_000
S = 1_000 * MS
DAY = 86_400 * S
START = 20_000 * DAY + 12 * 3600 * S  # noon of some day
RUN = "20241004T120000.000000Z-1a2b"


def a_recorder(directory: Path, instruments: list[Instrument], run: str = RUN, **options):
    options.setdefault("open_file", JsonlAppender)
    return MarketRecorder(directory, instruments, run, write_whole=write_atomically, **options)


def record(
    directory: Path, instruments: list[Instrument], chunks: Iterable[EventChunk], run: str = RUN
) -> MarketRecorder:
    recorder = a_recorder(directory, instruments, run)
    recorder.start()
    for chunk in chunks:
        recorder.take_chunk(chunk)
    recorder.stop()
    return recorder


def read(path: Path, **options) -> EventChunk:
    recording = Recording(path, **options)
    chunk = concat_chunks(list(recording.chunks()))
    assert not recording.problems
    return chunk


def a_book_stream(
    seconds: int, *, symbols: int = 2, start: int = START, every_ms: int = 500
) -> list[EventChunk]:
    """A snapshot per symbol, then one delta per symbol and step; one chunk per step."""
    chunks, seq = [], 0
    for step in range(seconds * 1000 // every_ms):
        builder = ChunkBuilder()
        now = start + step * every_ms * MS
        for symbol in range(symbols):
            seq += 1
            kind = EventKind.BOOK_DELTA if step else EventKind.BOOK_SNAPSHOT
            builder.add_book(
                kind,
                symbol=symbol,
                seq=seq,
                core_ts_ns=now,
                exchange_ts_ns=now - 5 * MS,
                bids={1000 + step % 7: 1 + step % 3, 990: 5},
                asks={1010 + step % 5: step % 2 + 1},
            )
        chunks.append(builder.take())
    return chunks


_levels = st.dictionaries(st.integers(1, 5000), st.integers(0, 10**9), max_size=6)
_times = st.tuples(
    st.integers(0, 3_000).map(lambda ms: ms * MS) | st.integers(0, 3 * S),  # since the last message
    st.integers(-2 * S, 2 * S).map(lambda ns: ns // MS * MS) | st.integers(-2 * S, 2 * S),
)


@st.composite
def a_message(draw: st.DrawFn) -> dict[str, object]:
    kind = draw(st.sampled_from(list(EventKind)))
    wait_ns, skew_ns = draw(_times)
    levels: list[tuple[int, int, int]] = []
    flags = 0
    if kind is EventKind.TRADE:
        levels = [(draw(st.integers(0, 1)), draw(st.integers(1, 9999)), draw(st.integers(1, 9999)))]
        flags = draw(st.integers(0, 3))
    elif kind in (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA):
        levels = [(side, t, q) for side in (0, 1) for t, q in draw(_levels).items()]
    elif kind is EventKind.BBO:
        levels = [(0, draw(st.integers(1, 999)), 3), (1, draw(st.integers(1000, 9999)), 4)]
    elif kind is EventKind.TICKER:
        fields = sorted(draw(st.sets(st.integers(1, 6), min_size=1)))
        levels = [(0, field, draw(st.integers(-(10**15), 10**15))) for field in fields]
    return {
        "kind": kind,
        "symbol": draw(st.integers(0, 1)),
        "levels": levels,
        "flags": flags,
        "wait_ns": wait_ns,
        "skew_ns": skew_ns,
    }


@given(st.lists(a_message(), min_size=1, max_size=30), st.integers(1, 7), st.booleans())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_is_recorded_is_read_back_bit_for_bit(
    tmp_path_factory, instruments, messages, per_chunk, is_over_midnight
) -> None:
    """Any mix of messages, cut into any chunks, also over midnight and with checkpoints in between."""
    directory = tmp_path_factory.mktemp("market")
    builder, chunks = ChunkBuilder(), []
    now = 20_001 * DAY - 2 * S if is_over_midnight else START
    for seq, message in enumerate(messages, 1):
        now += message["wait_ns"]
        builder.add(
            message["kind"],
            symbol=message["symbol"],
            seq=seq,
            core_ts_ns=now,
            exchange_ts_ns=now + message["skew_ns"],
            levels=message["levels"],
            flags=message["flags"],
        )
        if len(builder) == per_chunk:
            chunks.append(builder.take())
    chunks.append(builder.take())

    record(directory, instruments, chunks)

    assert pack_chunk(read(directory)) == pack_chunk(concat_chunks(chunks))


def test_a_line_has_the_shape_of_the_owners_raw_market_event(tmp_path, instruments) -> None:
    builder = ChunkBuilder()
    builder.add(
        EventKind.TRADE, symbol=0, seq=1, core_ts_ns=START + 7, exchange_ts_ns=START - 3 * MS,
        levels=[(1, 651_143, 12)], flags=1,
    )  # fmt: skip
    record(tmp_path, instruments, [builder.take()])

    (line,) = (tmp_path / "2024-10-04" / "BTCUSDT-trades.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "timestamp": "2024-10-04T11:59:59.997Z",
        "source": "BYBIT_WS",
        "type": "TRADE",
        "symbol": "BTCUSDT",
        "payload": {
            "price": 65114.3, "qty": 0.012, "side": "Sell", "rpi": True, "ts": START // MS - 3,
        },
        "recorderRun": RUN,
        "seq": 1,
        "recvTs": START + 7,
        "schemaVersion": 1,
    }  # fmt: skip


def test_the_day_rolls_over_at_utc_midnight_of_receive_time(tmp_path, instruments) -> None:
    chunks = a_book_stream(2, start=20_001 * DAY - S)

    record(tmp_path, instruments, chunks)

    days = sorted(path.name for path in tmp_path.iterdir())
    assert days == ["2024-10-04", "2024-10-05"]
    assert (tmp_path / days[1] / f"instruments-{RUN}.json").is_file()
    assert pack_chunk(read(tmp_path)) == pack_chunk(concat_chunks(chunks))


def test_a_later_day_alone_starts_at_its_first_checkpoint(tmp_path, instruments) -> None:
    chunks = a_book_stream(4, start=20_001 * DAY - 2 * S)

    record(tmp_path, instruments, chunks)
    day = concat_chunks(list(Recording(tmp_path / "2024-10-05").chunks()))

    assert EventKind.BOOK_SNAPSHOT in day.kind.tolist()[: 2 * 2]


def test_reading_from_a_time_starts_each_book_whole(tmp_path, instruments) -> None:
    """The state after the warm start equals the state of a reader that saw everything."""
    chunks = a_book_stream(150)
    record(tmp_path, instruments, chunks)

    late = concat_chunks(list(Recording(tmp_path, from_ns=START + 100 * S).chunks()))

    assert late.kind[0] == EventKind.BOOK_SNAPSHOT
    assert late.seq[0] >= 2 * 2 * 59
    assert _final_books(late) == _final_books(concat_chunks(chunks))


def test_reading_up_to_a_time_leaves_out_what_came_later(tmp_path, instruments) -> None:
    chunks = a_book_stream(10)
    record(tmp_path, instruments, chunks)

    early = read(tmp_path, to_ns=START + 5 * S)

    assert pack_chunk(early) == pack_chunk(concat_chunks(chunks[:10]))


def test_one_symbol_can_be_read_alone(tmp_path, instruments) -> None:
    chunks = a_book_stream(3)
    record(tmp_path, instruments, chunks)

    alone = read(tmp_path, symbols=["SOLUSDT"])

    assert set(alone.symbol.tolist()) == {0}
    assert alone.seq.tolist() == list(range(2, 13, 2))


def test_runs_follow_each_other_with_unknown_books_in_between(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(2), "20241004T120000.000000Z-a")
    record(
        tmp_path, instruments, a_book_stream(2, start=START + 9 * S), "20241004T120009.000000Z-b"
    )

    chunks = list(Recording(tmp_path).chunks())

    everything = concat_chunks(chunks)
    gaps = [i for i, kind in enumerate(everything.kind.tolist()) if kind == EventKind.FEED_GAP]
    assert gaps == [8, 9]
    assert everything.core_ts_ns[8] == START + 9 * S
    assert everything.seq[10:].tolist() == list(range(1, 9))


def test_a_torn_last_line_is_set_aside_and_the_next_run_goes_on(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(2), "20241004T120000.000000Z-a")
    file = tmp_path / "2024-10-04" / "BTCUSDT-orderbook.jsonl"
    file.write_bytes(file.read_bytes() + b'{"timestamp":"2024-10-')

    record(
        tmp_path, instruments, a_book_stream(1, start=START + 9 * S), "20241004T120009.000000Z-b"
    )
    recording = Recording(tmp_path)
    read_back = concat_chunks(list(recording.chunks()))

    assert not recording.problems
    assert len(read_back) == 8 + 2 + 4
    assert (file.parent / (file.name + ".torn-1")).read_bytes() == b'{"timestamp":"2024-10-'


def test_a_damaged_line_is_counted_and_its_book_has_a_gap(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(3))
    file = tmp_path / "2024-10-04" / "BTCUSDT-orderbook.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"\x00\xff" + lines[2][41:]
    file.write_bytes(b"".join(lines))

    recording = Recording(tmp_path)
    chunk = concat_chunks(list(recording.chunks()))

    assert recording.problems == {"unreadable_line": 1}
    gaps = chunk.kind == EventKind.FEED_GAP
    assert chunk.symbol[gaps].tolist() == [0]


class _HeldDisk:
    """A file whose disk answers only when `is_open` is set: a stall the test can end."""

    is_open = threading.Event()

    def __init__(self, path: Path) -> None:
        self._file = IndexedFile(path)

    def append_lines(self, lines: Iterable[bytes]) -> None:
        assert self.is_open.wait(10)
        self._file.append_lines(lines)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def test_a_stalled_disk_never_blocks_the_feed_and_the_gap_is_in_the_file(
    tmp_path, instruments, caplog
) -> None:
    _HeldDisk.is_open.clear()
    recorder = a_recorder(tmp_path, instruments, open_file=_HeldDisk, queue_messages=20)
    recorder.start()
    chunks = a_book_stream(30)
    for chunk in chunks[:40]:
        recorder.take_chunk(chunk)
    assert recorder.stats.dropped_messages > 0
    assert "queue full" in recorder.stats.problem
    _HeldDisk.is_open.set()
    _wait_until(lambda: recorder._taken == recorder._done)
    for chunk in chunks[40:50]:
        recorder.take_chunk(chunk)
    recorder.stop()

    assert set(RecordingCheck(tmp_path).run().problems) == {Problem.RECORDER_GAP}
    recording = Recording(tmp_path)
    read_back = concat_chunks(list(recording.chunks()))
    assert recording.problems["recorder_gap"] > 0
    assert EventKind.FEED_GAP in read_back.kind.tolist()
    assert _final_books(read_back) == _final_books(concat_chunks(chunks[:50]))
    assert recorder.stats.problem == ""
    assert caplog.messages.count("recorder_queue_full") == 1


def test_what_was_dropped_at_the_very_end_is_admitted_too(tmp_path, instruments) -> None:
    _HeldDisk.is_open.clear()
    recorder = a_recorder(tmp_path, instruments, open_file=_HeldDisk, queue_messages=20)
    recorder.start()
    chunks = a_book_stream(30)
    for chunk in chunks:
        recorder.take_chunk(chunk)
    _HeldDisk.is_open.set()
    recorder.stop()

    assert set(RecordingCheck(tmp_path).run().problems) == {Problem.RECORDER_GAP}
    recording = Recording(tmp_path)
    read_back = concat_chunks(list(recording.chunks()))
    assert recording.problems["recorder_gap"] > 0
    assert _final_books(read_back) == _final_books(concat_chunks(chunks))


_DISK_FULL = DiskFull("disk", "No space left on device", errno.ENOSPC)


class _FailingFile:
    """A real file while `error` is None; then every append raises it."""

    error: Exception | None = None
    only = ""  # which files it concerns

    def __init__(self, path: Path) -> None:
        self._file, self._name = IndexedFile(path), path.name

    def append_lines(self, lines: Iterable[bytes]) -> None:
        if self.error is not None and self._name.startswith(self.only):
            raise self.error
        self._file.append_lines(lines)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize(
    ("error", "only"),
    [(_DISK_FULL, ""), (ValueError("no line"), ""), (_DISK_FULL, "SOLUSDT")],
    ids=["full disk", "bug in a line", "half the batch"],
)
def test_a_failed_batch_is_announced_once_counted_and_recording_goes_on_after_a_gap(
    tmp_path, instruments, caplog, monkeypatch, error, only
) -> None:
    monkeypatch.setattr(_FailingFile, "only", only)
    recorder = a_recorder(tmp_path, instruments, open_file=_FailingFile, retry_after_s=0.0)
    recorder.start()
    chunks = a_book_stream(30)
    try:
        _FailingFile.error = error
        recorder.take_chunk(chunks[0])
        _wait_until(lambda: str(error) in recorder.stats.problem)
    finally:
        _FailingFile.error = None
    for chunk in chunks[1:]:
        recorder.take_chunk(chunk)
        if recorder.stats.problem:
            _wait_until(lambda: not recorder._failing.is_set())
    recorder.stop()

    assert set(RecordingCheck(tmp_path).run().problems) == {Problem.RECORDER_GAP}
    recording = Recording(tmp_path)
    read_back = concat_chunks(list(recording.chunks()))
    assert recorder.stats.problem == ""
    assert recorder.stats.dropped_messages >= len(chunks[0])
    assert _final_books(read_back) == _final_books(concat_chunks(chunks))
    assert caplog.messages.count("recorder_write_failed") == 1


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_a_folder_without_a_recording_is_refused_in_one_sentence(tmp_path, path) -> None:
    with pytest.raises(NotARecording):
        Recording(tmp_path / path)


def test_a_symbol_that_was_not_recorded_is_named(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(1))

    with pytest.raises(NotARecording, match="XRPUSDT not recorded"):
        Recording(tmp_path, symbols=["XRPUSDT"])


def test_runs_whose_tick_changed_are_not_mixed(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(1), "20241004T120000.000000Z-a")
    changed = [an_instrument(tick_size=instruments[1].tick_size), instruments[1]]
    record(tmp_path, changed, a_book_stream(1), "20241004T120009.000000Z-b")

    with pytest.raises(NotARecording, match="BTCUSDT changed"):
        Recording(tmp_path)
    assert len(read(tmp_path, run="20241004T120009.000000Z-b")) == 4


def test_the_instruments_of_a_run_lie_beside_its_files(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(1))

    file = tmp_path / "2024-10-04" / f"instruments-{RUN}.json"

    assert msgspec.json.decode(file.read_bytes(), type=list[Instrument]) == instruments
    assert Recording(tmp_path).instruments == tuple(instruments)


def _final_books(chunk: EventChunk) -> list[object]:
    from market.services.book_mirror import BookMirror

    mirror = BookMirror(2)
    mirror.fold(chunk)
    return [mirror.book(symbol) for symbol in range(2)]


def _wait_until(condition, timeout_s: float = 60.0) -> None:
    waited = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return
        waited.wait(0.01)
    pytest.fail("the condition did not come true in time")
