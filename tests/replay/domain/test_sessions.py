"""The records of a session and the rules of their names."""

from __future__ import annotations

import msgspec
import pytest

from replay.adapters.session_store import SessionStore
from replay.domain.sessions import (
    BuildReplayOptions,
    ReplayManifest,
    SessionRefused,
    SourceDateRange,
    checked_options,
    default_session_id,
    is_session_id,
    parse_instant,
)

TEN = parse_instant("2025-11-18T10:00:00Z")
HOUR = 3_600_000_000_000


def options(**changes: object) -> BuildReplayOptions:
    body = {
        "from": "2025-11-18T10:00:00Z",
        "to": "2025-11-18T11:00:00Z",
        "symbols": ["BTCUSDT", "AI16ZUSDT"],
    }
    return msgspec.convert(body | changes, BuildReplayOptions)


def manifest(session_id: str = "one") -> ReplayManifest:
    return ReplayManifest(
        session_id=session_id,
        created_at="2025-11-18T12:00:00.000Z",
        created_by="TEST",
        source_date_range=SourceDateRange(from_="2025-11-18T10:00:00Z", to="2025-11-18T11:00:00Z"),
        symbols=["BTCUSDT"],
        event_types=["MARKET_TRADE"],
        speed_factor=4.0,
        total_events=3,
    )


@pytest.mark.parametrize(
    ("from_ns", "to_ns", "symbols", "name"),
    [
        (TEN, TEN + HOUR, ["BTCUSDT", "AI16ZUSDT"], "2025-11-18T10-11-BTCUSDT-AI16ZUSDT"),
        (TEN + HOUR // 12, TEN + HOUR // 6, ["BTCUSDT"], "2025-11-18T1005-1010-BTCUSDT"),
        (TEN, TEN + 24 * HOUR, ["A"], "2025-11-18T10-2025-11-19T10-A"),
        (TEN, TEN + HOUR, [f"S{n}" for n in range(20)], "2025-11-18T10-11-S0-S1-S2-S3+16"),
    ],
)
def test_a_session_is_named_by_its_range_and_symbols(from_ns, to_ns, symbols, name) -> None:
    assert default_session_id(from_ns, to_ns, symbols) == name
    assert is_session_id(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a..b", "a\x00b", "a b", "x" * 121, "a\n"],
)
def test_a_name_that_would_leave_the_folder_names_no_session(tmp_path, name) -> None:
    store = SessionStore(tmp_path)

    assert not is_session_id(name)
    assert store.get_session(name) is None
    assert store.delete_session(name) is False
    with pytest.raises(SessionRefused, match="no name of a session"):
        store.folder(name)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"from": "yesterday"}, "BAD_RANGE", "from"),
        ({"to": "2025-11-18T10:00:00Z"}, "BAD_RANGE", "to"),
        ({"symbols": []}, "BAD_REQUEST", "symbols"),
        ({"symbols": ["../../etc"]}, "BAD_REQUEST", "symbols"),
        ({"symbols": ["BTCUSDT", "BTCUSDT"]}, "BAD_REQUEST", "symbols"),
        ({"includeTypes": ["STATE_EVENT"]}, "BAD_REQUEST", "includeTypes"),
        ({"maxEvents": 0}, "BAD_REQUEST", "maxEvents"),
        ({"createdBy": "NOBODY"}, "BAD_REQUEST", "createdBy"),
        ({"sessionId": "../other"}, "BAD_ID", "sessionId"),
    ],
)
def test_a_bad_request_is_refused_with_the_field_that_is_wrong(changes, code, field) -> None:
    with pytest.raises(SessionRefused) as refused:
        checked_options(options(**changes))

    assert refused.value.code == code
    assert field in refused.value.fields


def test_a_range_without_a_zone_is_utc() -> None:
    assert checked_options(options(**{"from": "2025-11-18T10:00:00"})) == (TEN, TEN + HOUR)


def test_a_saved_manifest_is_listed_read_and_deleted(tmp_path) -> None:
    store = SessionStore(tmp_path)

    store.save_session(manifest("one"))
    store.save_session(manifest("two"))

    assert [one.session_id for one in store.list_sessions()] == ["two", "one"]
    assert store.get_session("one") == manifest("one")
    assert store.delete_session("one") is True
    assert [one.session_id for one in store.list_sessions()] == ["two"]


def test_the_manifest_on_disk_has_the_names_of_the_source(tmp_path) -> None:
    store = SessionStore(tmp_path)
    store.save_session(manifest())

    document = msgspec.json.decode((store.folder("one") / "manifest.json").read_bytes())

    assert {
        "sessionId", "createdAt", "createdBy", "sourceDateRange", "symbols", "eventTypes",
        "speedFactor", "totalEvents", "notes", "instruments", "fees", "configVersion", "checkpoints",
        "assumptions", "digest", "files", "schemaVersion",
    } <= document.keys()  # fmt: skip
    assert document["sourceDateRange"] == {
        "from": "2025-11-18T10:00:00Z",
        "to": "2025-11-18T11:00:00Z",
    }


def test_a_manifest_that_cannot_be_read_is_told_and_not_listed(tmp_path) -> None:
    store = SessionStore(tmp_path)
    store.save_session(manifest("good"))
    (store.root / "torn").mkdir()
    (store.root / "torn" / "manifest.json").write_text('{"sessionId": "to')
    (store.root / "moved").mkdir()
    (store.root / "moved" / "manifest.json").write_bytes(
        (store.root / "good" / "manifest.json").read_bytes()
    )
    (store.root / ".building-x").mkdir()

    assert [one.session_id for one in store.list_sessions()] == ["good"]
    assert set(store.broken_sessions()) == {"torn", "moved"}
    with pytest.raises(SessionRefused) as refused:
        store.require("torn")
    assert refused.value.code == "BROKEN"
