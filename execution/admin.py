"""Read-only history in the admin: the log is the record, these rows only show it."""

from __future__ import annotations

from django.contrib import admin

from execution.models import ClosedTrade, Fill, OrderQuality, OrderRow, Position
from failover.admin import ReadOnlyAdmin


class HistoryAdmin(ReadOnlyAdmin):
    """Look, filter, search; never add, change or delete."""

    list_per_page = 50
    show_full_result_count = False


@admin.register(OrderRow)
class OrderRowAdmin(HistoryAdmin):
    list_display = (
        "created_at", "symbol", "leg", "side", "type", "price", "trigger_price", "qty", "filled_qty",
        "avg_fill_price", "status", "source", "last_error",
    )  # fmt: skip
    list_filter = ("status", "leg", "symbol", "side", "type", "mode")
    search_fields = ("client_order_id", "exchange_order_id", "plan_id", "request_id")
    date_hierarchy = "created_at"


@admin.register(Fill)
class FillAdmin(HistoryAdmin):
    list_display = (
        "timestamp", "symbol", "leg", "side", "price", "qty", "fee", "is_maker", "exec_id",
    )  # fmt: skip
    list_filter = ("symbol", "leg", "is_maker", "side")
    search_fields = ("exec_id", "client_order_id", "plan_id")
    date_hierarchy = "timestamp"


@admin.register(Position)
class PositionAdmin(HistoryAdmin):
    list_display = ("symbol", "side", "qty", "avg_entry", "stop_price", "plan_id", "updated_at")
    list_filter = ("side",)
    search_fields = ("symbol", "plan_id")


@admin.register(ClosedTrade)
class ClosedTradeAdmin(HistoryAdmin):
    list_display = (
        "timestamp", "symbol", "side", "entry_price", "close_price", "qty", "realized_pnl", "fees",
        "exit_reason", "duration_seconds", "mfe", "mae", "mode",
    )  # fmt: skip
    list_filter = ("symbol", "side", "exit_reason", "mode", "date_key")
    search_fields = ("plan_id", "request_id")
    date_hierarchy = "timestamp"


@admin.register(OrderQuality)
class OrderQualityAdmin(HistoryAdmin):
    list_display = (
        "timestamp", "symbol", "leg", "side", "outcome", "fill_ratio", "time_to_fill_ms",
        "decision_slippage_bps", "touch_slippage_bps", "markout1s_bps", "markout5s_bps",
        "markout30s_bps", "reason",
    )  # fmt: skip
    list_filter = ("symbol", "leg", "outcome", "mode")
    search_fields = ("client_order_id", "plan_id", "request_id")
    date_hierarchy = "timestamp"
