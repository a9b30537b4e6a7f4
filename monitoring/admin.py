"""Runs of the retention job: history, so nothing can be added, changed or deleted."""

from __future__ import annotations

from django.contrib import admin

from failover.admin import ReadOnlyAdmin
from monitoring.models import RetentionRun


@admin.register(RetentionRun)
class RetentionRunAdmin(ReadOnlyAdmin):
    list_display = [
        "timestamp", "run_id", "dry_run", "deleted", "freed_bytes", "kept", "foreign", "errors",
        "failure",
    ]  # fmt: skip
    list_filter = ["dry_run"]
    search_fields = ["run_id"]
    date_hierarchy = "timestamp"
