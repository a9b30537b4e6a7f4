"""The API: who may do what, what a command becomes, and that nonsense is never a server error."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token

from execution.domain.operator import OperatorAction, OperatorCommand, OperatorResult
from execution.models import OrderQuality
from failover.models import AuditEntry
from monitoring.domain.times import iso_of_ms
from monitoring.domain.view import BeatsSeen, LimitsSeen, RecordSeen
from monitoring.models import RetentionRun
from monitoring.services import live, operator
from strategy.domain.messages import ExecutionSnapshot, QualityView
from tests.monitoring.domain.builders import INSTRUMENTS, SPANS, a_beat, a_risk

pytestmark = pytest.mark.django_db

COMMANDS: dict[str, dict[str, Any]] = {
    "/api/execution/panic-close-all": {"reason": "drill"},
    "/api/execution/panic-close-symbol": {"symbol": "BTCUSDT", "reason": "drill"},
    "/api/execution/cancel-orders": {"symbol": "BTCUSDT", "side": "BOTH"},
    "/api/execution/trading": {"enabled": False, "reason": "lunch"},
    "/api/failover/safe-mode": {"enabled": True, "reason": "drill"},
}
READS = (
    "/api/execution/orders",
    "/api/trades",
    "/api/positions",
    "/api/health",
    "/api/market/symbols",
    "/api/latency",
    "/api/quality",
    "/api/quality/orders",
    "/api/risk",
    "/api/retention/reports",
)


@pytest.fixture(autouse=True)
def _no_throttle_left_over() -> None:
    cache.clear()


@pytest.fixture
def no_bus(settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"


def accepted(command: OperatorCommand) -> OperatorResult:
    return OperatorResult(
        command_id=command.command_id, action=command.action, ok=True, message="closing 2 positions",
        ts_ns=1, closing_positions=2,
    )  # fmt: skip


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def execution_reports(**fields: Any) -> None:
    values: dict[str, Any] = {
        "ts_ns": time.time_ns(), "execution_run": "x", "requests_stream_id": "0-0", "equity": 1000.0,
        "available": 900.0, "realized_pnl_today": 0.0, "equity_peak": 1000.0, "positions": (),
        "pending_entries": {"BTCUSDT": "r-1"}, "safe_mode_reasons": (), "trading_enabled": True,
    }  # fmt: skip
    live.fanout().apply(ExecutionSnapshot(**(values | fields)))


# --- who may -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*READS, *COMMANDS, "/api/execution/overview"])
def test_a_stranger_gets_nothing_but_an_error_that_says_so(path: str) -> None:
    answer = Client().post(path) if path in COMMANDS else Client().get(path)

    assert answer.status_code in (401, 403)
    assert set(answer.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize("path", READS)
def test_staff_may_read(reader_client: Client, path: str) -> None:
    assert reader_client.get(path).status_code == 200


@pytest.mark.parametrize("path", COMMANDS)
def test_staff_without_the_operator_permission_may_not_command(
    reader_client: Client, path: str
) -> None:
    answer = post(reader_client, path, COMMANDS[path])

    assert answer.status_code == 403
    assert "operate" in answer.json()["error"]["message"]


def test_an_operator_who_is_not_staff_may_not_even_read(operator_user: User) -> None:
    User.objects.filter(pk=operator_user.pk).update(is_staff=False)
    client = Client()
    client.force_login(operator_user)

    assert client.get("/api/positions").status_code == 403
    assert post(client, "/api/execution/trading", {}).status_code == 403


def test_a_browser_needs_the_csrf_token(operator_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator_user)

    answer = post(client, "/api/execution/panic-close-all", {"reason": "forged"})

    assert answer.status_code == 403
    assert "CSRF" in answer.json()["error"]["message"]


def test_a_script_uses_a_token(operator_user: User) -> None:
    token = Token.objects.create(user=operator_user)

    answer = Client().get("/api/positions", headers={"Authorization": f"Token {token.key}"})

    assert answer.status_code == 200


# --- commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_reaches_execution_with_its_reason_and_actor_and_brings_the_answer(
    operator_client: Client, answering_execution: Any, path: str
) -> None:
    with answering_execution(accepted) as execution:
        answer = post(operator_client, path, COMMANDS[path])

    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["message"] == "closing 2 positions"
    command = execution.commands[0]
    assert (command.actor, command.source) == ("operator", "DASHBOARD")
    assert command.reason == COMMANDS[path].get("reason", "cancel orders")
    assert command.symbol == COMMANDS[path].get("symbol", "")
    audit = AuditEntry.objects.get()
    assert (audit.actor, audit.action, audit.ip) == ("operator", command.action, "127.0.0.1")
    assert (audit.reason, audit.result) == (command.reason, "OK: closing 2 positions")


@pytest.mark.parametrize(
    ("path", "enabled", "action"),
    [
        ("/api/failover/safe-mode", True, OperatorAction.SAFE_MODE_ON),
        ("/api/failover/safe-mode", False, OperatorAction.SAFE_MODE_OFF),
        ("/api/execution/trading", True, OperatorAction.TRADING_ON),
        ("/api/execution/trading", False, OperatorAction.TRADING_OFF),
    ],
)
def test_a_switch_becomes_the_right_action(
    operator_client: Client, answering_execution: Any, path: str, enabled: bool, action: str
) -> None:
    with answering_execution(accepted) as execution:
        post(operator_client, path, {"enabled": enabled, "reason": "because"})

    assert execution.commands[0].action == action


def test_a_refusal_of_execution_is_told_with_its_reason(
    operator_client: Client, answering_execution: Any
) -> None:
    def refused(command: OperatorCommand) -> OperatorResult:
        return OperatorResult(
            command_id=command.command_id, action=command.action, ok=False,
            message="safe mode stays on: BUS_DOWN", ts_ns=1,
        )  # fmt: skip

    with answering_execution(refused):
        answer = post(
            operator_client, "/api/failover/safe-mode", {"enabled": False, "reason": "calm again"}
        )

    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert answer.json()["message"] == "safe mode stays on: BUS_DOWN"


@pytest.mark.usefixtures("no_bus")
def test_without_a_bus_nothing_was_sent_and_the_answer_says_so(operator_client: Client) -> None:
    answer = post(operator_client, "/api/execution/panic-close-all", {"reason": "fire"})

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "BUS_DOWN"
    assert AuditEntry.objects.get().result == "NOT_SENT"


@pytest.mark.usefixtures("valkey")
def test_a_silent_execution_is_told_as_an_unknown_outcome(
    operator_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "ANSWER_TIMEOUT_S", 0.2)

    answer = post(operator_client, "/api/execution/panic-close-all", {"reason": "fire"})

    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "NO_ANSWER"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/execution/panic-close-all", {}, "reason"),
        ("/api/execution/panic-close-all", {"reason": "x"}, "reason"),
        ("/api/execution/panic-close-symbol", {"reason": "drill"}, "symbol"),
        ("/api/execution/panic-close-symbol", {"symbol": "btc/usdt", "reason": "drill"}, "symbol"),
        ("/api/execution/cancel-orders", {"symbol": "BTCUSDT", "side": "UP"}, "side"),
        ("/api/failover/safe-mode", {"enabled": "perhaps", "reason": "drill"}, "enabled"),
        ("/api/failover/safe-mode", {"enabled": True, "reason": "drill", "force": 1}, "force"),
    ],
)
def test_a_wrong_body_is_refused_at_its_field(
    operator_client: Client, path: str, body: dict[str, Any], field: str
) -> None:
    answer = post(operator_client, path, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID"
    assert field in answer.json()["error"]["fields"]


# --- reading -------------------------------------------------------------------------------------------


def test_the_overview_repeats_what_execution_reported(reader_client: Client) -> None:
    execution_reports(safe_mode_reasons=("PANIC",), trading_enabled=False)

    body = reader_client.get("/api/execution/overview").json()

    assert body["mode"] == "SIM"
    assert (body["safeMode"], body["safeModeReasons"]) == (True, ["PANIC"])
    assert (body["pendingOrdersCount"], body["activeOrdersCount"]) == (1, 0)
    assert body["tradingEnabled"] is False


def test_before_execution_reported_the_overview_says_that_it_does_not_know(
    reader_client: Client,
) -> None:
    answer = reader_client.get("/api/execution/overview")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "STATE_UNKNOWN"


def test_open_positions_are_listed(reader_client: Client) -> None:
    row = {
        "record": "POSITION", "timestamp": iso_of_ms(live.now_ms()), "symbol": "BTCUSDT",
        "side": "LONG", "qty": 0.01, "avgEntry": 50_000.0, "planId": "p", "stopPrice": 49_900.0,
    }  # fmt: skip
    live.fanout().apply(RecordSeen(row))

    positions = reader_client.get("/api/positions").json()["positions"]

    assert [(p["symbol"], p["qty"]) for p in positions] == [("BTCUSDT", 0.01)]


def test_the_probe_needs_no_login_and_tells_no_secret() -> None:
    answer = Client().get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_schema_is_not_for_strangers() -> None:
    assert Client().get("/api/schema/").status_code in (401, 403)


def test_the_schema_names_the_paths_of_the_specification(reader_client: Client) -> None:
    schema = reader_client.get("/api/schema/?format=json").json()

    assert {*COMMANDS, *READS, "/api/execution/overview"} <= set(schema["paths"])
    assert reader_client.get("/api/docs/").status_code == 200


# --- nonsense ------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(["reason", "symbol", "side", "enabled", "", "x\x00y"])


@pytest.mark.usefixtures("no_bus")
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(fields, values, max_size=4) | values)
def test_no_body_makes_a_command_a_server_error(
    operator_client: Client, path: str, body: Any
) -> None:
    cache.clear()

    answer = post(operator_client, path, body)

    assert answer.status_code in (400, 503)
    assert answer.json()["error"]["code"] in ("INVALID", "PARSE_ERROR", "BUS_DOWN")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{", b'{"a":' * 5000, b"[]", b'"x"', b"1e999"])
def test_no_bytes_make_a_command_a_server_error(operator_client: Client, body: bytes) -> None:
    answer = operator_client.post(
        "/api/execution/panic-close-all", body, content_type="application/json"
    )

    assert answer.status_code == 400


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(
        [
            "/api/execution/orders",
            "/api/trades",
            "/api/quality/orders",
            "/orders/",
            "/trades/",
            "/api/retention/reports",
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            ["page", "pageSize", "symbol", "status", "sort", "side", "since", "until", "format"]
        ),
        st.text(max_size=20) | st.integers().map(str) | st.sampled_from(["-price", "9999-12-31"]),
        max_size=4,
    ),
)
def test_no_query_makes_a_list_a_server_error(
    reader_client: Client, path: str, query: dict[str, str]
) -> None:
    cache.clear()

    assert reader_client.get(path, query).status_code in (200, 400, 404)


# --- quality, latency, risk --------------------------------------------------------------------------


def test_quality_is_told_of_the_symbols_whose_orders_were_judged(reader_client: Client) -> None:
    live.fanout().apply(INSTRUMENTS)
    execution_reports(quality={"ETHUSDT": QualityView(score=31.0, blocked=True, reason="bad")})

    symbols = reader_client.get("/api/quality").json()["symbols"]

    assert list(symbols) == ["ETHUSDT"]
    assert (symbols["ETHUSDT"]["score"], symbols["ETHUSDT"]["blocked"]) == (31.0, True)


def test_how_orders_were_carried_out_is_paged_newest_first(reader_client: Client) -> None:
    for day in (1, 2, 3):
        at = datetime(2026, 1, day, tzinfo=UTC)
        OrderQuality.objects.create(
            client_order_id=f"o{day}", timestamp=at, symbol="BTCUSDT", side="BUY", leg="ENTRY",
            mode="SIM", outcome="FILLED", placed_at=at, ended_at=at, qty=1, filled_qty=1, maker_qty=0,
        )  # fmt: skip

    answer = reader_client.get("/api/quality/orders", {"symbol": "BTCUSDT", "pageSize": 2}).json()

    assert [row["clientOrderId"] for row in answer["orders"]] == ["o3", "o2"]
    assert answer["count"] == 3
    assert answer["orders"][0]["markout5sBps"] is None
    assert reader_client.get("/api/quality/orders", {"symbol": "?"}).status_code == 400


def test_latency_and_risk_are_told_as_the_services_said_them(reader_client: Client) -> None:
    beat = a_beat(latency={"sentToAck": SPANS}, configVersion="v7", configNumber=7)
    live.fanout().apply(BeatsSeen(1, {"strategy": beat}))
    live.fanout().apply(a_risk(reasons=("heat 2.00 % (limit 2 %)",)))
    live.fanout().apply(LimitsSeen({"maxHeatPct": 2.0}))

    stages = reader_client.get("/api/latency").json()["stages"]
    risk = reader_client.get("/api/risk").json()

    assert stages["sentToAck"]["minute"]["p90Ms"] == 2.0
    assert risk["risk"]["reasons"] == ["heat 2.00 % (limit 2 %)"]
    assert (risk["limits"], risk["config"]["number"]) == ({"maxHeatPct": 2.0}, 7)


# --- retention -----------------------------------------------------------------------------------------


def test_retention_reports_come_newest_first(reader_client: Client) -> None:
    for day in (20, 21):
        RetentionRun.objects.create(
            run_id=f"ret{day}",
            timestamp=datetime(2026, 11, day, tzinfo=UTC),
            report={"runId": f"ret{day}", "deletedFiles": ["orders/day-2026-01-01.jsonl"]},
        )

    answer = reader_client.get("/api/retention/reports?pageSize=1").json()

    assert (answer["count"], [report["runId"] for report in answer["reports"]]) == (2, ["ret21"])
