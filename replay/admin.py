"""Replays and backtests: results, so nothing can be added or changed; old ones may be deleted."""

from __future__ import annotations

from django.contrib import admin

from failover.admin import ReadOnlyAdmin, RecordAdmin
from replay.models import BacktestRun, ReplayJob, ReplayRun, ReplaySession, RunModeRow, SessionBuild


@admin.register(ReplayRun)
class ReplayRunAdmin(RecordAdmin):
    list_display = [
        "created_at", "recording", "symbols", "messages", "trades", "net_pnl_usdt", "config_version",
        "complete", "digest",
    ]  # fmt: skip
    list_filter = ["recording", "config_version", "complete"]
    search_fields = ["run_id", "digest", "config_version"]
    date_hierarchy = "created_at"


@admin.register(BacktestRun)
class BacktestRunAdmin(RecordAdmin):
    list_display = [
        "created_at", "profile", "headline", "trades", "net_pnl_usdt", "max_drawdown_usdt",
        "deflated_sharpe", "trials", "symbols", "failures",
    ]  # fmt: skip
    list_filter = ["profile", "config_version"]
    search_fields = ["run_id", "profile", "config_version", "headline"]
    date_hierarchy = "created_at"


@admin.register(ReplaySession)
class ReplaySessionAdmin(ReadOnlyAdmin):
    """A mirror of the session folders: `manage.py sessions` and the replay page change those."""

    list_display = [
        "session_id", "range_from", "range_to", "symbols", "total_events", "truncated", "created_by",
        "digest",
    ]  # fmt: skip
    list_filter = ["created_by", "truncated"]
    search_fields = ["session_id", "digest", "notes"]
    date_hierarchy = "range_from"


@admin.register(SessionBuild)
class SessionBuildAdmin(RecordAdmin):
    list_display = [
        "id", "session_id", "state", "progress_pct", "events", "requested_by", "requested_at",
        "error_code",
    ]  # fmt: skip
    list_filter = ["state", "error_code"]
    search_fields = ["session_id", "error"]


@admin.register(ReplayJob)
class ReplayJobAdmin(RecordAdmin):
    list_display = [
        "requested_at", "session_id", "mode", "isolated", "state", "requested_by", "run_id", "error",
    ]  # fmt: skip
    list_filter = ["state", "mode", "isolated"]
    search_fields = ["session_id", "run_id", "requested_by"]
    date_hierarchy = "requested_at"


@admin.register(RunModeRow)
class RunModeAdmin(ReadOnlyAdmin):
    """Only to be looked at: it is changed by starting and stopping replays."""

    list_display = ["run_mode", "session_id", "since", "by", "epoch", "beats", "speed_factor"]
