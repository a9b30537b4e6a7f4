"""Pages of the dashboard: server-rendered frames that the live modules fill."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required, user_passes_test
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from failover.domain.run_mode import RunMode
from monitoring.domain.retention_health import retention_health
from monitoring.forms import OrderFilter, TradeFilter
from monitoring.models import RetentionRun
from monitoring.services import (
    backtest_reports,
    compare_view,
    history,
    live,
    replay_reports,
    retention_view,
)
from monitoring.services.health import retention_seen
from monitoring.services.order_lines import order_lines
from monitoring.services.tables import CSV_MAX_ROWS, Column, csv_lines, make_table, sort_of
from replay.services import replay_jobs, replay_view
from replay.services.compare import ComparisonRefused

OPERATE = "monitoring.operate"
RUNS_LISTED = 30
FILES_A_PAGE = 200
ROWS_A_PAGE = 100


def dashboard_context(request: HttpRequest) -> dict[str, Any]:
    """What every page shows, the login page and the admin included."""
    environment = settings.ENVIRONMENT
    user = getattr(request, "user", None)
    replay = _replay_shown()
    return {
        "mode": "REPLAY" if replay else environment.execution_mode,
        "execution_mode": environment.execution_mode,
        "replay": replay,
        "bybit_env": environment.bybit_env,
        "is_operator": bool(user and user.is_active and user.has_perm(OPERATE)),
    }


def _replay_shown() -> RunMode | None:
    """What the system is replaying; None in LIVE, and while the database is silent."""
    try:
        mode = replay_view.run_mode()
    except DatabaseError:
        return None
    return mode if mode.is_replay else None


def staff_page(view: Any) -> Any:
    """GET only, for logged-in staff; everybody else is sent to the login page."""
    is_staff = user_passes_test(lambda user: bool(user.is_active and user.is_staff))
    return require_safe(login_required(is_staff(view)))


@staff_page
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "monitoring/overview.html", {"section": "overview"})


@staff_page
def symbols(request: HttpRequest) -> HttpResponse:
    """The page of the first symbol; the list of all is on the overview."""
    known = live.fanout().symbols()
    if not known:
        return redirect("overview")
    return redirect("symbol", symbol=known[0])


@staff_page
def symbol(request: HttpRequest, symbol: str) -> HttpResponse:
    known = live.fanout().symbols()
    if known and symbol not in known:
        raise Http404(f"{symbol} is not one of the symbols that are read")
    context = {"section": "symbol", "symbol": symbol, "others": known}
    return render(request, "monitoring/symbol.html", context)


ORDER_COLUMNS = (
    Column(name="created_at", label="Time", kind="time"),
    Column(name="symbol", label="Symbol", kind="symbol"),
    Column(name="side", label="Side", kind="chip"),
    Column(name="leg", label="Leg"),
    Column(name="type", label="Type"),
    Column(name="price", label="Price", kind="price"),
    Column(name="trigger_price", label="Trigger", kind="price"),
    Column(name="qty", label="Qty", kind="qty"),
    Column(name="filled_qty", label="Filled", kind="qty"),
    Column(name="avg_fill_price", label="Avg fill", kind="price"),
    Column(name="status", label="Status", kind="chip"),
    Column(name="source", label="Source"),
    Column(name="client_order_id", label="Order", kind="order"),
)
TRADE_COLUMNS = (
    Column(name="timestamp", label="Closed", kind="time"),
    Column(name="symbol", label="Symbol", kind="symbol"),
    Column(name="side", label="Side", kind="chip"),
    Column(name="qty", label="Qty", kind="qty"),
    Column(name="entry_price", label="Entry", kind="price"),
    Column(name="close_price", label="Exit", kind="price"),
    Column(name="realized_pnl", label="Net USDT", kind="money"),
    Column(name="fees", label="Fees", kind="fee"),
    Column(name="duration_seconds", label="Held", kind="seconds"),
    Column(name="exit_reason", label="Exit reason"),
    Column(name="plan_id", label="Plan", kind="trade"),
)


@staff_page
def orders(request: HttpRequest) -> HttpResponse:
    form = OrderFilter(request.GET)
    found = history.orders(**cleaned(form))
    return _table(request, "Orders", "orders", form, found, ORDER_COLUMNS, "-created_at")


@staff_page
def trades(request: HttpRequest) -> HttpResponse:
    form = TradeFilter(request.GET)
    found = history.trades(**cleaned(form))
    return _table(request, "Trades", "trades", form, found, TRADE_COLUMNS, "-timestamp")


@staff_page
def order(request: HttpRequest, client_order_id: str) -> HttpResponse:
    found = history.order_with_history(client_order_id)
    if found is None:
        raise Http404("no such order")
    row = found["order"]
    lines = order_lines(client_order_id, row.created_at, row.updated_at)
    return render(request, "monitoring/order.html", {"section": "orders", "lines": lines, **found})


@staff_page
def trade(request: HttpRequest, pk: int) -> HttpResponse:
    found = history.trade_with_orders(pk)
    if found is None:
        raise Http404("no such trade")
    return render(request, "monitoring/trade.html", {"section": "trades", **found})


@staff_page
def backtests(request: HttpRequest) -> HttpResponse:
    context = {"section": "backtests", "reports": backtest_reports.newest()}
    return render(request, "monitoring/backtests.html", context)


@staff_page
def backtest(request: HttpRequest, name: str) -> HttpResponse:
    """One report as the backtest wrote it; it brings its own styles and no script."""
    content = backtest_reports.content(name)
    if content is None:
        raise Http404("no such report")
    return HttpResponse(content)


@staff_page
def compare(request: HttpRequest) -> HttpResponse:
    """Two runs side by side; without `a` and `b` the form that asks for them."""
    a, b = request.GET.get("a", "").strip(), request.GET.get("b", "").strip()
    context: dict[str, Any] = {
        "section": "replay",
        "a": a,
        "b": b,
        "show": "all" if request.GET.get("show") == "all" else "differences",
        "choices": compare_view.newest_runs(),
    }
    if not (a and b):
        return render(request, "monitoring/compare.html", context)
    try:
        found = compare_view.comparison(a, b)
    except ComparisonRefused as error:
        status = 404 if error.code == "NOT_FOUND" else 422
        context["refused"] = error.message
        return render(request, "monitoring/compare.html", context, status=status)
    rows = found.rows if context["show"] == "all" else found.differing_rows()
    page = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    context |= {
        "found": found,
        "page": page,
        "rows": [compare_view.shown_row(row) for row in page],
        "first": compare_view.first_divergence(found),
        "parts": compare_view.parts(found),
        "curves": {"a": found.a.equity, "b": found.b.equity},
    }
    return render(request, "monitoring/compare.html", context)


@staff_page
def retention(request: HttpRequest, run_id: str = "") -> HttpResponse:
    """The runs of the retention job, and one of them file by file: the newest unless another is asked for."""
    runs = RetentionRun.objects.order_by("-timestamp", "-pk")
    shown = runs.filter(run_id=run_id).first() if run_id else runs.first()
    if run_id and shown is None:
        raise Http404("no such run")
    files = retention_view.files_of(shown.report) if shown else ()
    page = Paginator(files, FILES_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "retention",
        "runs": runs.defer("report")[:RUNS_LISTED],
        "shown": shown,
        "page": page,
        "ages": retention_view.ages(),
        "health": retention_health(retention_seen(), live.now_ms()),
    }
    return render(request, "monitoring/retention.html", context)


@staff_page
def replay(request: HttpRequest) -> HttpResponse:
    """Sessions, builds, runs, and what is replayed now; the page asks the API for all of it."""
    config = replay_jobs.replay_config()
    context = {
        "section": "replay",
        "symbols": live.fanout().symbols(),
        "max_events": config.max_events_per_session,
    }
    return render(request, "monitoring/replay.html", context)


@staff_page
def replay_run(request: HttpRequest, run_id: str) -> HttpResponse:
    """What one run came to: figures, equity, trades."""
    found = replay_reports.report_of(run_id)
    if found is None:
        raise Http404("no such run")
    return render(request, "monitoring/replay_run.html", {"section": "replay", **found})


def cleaned(form: forms.Form) -> dict[str, Any]:
    """Filters that are valid and said; a wrong one is shown at its field and left out."""
    form.is_valid()
    return {name: value for name, value in form.cleaned_data.items() if value}


def _table(
    request: HttpRequest,
    title: str,
    section: str,
    form: forms.Form,
    found: QuerySet[Any],
    columns: tuple[Column, ...],
    default_sort: str,
) -> HttpResponse:
    if request.GET.get("format") == "csv":
        rows = found.order_by(sort_of(request.GET, columns, default_sort))[:CSV_MAX_ROWS]
        answer = HttpResponse("".join(csv_lines(rows, columns)), content_type="text/csv")
        answer["Content-Disposition"] = f'attachment; filename="{section}.csv"'
        return answer
    table = make_table(found, request.GET, columns, default_sort=default_sort)
    context = {"section": section, "title": title, "form": form, "table": table}
    return render(request, "monitoring/table.html", context)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers; no secrets, no login."""
    return JsonResponse({"status": "ok"})
