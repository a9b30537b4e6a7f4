"""Pages: for staff only, whole without a live system, and strict about scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from execution.models import OrderQuality, OrderRow
from monitoring.models import RetentionRun

pytestmark = pytest.mark.django_db

PAGES = (
    "/",
    "/symbol/BTCUSDT/",
    "/orders/",
    "/trades/",
    "/backtests/",
    "/retention/",
    "/replay/compare/",
)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_staff_only(path: str) -> None:
    customer = Client()
    customer.force_login(User.objects.create_user("customer"))

    for client in (Client(), customer):
        assert client.get(path)["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_mode_and_forbids_foreign_scripts(
    reader_client: Client, path: str
) -> None:
    answer = reader_client.get(path)

    assert answer.status_code == 200
    assert b'id="mode-badge"' in answer.content
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert b"<script>" not in answer.content


def test_the_panic_button_of_a_reader_is_dead(
    reader_client: Client, operator_client: Client
) -> None:
    dead = b'id="panic-all" disabled'

    assert dead in reader_client.get("/").content
    assert dead not in operator_client.get("/").content


def test_an_icon_is_found_where_browsers_look_for_it() -> None:
    assert Client().get("/favicon.ico")["Location"] == "/static/dashboard/icon.svg"


def test_orders_come_as_csv_too(reader_client: Client) -> None:
    answer = reader_client.get("/orders/", {"format": "csv"})

    assert answer["Content-Type"] == "text/csv"
    assert answer.content.startswith(b"created_at,symbol,side,leg,type,price")


def test_a_backtest_report_is_listed_and_served_as_it_was_written(
    reader_client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    folder = tmp_path / "backtests" / "btc-week"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<!doctype html><title>BTC week</title>")
    report = {
        "run": {
            "runId": "r", "createdAt": "2026-01-01T00:00:00Z", "profile": "demo", "configVersion": "c",
        },
        "verdict": {"canJudge": True, "headline": "no edge after cost"},
        "result": {"trades": 12, "netPnl": -3.5},
        "statistics": {"trials": 2},
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))

    page = reader_client.get("/backtests/").content.decode()
    assert "/backtests/btc-week/" in page
    assert "no edge after cost" in page
    answer = reader_client.get("/backtests/btc-week/")

    assert b"BTC week" in answer.content
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert Client().get("/backtests/btc-week/").status_code == 302


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e", "..%2fmarket", ".hidden", "a%00b"])
def test_no_name_leads_out_of_the_folder_of_reports(
    reader_client: Client, settings: Any, tmp_path: Path, name: str
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "backtests").mkdir()
    (tmp_path / "report.html").write_text("secret")

    assert reader_client.get(f"/backtests/{name}/").status_code == 404


def test_a_retention_run_is_shown_file_by_file(reader_client: Client) -> None:
    """What went wrong first, then what went, what is not ours, and what stayed."""
    report = {
        "deletedFiles": ["orders/a.jsonl"], "keptFiles": ["events/b.jsonl", "market/x", "z"],
        "errors": [{"file": "z", "error": "no permission"}], "foreignFiles": ["market/x"],
        "reasons": {"orders/a.jsonl": "older than 30 days (ordersLogDays)"}, "dryRun": False,
    }  # fmt: skip
    at = datetime(2026, 11, 21, 1, 15, tzinfo=UTC)
    RetentionRun.objects.create(run_id="ret1", timestamp=at, deleted=1, errors=1, report=report)

    answer = reader_client.get("/retention/ret1/")

    rows = [(row.path, row.outcome) for row in answer.context["page"]]
    assert rows == [
        ("z", "ERROR"), ("orders/a.jsonl", "DELETED"), ("market/x", "FOREIGN"),
        ("events/b.jsonl", "KEPT"),
    ]  # fmt: skip
    assert b"older than 30 days (ordersLogDays)" in answer.content
    assert reader_client.get("/retention/other/").status_code == 404


def test_an_order_shows_how_it_was_carried_out(reader_client: Client) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    OrderRow.objects.create(
        client_order_id="AISCLP-1", symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="PostOnly",
        qty=0.1, status="FILLED", state="FILLED", leg="ENTRY", source="X", mode="SIM", created_at=now,
        updated_at=now,
    )  # fmt: skip
    assert b"Not judged yet" in reader_client.get("/orders/AISCLP-1/").content

    OrderQuality.objects.create(
        client_order_id="AISCLP-1", timestamp=now, symbol="BTCUSDT", side="BUY", leg="ENTRY",
        mode="SIM", outcome="FILLED", placed_at=now, ended_at=now, qty=0.1, filled_qty=0.1,
        maker_qty=0.1, markout5s_bps=-2.25,
    )  # fmt: skip
    page = reader_client.get("/orders/AISCLP-1/").content.decode()

    assert "\N{MINUS SIGN}2.25 bps" in page
    assert "config version" in page.lower()
