"""Instruments and checks of recordings in the admin: to look at, not to edit."""

from __future__ import annotations

from django.contrib import admin

from failover.admin import ReadOnlyAdmin
from market.models import InstrumentRules, RecordingCheckRun


@admin.register(InstrumentRules)
class InstrumentRulesAdmin(ReadOnlyAdmin):
    """Read-only list with filters and search."""

    list_display = [
        "symbol", "bybit_env", "status", "tick_size", "qty_step", "min_qty", "min_notional",
        "max_leverage", "funding_interval_min", "changed_at", "updated_at",
    ]  # fmt: skip
    list_filter = ["bybit_env", "status", "funding_interval_min"]
    search_fields = ["symbol", "base_coin"]


@admin.register(RecordingCheckRun)
class RecordingCheckRunAdmin(ReadOnlyAdmin):
    """Data quality: what each check of the recorded files found."""

    list_display = [
        "timestamp", "path", "source", "files", "rows", "errors", "warnings", "problems", "seconds",
    ]  # fmt: skip
    list_filter = ["source"]
    search_fields = ["path"]
    date_hierarchy = "timestamp"
