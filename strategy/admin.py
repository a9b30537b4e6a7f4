"""State events in the admin: history, so nothing can be added, changed or deleted."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from strategy.models import StateEventRecord


@admin.register(StateEventRecord)
class StateEventAdmin(ModelAdmin):
    list_display = ["timestamp", "symbol", "from_state", "to_state", "event_type", "reason"]
    list_filter = ["symbol", "to_state", "event_type"]
    search_fields = ["symbol", "reason", "run_id"]
    date_hierarchy = "timestamp"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
