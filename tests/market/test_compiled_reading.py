"""What is parsed in compiled code equals, bit for bit, what the reader made of it line by line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.adapters import recording_reader
from market.adapters.recording_lines import LineBlock, LineParser
from market.adapters.recording_reader import Recording
from market.domain.book_fold import BookFold
from market.domain.chunks import concat_chunks
from market.domain.events import ChunkBuilder, EventChunk, EventKind, pack_chunk
from market.domain.priming import Primer
from market.domain.raw_events import LINE_TYPES, RawEventDecoder, RawEventEncoder, RawFile
from market.domain.raw_line_parser import NORMAL, PADDING, UNPARSED
from tests.market import reference_priming, reference_reader
from tests.market.recorded_files import lay_down
from tests.market.test_recording import START, S, a_book_stream, a_message, record

FOREIGN = -1
RUN, OTHER = "20241004T120000.000000Z-1a2b", "20241004T123000.000000Z-3c4d"


def both(path: Path, **options: object) -> tuple[EventChunk, Counter[str]]:
    """What the present reader says, after it was found to be what the reference says."""
    expected = reference_reader.Recording(path, **options)
    wanted = concat_chunks(list(expected.chunks()))
    found = Recording(path, **options)
    got = concat_chunks(list(found.chunks()))
    assert pack_chunk(got) == pack_chunk(wanted)
    assert found.problems == expected.problems
    return got, found.problems


def a_stream(messages: list[dict], start: int = START) -> EventChunk:
    builder, now = ChunkBuilder(), start
    for seq, message in enumerate(messages, 1):
        now += message["wait_ns"]
        builder.add(
            message["kind"], symbol=message["symbol"], seq=seq, core_ts_ns=now,
            exchange_ts_ns=now + message["skew_ns"], levels=message["levels"], flags=message["flags"],
        )  # fmt: skip
    return builder.take()


def parsed_line(instruments, line: bytes, kind: RawFile) -> tuple[int, bytes]:
    """(SPECIAL of the only row, the packed message); FOREIGN where it is another run's."""
    text = np.frombuffer(bytearray(line + bytes(PADDING)), np.uint8)
    parsed = LineParser(instruments, range(len(instruments))).parse(
        LineBlock(text, len(line)), 0, kind, RUN.encode()
    )
    if not len(parsed):
        return FOREIGN, b""
    special = int(parsed.special[0])
    return special, pack_chunk(parsed.chunk(0, 1)) if special == NORMAL else b""


def reference_line(instruments, line: bytes, kind: RawFile) -> bytes | None:
    """The packed message, or None where the line cannot be read."""
    builder = ChunkBuilder()
    try:
        RawEventDecoder(instruments).add(msgspec.json.decode(line, type=LINE_TYPES[kind]), builder)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, KeyError):
        return None
    return pack_chunk(builder.take())


@given(
    st.lists(a_message(), min_size=1, max_size=25),
    st.integers(0, 25),
    st.one_of(st.none(), st.integers(0, 60)),
    st.one_of(st.none(), st.integers(1, 90)),
)
@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_any_recording_reads_as_it_did_line_by_line(
    tmp_path_factory, instruments, messages, cut, from_s, to_s
) -> None:
    """Two runs of any messages, read whole or between any two times."""
    market = tmp_path_factory.mktemp("market")
    stream = a_stream(messages)
    lay_down(market, instruments, stream.slice(0, min(cut, len(stream))), RUN)
    lay_down(market, instruments, stream.slice(min(cut, len(stream)), len(stream)), OTHER)

    both(market, run=RUN if cut else OTHER)
    got, _ = both(
        market, run=OTHER if cut < len(stream) else RUN,
        from_ns=None if from_s is None else START + from_s * S,
        to_ns=None if to_s is None else START + to_s * S,
    )  # fmt: skip
    assert len(got) <= len(stream)


@given(data=st.data())
@settings(
    max_examples=80, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_a_damaged_line_is_read_as_before_or_left_to_the_reader_of_all_json(
    instruments, data
) -> None:
    """Whatever is changed in a line, the compiled parser either sees what msgspec sees, or says that it
    cannot tell. It never makes up a message."""
    message = data.draw(a_message())
    ((_, kind, text),) = RawEventEncoder(instruments, RUN).lines(a_stream([message]))
    line = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(line) - 1))
        change = data.draw(st.sampled_from(["flip", "drop", "double", "digit"]))
        if change == "flip":
            line[place] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "drop":
            del line[place]
        elif change == "double":
            line.insert(place, line[place])
        else:
            line[place] = data.draw(st.sampled_from(b'0123456789.-+eE,[]{}"'))
    whole = bytes(line).replace(b"\n", b" ") + b"\n"

    special, packed = parsed_line(instruments, whole, kind)

    if special == NORMAL:
        assert packed == reference_line(instruments, whole, kind)
    elif special == FOREIGN:
        assert msgspec.json.decode(whole)["recorderRun"] != RUN


NUMBERS = [
    "1", "1.0", "1.00", "0.1", "100000000000000.0", "99999999999999.9", "112589990684262.4",
    "112589990684262.5", "1e3", "1E+3", "01", "-1", "-0", "0", "0.0", ".5", "5.", "1.05",
    "0.10000000000000001", "1.000000000000000000", "123456789012345678901234567890", "null", '"1"', "true",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", ["price", "size"])
def test_a_number_means_what_it_means_to_the_reader_of_all_json(instruments, number, place) -> None:
    level = f"[{number},1.0]" if place == "price" else f"[1.0,{number}]"
    line = (
        '{"timestamp":"2024-10-04T11:59:59.997Z","source":"BYBIT_WS","type":"ORDERBOOK_DELTA",'
        f'"symbol":"BTCUSDT","payload":{{"subtype":"DELTA","bids":[{level}],"asks":[],"ts":1}},'
        f'"recorderRun":"{RUN}","seq":7,"recvTs":5,"schemaVersion":1}}\n'
    ).encode()

    special, packed = parsed_line(instruments, line, RawFile.ORDERBOOK)

    if special == NORMAL:
        assert packed == reference_line(instruments, line, RawFile.ORDERBOOK)
    else:
        assert special == UNPARSED


def test_lines_in_the_recorders_shape_are_all_parsed_in_compiled_code(instruments) -> None:
    """Else the reader would be right and slow, and nobody would notice."""
    builder = ChunkBuilder()
    add = {"symbol": 1, "core_ts_ns": START, "exchange_ts_ns": START - 7}
    book = [(0, 100, 5), (0, 99, 0), (1, 101, 2), (1, 103, 4)]
    builder.add(EventKind.TRADE, seq=1, levels=[(1, 5, 6)], flags=3, **add)
    for seq, kind in enumerate((EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO), 2):
        builder.add(kind, seq=seq, levels=book, **add)
    builder.add(EventKind.TICKER, seq=5, levels=[(0, 4, -100), (0, 5, 17), (0, 6, 10**14)], **add)
    builder.add(EventKind.FEED_GAP, seq=6, **add)
    builder.add(EventKind.LIVENESS, seq=7, **add)
    chunk = builder.take()

    for i, (_, kind, line) in enumerate(RawEventEncoder(instruments, RUN).lines(chunk)):
        special, packed = parsed_line(instruments, line.encode() + b"\n", kind)
        assert special == NORMAL
        assert packed == pack_chunk(chunk.slice(i, i + 1))


def test_a_level_named_twice_counts_once_as_before(tmp_path, instruments) -> None:
    lines = lay_down(tmp_path, instruments, concat_chunks(a_book_stream(2)), RUN)
    path = next(path for path in lines if "BTCUSDT-orderbook" in path.name)
    line = lines[path][1].replace(
        b'"bids":[[', b'"bids":[[100.0,9.000],[99.9,1.000],[100.0,7.000],['
    )
    path.write_bytes(b"".join([lines[path][0], line, *lines[path][2:]]))

    got, problems = both(tmp_path)

    assert not problems
    second = got.slice(2, 3)
    assert second.tick.tolist()[:2] == [1000, 999]
    assert second.lot.tolist()[0] == 7000 or second.lot.tolist()[0] == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"not json\n",
        b'{"timestamp":"2024-10-04T12:00:00.000Z","source":"BYBIT_WS","type":"ORDERBOOK_DELTA"\n',
        b"\xff\xfe\x00\n" * 40,
    ],
)
@pytest.mark.parametrize("kind", ["orderbook", "trades"])
def test_damage_is_counted_and_marked_as_before(tmp_path, instruments, damage, kind) -> None:
    stream = concat_chunks(a_book_stream(3))
    lines = lay_down(tmp_path, instruments, stream, RUN)
    path = next(path for path in lines if "BTCUSDT-orderbook" in path.name)
    if kind == "trades":
        path = path.with_name("BTCUSDT-trades.jsonl")
        path.write_bytes(damage)
    else:
        path.write_bytes(b"".join([*lines[path][:3], damage, *lines[path][3:]]))

    _, problems = both(tmp_path)

    assert problems["unreadable_line"] == damage.count(b"\n")


@pytest.mark.parametrize("key", ["seq", "recvTs", "ts", "tsNs"])
@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**40])
def test_a_number_that_no_column_holds_is_damage_of_its_line(
    tmp_path, instruments, key, number
) -> None:
    lines = lay_down(tmp_path, instruments, concat_chunks(a_book_stream(3)), RUN)
    path = next(path for path in lines if "BTCUSDT-orderbook" in path.name)
    name = key.encode()
    line = re.sub(rb'"%s":[0-9]+' % name, b'"%s":%d' % (name, number), lines[path][1])
    if key == "tsNs":
        line = lines[path][1].replace(b',"schema', b',"tsNs":%d,"schema' % number)
    path.write_bytes(b"".join([lines[path][0], line, *lines[path][2:]]))

    assert line != lines[path][1]
    assert both(tmp_path)[1]["unreadable_line"] == 1


def test_a_run_is_never_looked_for_beyond_the_padding_of_the_text(instruments) -> None:
    block = LineBlock(np.frombuffer(bytearray(b"\n" + bytes(PADDING)), np.uint8), 1)

    with pytest.raises(ValueError, match="recorder run of"):
        LineParser(instruments, [0, 1]).parse(block, 0, None, b"r" * PADDING)


def test_a_torn_last_line_and_one_grown_onto_it_are_damage_as_before(tmp_path, instruments) -> None:
    lines = lay_down(tmp_path, instruments, concat_chunks(a_book_stream(3)), RUN)
    path = next(path for path in lines if "BTCUSDT-orderbook" in path.name)
    whole = b"".join(lines[path])
    path.write_bytes(whole + lines[path][-1][:-30])
    assert both(tmp_path)[1]["unreadable_line"] == 1

    path.write_bytes(b"".join(lines[path][:2]) + lines[path][2][:150] + b"".join(lines[path][3:]))
    assert both(tmp_path)[1]["unreadable_line"] == 1

    path.write_bytes(whole[:-1])  # whole but for its newline: that is a line
    assert not both(tmp_path)[1]


def test_checkpoints_and_recorder_gaps_play_the_same_part(tmp_path, instruments) -> None:
    """Three minutes with checkpoints, read from the middle, and with an admitted gap."""
    stream = a_book_stream(150)
    record(tmp_path, instruments, stream)
    both(tmp_path)
    for second in (0, 59, 60, 61, 100, 149):
        both(tmp_path, from_ns=START + second * S, to_ns=START + (second + 30) * S)

    encoder = RawEventEncoder(instruments, RUN)
    path = next(tmp_path.glob("*/BTCUSDT-orderbook.jsonl"))
    text = path.read_bytes().splitlines(keepends=True)
    text.insert(30, encoder.gap(0, 5, seq=30, core_ts_ns=START + 15 * S).encode() + b"\n")
    path.write_bytes(b"".join(text))
    assert both(tmp_path)[1] == {"recorder_gap": 1}


@pytest.mark.parametrize("block_bytes", [400, 1 << 12, 1 << 20])
def test_the_size_of_a_block_changes_nothing(
    tmp_path, instruments, monkeypatch, block_bytes
) -> None:
    """Also where a block is shorter than a line, and where the lines are kept beside the messages."""
    record(tmp_path, instruments, a_book_stream(70))
    wanted, _ = both(tmp_path)
    monkeypatch.setattr(recording_reader, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(recording_reader, "_SMALLEST_BLOCK", 1)

    windows = list(Recording(tmp_path).windows())

    assert pack_chunk(concat_chunks(list(Recording(tmp_path).chunks()))) == pack_chunk(wanted)
    assert pack_chunk(concat_chunks([window.chunk for window in windows])) == pack_chunk(wanted)


def test_compressed_files_read_the_same(tmp_path, instruments) -> None:
    record(tmp_path, instruments, a_book_stream(20))
    wanted, _ = both(tmp_path)
    for path in list(tmp_path.glob("*/*.jsonl")):
        path.with_name(path.name + ".zst").write_bytes(
            zstandard.ZstdCompressor().compress(path.read_bytes())
        )
        path.unlink()

    assert pack_chunk(concat_chunks(list(Recording(tmp_path).chunks()))) == pack_chunk(wanted)


def test_the_lines_beside_the_messages_are_the_recorded_ones_under_the_replays_types(
    tmp_path, instruments
) -> None:
    """Nothing is lost, not even a field that this version does not know."""
    stream = concat_chunks(a_book_stream(3))
    lines = lay_down(tmp_path, instruments, stream, RUN)
    path = next(path for path in lines if "BTCUSDT-orderbook" in path.name)
    extra = lines[path][2].replace(b'"schemaVersion":1', b'"schemaVersion":1,"checksum":77')
    path.write_bytes(b"".join([*lines[path][:2], extra, *lines[path][3:]]))

    windows = list(Recording(tmp_path).windows())

    written = [line for w in windows for line in w.lines.tobytes().splitlines(keepends=True)]
    assert [len(line) for line in written] == [n for w in windows for n in np.diff(w.ends).tolist()]
    originals = {b"".join(lines[p]) for p in lines}
    back = [
        line.replace(
            b'"MARKET_ORDERBOOK"', b'"ORDERBOOK_SNAPSHOT"' if i < 2 else b'"ORDERBOOK_DELTA"'
        )
        for i, line in enumerate(written)
    ]
    recorded = [line for text in originals for line in text.splitlines(keepends=True)]
    assert sorted(back) == sorted([extra if line == lines[path][2] else line for line in recorded])


@given(st.lists(a_message(), min_size=1, max_size=40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_the_compiled_fold_knows_what_the_old_one_knew(messages, cut) -> None:
    stream = a_stream(messages)
    old, new, carried = reference_priming.Primer(2), Primer(2), Primer(2)
    old.skip(stream)
    new.skip(stream)

    part = Primer(2)
    part.skip(stream.slice(0, min(cut, len(stream))))
    carried.restore(part.state())
    carried.skip(stream.slice(min(cut, len(stream)), len(stream)))

    assert pack_chunk(new.statement(START)) == pack_chunk(old.statement(START))
    assert pack_chunk(carried.statement(START)) == pack_chunk(old.statement(START))


def test_a_book_deeper_than_the_first_room_is_folded_whole() -> None:
    builder = ChunkBuilder()
    deep = {tick: tick for tick in range(1, 3000)}
    builder.add_book(EventKind.BOOK_SNAPSHOT, symbol=0, seq=1, core_ts_ns=1, exchange_ts_ns=1,
                     bids=deep, asks={})  # fmt: skip
    builder.add_book(EventKind.BOOK_DELTA, symbol=0, seq=2, core_ts_ns=2, exchange_ts_ns=2,
                     bids={5000: 1, 7: 0}, asks={6000: 2})  # fmt: skip
    chunk, fold = builder.take(), BookFold(1)

    fold.fold(chunk)

    levels = fold.levels(0)
    assert levels[0] == (0, 5000, 1)
    assert len(levels) == 2999 - 1 + 2
    with pytest.raises(ValueError, match="other symbols"):
        BookFold(2).restore(fold.state())
    with pytest.raises(ValueError, match="not readable"):
        BookFold(1).restore(fold.state()[:-5])
