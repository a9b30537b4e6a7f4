"""A session as one file: out, in again the same, and nothing hostile gets in."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import zstandard

from market.domain.chunks import concat_chunks
from market.domain.events import pack_chunk
from replay.adapters.session_export import export_session, export_to_file
from replay.adapters.session_import import import_session
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import RecordedRun, ReplayManifest, SessionRefused, SourceDateRange
from replay.services.session_build import build_session
from tests.replay.conftest import SYMBOLS
from tests.replay.session_samples import FACTS, options_of, recorded_store

HOSTILE_RUN = {
    "recorderRun": "../../x", "firstSeq": 1, "lastSeq": 1, "firstTs": 1, "lastTs": 1, "events": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory, instruments, market) -> SessionStore:
    part = market.slice(0, 500)
    store = recorded_store(tmp_path_factory.mktemp("data"), instruments, part)
    build_session(options_of(part, SYMBOLS, session_id="one"), store, facts=FACTS)
    return store


@pytest.fixture(scope="module")
def archive(store) -> bytes:
    packed = io.BytesIO()
    export_session(store, "one", packed)
    return packed.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(archive)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def packed(*parts: tuple[str | tarfile.TarInfo, bytes]) -> io.BytesIO:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in parts:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return io.BytesIO(zstandard.ZstdCompressor().compress(plain.getvalue()))


def with_manifest(archive: bytes, **changes: object) -> io.BytesIO:
    parts = members(archive)
    manifest = msgspec.json.decode(parts["manifest.json"], type=ReplayManifest)
    changed = msgspec.json.encode(msgspec.structs.replace(manifest, **changes))
    return packed(("manifest.json", changed), ("events.jsonl", parts["events.jsonl"]))


def refusal(tmp_path: Path, source: io.BytesIO, **options: object) -> SessionRefused:
    """Why it is not taken in; nothing was written anywhere."""
    store = SessionStore(tmp_path / "data")
    with pytest.raises(SessionRefused) as caught:
        import_session(store, source, **options)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    return caught.value


def test_what_was_exported_is_imported_the_same(store, archive, tmp_path) -> None:
    other = SessionStore(tmp_path)

    manifest = import_session(other, io.BytesIO(archive))

    assert manifest == store.require("one")
    assert other.list_sessions() == [manifest]
    got = concat_chunks([c.slice(0, len(c)) for c in other.open("one").chunks])
    wanted = concat_chunks([c.slice(0, len(c)) for c in store.open("one").chunks])
    assert pack_chunk(got) == pack_chunk(wanted)
    assert other.verify("one").digest == manifest.digest


def test_a_session_is_imported_under_another_name_and_never_over_one(archive, tmp_path) -> None:
    other = SessionStore(tmp_path)
    import_session(other, io.BytesIO(archive))

    with pytest.raises(SessionRefused) as caught:
        import_session(other, io.BytesIO(archive))
    renamed = import_session(other, io.BytesIO(archive), session_id="two")

    assert caught.value.code == "EXISTS"
    assert renamed.session_id == "two"
    assert {m.session_id for m in other.list_sessions()} == {"one", "two"}


def test_an_export_never_overwrites_and_leaves_no_half_file(store, tmp_path) -> None:
    path = export_to_file(store, "one", tmp_path)

    assert path.name == "one.tar.zst"
    with pytest.raises(SessionRefused, match="is there already"):
        export_to_file(store, "one", path)
    with pytest.raises(SessionRefused, match="no session"):
        export_to_file(store, "none", tmp_path / "x.tar.zst")
    assert [p.name for p in tmp_path.iterdir()] == ["one.tar.zst"]


def test_a_damaged_session_is_not_exported(archive, tmp_path) -> None:
    other = SessionStore(tmp_path / "data")
    import_session(other, io.BytesIO(archive))
    events = other.folder("one") / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"Buy"', b'"Sel"', 1))

    for act in (lambda: export_to_file(other, "one", tmp_path), lambda: other.verify("one")):
        with pytest.raises(SessionRefused) as caught:
            act()
        assert caught.value.code == "BROKEN"
    assert list(tmp_path.glob("*.zst*")) == []
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("cut", [0, 10, 0.5, 0.99])
def test_a_torn_archive_is_refused(archive, tmp_path, cut) -> None:
    keep = cut if isinstance(cut, int) else int(len(archive) * cut)

    assert refusal(tmp_path, io.BytesIO(archive[:keep])).code == "BAD_ARCHIVE"


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "/manifest.json", "x/manifest.json", "events.jsonl", "manifest.json/"],
)
def test_a_member_of_another_name_or_place_is_refused(archive, tmp_path, name) -> None:
    parts = members(archive)
    source = packed((name, parts["manifest.json"]), ("events.jsonl", parts["events.jsonl"]))

    assert refusal(tmp_path, source).code == "BAD_ARCHIVE"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_member_that_is_no_plain_file_is_refused(archive, tmp_path, kind) -> None:
    link = tarfile.TarInfo("events.jsonl")
    link.type, link.linkname = kind, "/etc/passwd"
    source = packed(("manifest.json", members(archive)["manifest.json"]), (link, b""))

    assert refusal(tmp_path, source).code == "BAD_ARCHIVE"


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": "../../evil"},
        {"session_id": ""},
        {"events": None},
        {"total_events": 3},
        {"digest": "0" * 64},
        {"created_at": "yesterday"},
        {"created_at": "2026-01-01T00:00:00"},
        {"source_date_range": SourceDateRange(from_="x", to="y")},
        {"source_date_range": SourceDateRange(from_="2026-01-02T00:00Z", to="2026-01-01T00:00Z")},
        {"created_by": "x" * 5000},
        {"speed_factor": 1e308},
        {"symbols": ["<script>"]},
        {"event_types": ["../x"]},
        {"instruments": []},
        {"notes": "\x00"},
        {"config_version": "v" * 129},
        {"exchange_ahead_ns": 1 << 63},
        {"recorder_runs": [msgspec.convert(HOSTILE_RUN, RecordedRun)]},
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(archive, tmp_path, changes) -> None:
    assert refusal(tmp_path, with_manifest(archive, **changes)).code == "BAD_ARCHIVE"


def test_changed_events_are_refused_by_size_and_by_checksum(archive, tmp_path) -> None:
    parts = members(archive)
    events = parts["events.jsonl"]
    for content in (events + b"\n", events.replace(b'"Buy"', b'"Sel"', 1)):
        source = packed(("manifest.json", parts["manifest.json"]), ("events.jsonl", content))
        assert refusal(tmp_path, source).code == "BAD_ARCHIVE"


def test_a_name_given_for_an_import_is_checked(archive, tmp_path) -> None:
    assert refusal(tmp_path, io.BytesIO(archive), session_id="../x").code == "BAD_ID"


@pytest.mark.parametrize(
    "rules",
    [
        *({name: Decimal(text)} for name in ("tick_size", "qty_step")
          for text in ("0", "-1", "NaN", "Infinity", "1E+30", "1E-40")),
        {"max_price": Decimal("NaN")},
        {"max_qty": Decimal("1E+100000")},
        {"price_scale": 10**9},
        {"symbol": "../x"},
    ],
)  # fmt: skip
def test_rules_that_are_none_of_a_market_are_refused(store, archive, tmp_path, rules) -> None:
    first, *others = store.require("one").instruments
    instruments = [msgspec.structs.replace(first, **rules), *others]
    source = with_manifest(
        archive, instruments=instruments, symbols=[each.symbol for each in instruments]
    )

    assert refusal(tmp_path, source).code == "BAD_ARCHIVE"


def test_a_header_that_unpacks_without_end_is_refused_before_it_fills_the_memory(tmp_path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    endless = header.tobuf() + bytes(64 << 20)
    source = io.BytesIO(zstandard.ZstdCompressor().compress(endless))

    tracemalloc.start()
    try:
        refused = refusal(tmp_path, source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert refused.code == "BAD_ARCHIVE"
    assert peak < 16 << 20


def test_events_that_the_disk_has_no_room_for_are_not_begun(archive, tmp_path) -> None:
    manifest = msgspec.json.decode(members(archive)["manifest.json"], type=ReplayManifest)
    events = msgspec.structs.replace(manifest.events, bytes=1 << 60)
    sparse = tarfile.TarInfo("events.jsonl")
    sparse.size = 1 << 60
    plain = io.BytesIO()
    changed = msgspec.json.encode(msgspec.structs.replace(manifest, events=events))
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(changed)
        tar.addfile(info, io.BytesIO(changed))
    source = io.BytesIO(zstandard.ZstdCompressor().compress(plain.getvalue() + sparse.tobuf()))

    assert refusal(tmp_path, source).code == "DISK_FULL"
