"""State events in the admin: history, so nothing can be added, changed or deleted."""

from __future__ import annotations

from django.contrib import admin

from failover.admin import ReadOnlyAdmin
from strategy.models import StateEventRecord


@admin.register(StateEventRecord)
class StateEventAdmin(ReadOnlyAdmin):
    list_display = ["timestamp", "symbol", "from_state", "to_state", "event_type", "reason"]
    list_filter = ["symbol", "to_state", "event_type"]
    search_fields = ["symbol", "reason", "run_id"]
    date_hierarchy = "timestamp"
