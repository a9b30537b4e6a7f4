"""The tables are a picture of the log: late, repeated or rebuilt, the picture is the same."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from execution.adapters.order_log import OrderLog
from execution.domain.outputs import LogLine
from execution.models import (
    ClosedTrade,
    Fill,
    OrderQuality,
    OrderRow,
    Position,
    ProjectionMark,
)
from execution.services.projection import Projection, catch_up, rebuild, write_rows
from failover.adapters.archive import Archive


def a_traded_day(world: Any, data_dir: Path) -> list[dict[str, Any]]:
    """One trade to its end and one still open; returns the rows the screen was shown."""
    world.open_long()
    world.move_to(9_940)
    world.wait(300)
    world.ask(plan=world.plan(type="MARKET", symbol="ETHUSDT"))
    world.wait(200)
    world.now_ns += 35_000_000_000
    world.quote()  # late enough for every markout of the first trade
    log = OrderLog(Archive(data_dir))
    log.append([o for o in world.outputs if isinstance(o, LogLine)], world.now_ns)
    log.close()
    return [
        row
        for kind in ("ORDER", "FILL", "POSITION", "TRADE", "QUALITY")
        for row in world.rows(kind)
    ]


def picture() -> dict[str, list[dict[str, Any]]]:
    skipped = ("id", "tps", "updated_at", "last_error", "opened_at")
    return {
        model.__name__: [
            {k: v for k, v in row.items() if k not in skipped} for row in model.objects.values()
        ]
        for model in (OrderRow, Fill, Position, ClosedTrade, OrderQuality)
    }


@pytest.mark.django_db
def test_rows_written_twice_are_there_once(world: Any, tmp_path: Path) -> None:
    rows = a_traded_day(world, tmp_path)

    write_rows(rows, 10)
    once = picture()
    write_rows(rows, 10)

    assert picture() == once
    assert (Fill.objects.count(), ClosedTrade.objects.count()) == (3, 1)
    assert ProjectionMark.objects.get().log_seq == 10


@pytest.mark.django_db
def test_the_tables_rebuilt_from_the_log_are_those_written_live(world: Any, tmp_path: Path) -> None:
    write_rows(a_traded_day(world, tmp_path), 10)
    live = picture()

    rebuild(tmp_path / "orders")

    assert picture() == live
    held = {p.symbol: p.qty for p in Position.objects.all()}
    assert held == {"BTCUSDT": 0.0, "ETHUSDT": 0.1}
    judged = {row.leg: row for row in OrderQuality.objects.filter(symbol="BTCUSDT")}
    assert judged["ENTRY"].fill_ratio == 1.0
    assert judged["STOP"].arrival_touch is not None


@pytest.mark.django_db
def test_a_start_projects_only_what_the_tables_have_not_seen(world: Any, tmp_path: Path) -> None:
    a_traded_day(world, tmp_path)
    everything = len(world.lines())
    write_rows([], everything - 3)

    assert catch_up(tmp_path / "orders") == 3
    assert catch_up(tmp_path / "orders") == 0


@pytest.mark.django_db
def test_a_torn_log_line_does_not_hide_its_neighbours(world: Any, tmp_path: Path) -> None:
    a_traded_day(world, tmp_path)
    path = next((tmp_path / "orders").glob("day-*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(b"{broken\n" + whole + b'{"kind":"FILL"')

    rebuild(tmp_path / "orders")

    assert Fill.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_rows_wait_while_the_database_is_away_and_nobody_is_blocked(
    world: Any, tmp_path: Path
) -> None:
    """The table is really gone, then back: the thread retries, the order path only puts."""
    rows = a_traded_day(world, tmp_path / "elsewhere")
    (tmp_path / "orders").mkdir()
    projection = Projection(tmp_path / "orders")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE execution_fill RENAME TO execution_fill_away")
    projection.start()
    for row in rows:
        projection.put([row], 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE execution_fill_away RENAME TO execution_fill")

    assert projection.close(timeout_s=20)

    assert Fill.objects.count() == 3


@pytest.mark.django_db
def test_rows_older_than_the_log_outlive_a_rebuild(world: Any, tmp_path: Path) -> None:
    """Retention lets old days of the log go; what they said is in the tables alone from then on."""
    rows = a_traded_day(world, tmp_path)
    write_rows(rows, 10)
    trade = ClosedTrade.objects.get()
    first = trade.timestamp
    ClosedTrade.objects.create(
        **{f.name: getattr(trade, f.name) for f in trade._meta.fields if f.name != "id"}
        | {"plan_id": "old-plan", "timestamp": first - timedelta(days=40)}
    )
    ClosedTrade.objects.filter(pk=trade.pk).update(realized_pnl=-1)

    rebuild(tmp_path / "orders")

    kept = ClosedTrade.objects.order_by("timestamp").values_list("plan_id", "realized_pnl")
    assert [*kept] == [("old-plan", trade.realized_pnl), (trade.plan_id, trade.realized_pnl)]


@pytest.mark.django_db
def test_the_command_rebuilds_and_says_how_much(
    world: Any, tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    a_traded_day(world, tmp_path)
    settings.DATA_DIR = tmp_path

    call_command("rebuild_projection")

    assert f"projected {len(world.lines())} log line(s)" in capsys.readouterr().out
    assert ClosedTrade.objects.count() == 1
