"""The replay API: phase 12's six endpoints and what operating takes beyond them, over real sessions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover.models import AuditEntry
from market.domain.events import EventChunk
from replay.adapters.session_store import SessionStore
from replay.domain.config import ReplayConfig
from replay.domain.sessions import BuildReplayOptions, ReplayManifest
from replay.models import ReplayJob
from replay.services import replay_jobs
from replay.services.run_mode_rows import RunModeRows
from replay.services.session_build import build_session
from tests.replay.recording_samples import write_recording

pytestmark = pytest.mark.django_db

ORDERS = ("sessions", "run", "stop", "pause", "resume", "speed", "loop", "seek")


@pytest.fixture(autouse=True)
def _no_throttle_left_over() -> None:
    cache.clear()


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory, market: EventChunk
) -> tuple[Path, ReplayManifest]:
    """A data folder with the recording and one session of it."""
    data = tmp_path_factory.mktemp("data")
    write_recording(data / "market", market)
    options = BuildReplayOptions(
        from_="2025-11-18T00:00:00Z", to="2025-11-18T00:01:00Z", symbols=["ETHUSDT", "AI16ZUSDT"]
    )
    return data, build_session(options, SessionStore(data))


@pytest.fixture
def manifest(
    built: tuple[Path, ReplayManifest], tmp_path: Path, settings: Any, valkey: str
) -> ReplayManifest:
    data, manifest = built
    shutil.copytree(data, tmp_path / "data")
    settings.DATA_DIR = tmp_path / "data"
    return manifest


def client_of(*permissions: str, staff: bool = True) -> Client:
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.fixture
def operator(manifest: ReplayManifest) -> Client:
    return client_of("operate")


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/replay/{path}", json.dumps(body), content_type="application/json")


def test_sessions_are_listed_and_shown_as_their_manifests(
    operator: Client, manifest: ReplayManifest
) -> None:
    listed = operator.get("/api/replay/sessions").json()
    shown = operator.get(f"/api/replay/sessions/{manifest.session_id}").json()

    assert listed["sessions"] == [shown]
    assert listed["timestamp"].endswith("Z")
    for name in (
        "sessionId", "createdAt", "createdBy", "sourceDateRange", "symbols", "eventTypes",
        "speedFactor", "totalEvents", "notes",
    ):  # fmt: skip
        assert name in shown
    assert shown["totalEvents"] > 1000
    assert operator.get("/api/replay/sessions/nowhere").status_code == 404
    assert operator.get("/api/replay/sessions/..%2F..").status_code == 404


def test_a_build_is_ordered_and_can_be_asked_for(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_jobs, "replay_config", lambda: ReplayConfig(build_wait_s=0))
    body = {
        "from": "2025-11-18T00:00:00Z", "to": "2025-11-18T00:00:10Z", "symbols": ["ETHUSDT"],
        "includeTypes": ["MARKET_TRADE", "MARKET_ORDERBOOK"], "maxEvents": 500, "sessionId": None,
        "notes": "ten seconds",
    }  # fmt: skip
    answer = post(operator, "sessions", body)

    assert answer.status_code == 202
    assert answer.json()["state"] == "QUEUED"
    status_url = answer.json()["statusUrl"]
    assert operator.get(status_url).json()["jobId"] == answer.json()["jobId"]
    assert [b["jobId"] for b in operator.get("/api/replay/builds").json()["builds"]] == [
        answer.json()["jobId"]
    ]
    assert operator.delete(status_url).json()["success"] is True
    assert operator.delete(status_url).json()["error"]["code"] == "BUILD_ENDED"


def test_a_run_switches_the_system_to_replay_and_a_stop_gives_live_back(
    operator: Client, manifest: ReplayManifest
) -> None:
    body = {
        "sessionId": manifest.session_id, "speedFactor": 4.0, "injectMode": "FULL_DECISION",
        "loop": False,
    }  # fmt: skip
    assert operator.get("/api/replay/status").json()["runMode"] == "LIVE"

    begun = post(operator, "run", body).json()
    again = post(operator, "run", body)
    status = operator.get("/api/replay/status").json()
    ended = post(operator, "stop", {}).json()

    assert (begun["success"], "REPLAY" in begun["message"]) == (True, True)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "REPLAY_RUNNING")
    assert (status["runMode"], status["sessionId"], status["state"], status["speedFactor"]) == (
        "REPLAY", manifest.session_id, "QUEUED", 4.0,
    )  # fmt: skip
    assert ended["success"]
    assert not RunModeRows().read().is_replay
    last = operator.get("/api/replay/status").json()
    assert (last["running"], last["state"]) == (False, "STOPPED")


def test_orders_reach_the_job_and_leave_audit_rows(
    operator: Client, manifest: ReplayManifest
) -> None:
    post(operator, "run", {"sessionId": manifest.session_id, "speedFactor": "max"})

    post(operator, "speed", {"speedFactor": 10})
    post(operator, "pause", {})
    post(operator, "loop", {"loop": True})
    post(operator, "seek", {"to": "2025-11-18T00:00:20Z"})
    outside = post(operator, "seek", {"to": "2025-11-19T00:00:20Z"})

    job = ReplayJob.objects.get()
    assert (job.wanted_speed, job.wanted_pause, job.wanted_loop) == (10.0, True, True)
    assert job.wanted_seek_ns is not None
    assert job.order_number == 4
    assert "outside the session" in outside.json()["error"]["fields"]["to"][0]
    actions = AuditEntry.objects.values_list("action", flat=True)
    assert sorted(actions) == sorted(
        ["REPLAY_RUN", "REPLAY_SPEED", "REPLAY_PAUSE", "REPLAY_LOOP", "REPLAY_SEEK", "REPLAY_SEEK"]
    )
    assert AuditEntry.objects.filter(result__startswith="REFUSED").count() == 1


def test_a_session_that_is_being_replayed_is_not_deleted(
    operator: Client, manifest: ReplayManifest
) -> None:
    path = f"/api/replay/sessions/{manifest.session_id}"
    post(operator, "run", {"sessionId": manifest.session_id, "isolated": True})

    refused = operator.delete(path)
    post(operator, "stop", {"jobId": ReplayJob.objects.get().pk})
    deleted = operator.delete(path)

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "IN_USE")
    assert deleted.json()["success"]
    assert operator.delete(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("run", {}, "sessionId"),
        ("run", {"sessionId": "x", "speedFactor": 0}, "speedFactor"),
        ("run", {"sessionId": "x", "speedFactor": True}, "speedFactor"),
        ("run", {"sessionId": "x", "speedFactor": 1e300}, "speedFactor"),
        ("run", {"sessionId": "x", "speedFactor": 10**400}, "speedFactor"),
        ("run", {"sessionId": "x", "injectMode": "HALF"}, "injectMode"),
        ("run", {"sessionId": "x", "config": "/etc/passwd"}, "config"),
        ("run", {"sessionId": "x", "lop": True}, "lop"),
        ("sessions", {"from": "2025", "to": "x", "symbols": ["BTCUSDT"]}, "to"),
        ("sessions", {"from": "2025-01-02", "to": "2025-01-01", "symbols": ["A"]}, "to"),
        ("sessions", {"from": "2025-01-01", "to": "2025-01-02", "symbols": []}, "symbols"),
        ("sessions", {"from": "2025-01-01", "to": "2025-01-02", "symbols": ["../x"]}, "symbols"),
        (
            "sessions",
            {"from": "2025-01-01", "to": "2025-01-02", "symbols": ["A"], "includeTypes": ["X"]},
            "includeTypes",
        ),
        (
            "sessions",
            {"from": "2025-01-01", "to": "2025-01-02", "symbols": ["A"], "sessionId": "../../x"},
            "sessionId",
        ),
        ("speed", {"speedFactor": "fast"}, "speedFactor"),
        ("seek", {}, "to"),
        ("loop", {"loop": "perhaps"}, "loop"),
        ("stop", {"jobId": -1}, "jobId"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field(
    operator: Client, path: str, body: dict[str, Any], field: str
) -> None:
    answer = post(operator, path, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID"
    assert field in answer.json()["error"]["fields"]


def test_readers_may_look_and_not_order_and_strangers_may_neither(
    manifest: ReplayManifest,
) -> None:
    reader, stranger = client_of(), client_of(staff=False)

    for path in ("sessions", "status", "runs", "builds"):
        assert reader.get(f"/api/replay/{path}").status_code == 200
        assert stranger.get(f"/api/replay/{path}").status_code == 403
    for path in ORDERS:
        assert post(reader, path, {}).status_code == 403
    assert reader.delete(f"/api/replay/sessions/{manifest.session_id}").status_code == 403
    assert not AuditEntry.objects.exists()


def test_what_is_not_running_cannot_be_operated(operator: Client) -> None:
    for path, body in (("stop", {}), ("pause", {}), ("speed", {"speedFactor": 2, "jobId": 77})):
        answer = post(operator, path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NOTHING_RUNNING")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["sessionId", "speedFactor", "injectMode", "loop", "jobId", "to", "from", "symbols", "config",
     "includeTypes", "maxEvents", "notes", "isolated", "paused"]
)  # fmt: skip


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(ORDERS), body=st.dictionaries(NAMES, JSON, max_size=5) | JSON)
def test_no_body_breaks_the_server(operator: Client, path: str, body: Any) -> None:
    cache.clear()

    answer = post(operator, path, body)

    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) >= {"code", "message"}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(min_size=1, max_size=40))
def test_no_name_in_an_address_breaks_the_server(operator: Client, name: str) -> None:
    cache.clear()
    safe = quote(name.encode("utf-8", "surrogatepass"), safe="")
    for path in (f"sessions/{safe}", f"runs/{safe}", f"builds/{safe}", f"runs?sessionId={safe}"):
        assert operator.get(f"/api/replay/{path}").status_code in (200, 301, 400, 404)
