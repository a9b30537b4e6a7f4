"""The ORM projection of execution: history for the screen, never asked by the order path.

Written by `execution.services.projection` from the order log, and rebuilt from it by
`manage.py rebuild_projection`. Rows are facts: nobody edits them.
"""

from __future__ import annotations

from django.db import models


class OrderRow(models.Model):
    """ExecutionOrder (phase 10 §3.6) plus leg, plan and request: the newest state of each order."""

    client_order_id = models.CharField(max_length=36, unique=True)
    exchange_order_id = models.CharField(max_length=64, blank=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=20)
    time_in_force = models.CharField(max_length=10)
    price = models.FloatField(null=True)
    trigger_price = models.FloatField(null=True)
    qty = models.FloatField()
    reduce_only = models.BooleanField(default=False)
    status = models.CharField(max_length=20)
    state = models.CharField(max_length=20)
    filled_qty = models.FloatField(default=0.0)
    avg_fill_price = models.FloatField(null=True)
    notional_usd = models.FloatField(default=0.0)
    leg = models.CharField(max_length=8)
    plan_id = models.CharField(max_length=80, blank=True)
    request_id = models.CharField(max_length=80, blank=True)
    attempt = models.PositiveIntegerField(default=1)
    source = models.CharField(max_length=20)
    mode = models.CharField(max_length=8)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = "order"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["symbol", "-created_at"]),  # a symbol's page
            models.Index(fields=["status", "-created_at"]),  # open orders, and the table's filter
            models.Index(fields=["plan_id"]),  # a trade opened to its orders
        ]

    def __str__(self) -> str:
        return f"{self.leg} {self.side} {self.qty:g} {self.symbol} {self.status}"


class Fill(models.Model):
    """One execution, known by `exec_id`."""

    exec_id = models.CharField(max_length=80, unique=True)
    client_order_id = models.CharField(max_length=36, db_index=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    leg = models.CharField(max_length=8, blank=True)
    plan_id = models.CharField(max_length=80, blank=True, db_index=True)
    price = models.FloatField()
    qty = models.FloatField()
    fee = models.FloatField()
    is_maker = models.BooleanField()
    timestamp = models.DateTimeField()

    class Meta:
        ordering = ["-timestamp", "-id"]
        indexes = [models.Index(fields=["symbol", "-timestamp"])]  # fills drawn on a chart

    def __str__(self) -> str:
        return f"{self.side} {self.qty:g} {self.symbol} @ {self.price:g}"


class Position(models.Model):
    """The newest state of each symbol's position; `qty` 0 = flat."""

    symbol = models.CharField(max_length=32, unique=True)
    side = models.CharField(max_length=5)
    qty = models.FloatField()
    avg_entry = models.FloatField(null=True)
    stop_price = models.FloatField(null=True)
    tps = models.JSONField(default=list)
    plan_id = models.CharField(max_length=80, blank=True)
    request_id = models.CharField(max_length=80, blank=True)
    opened_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["symbol"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {self.qty:g}"


class ClosedTrade(models.Model):
    """TradeLogRecord (phase 12 §3.2) plus costs, reasons and slippage; one row a plan."""

    plan_id = models.CharField(max_length=80, unique=True)
    request_id = models.CharField(max_length=80, blank=True)
    timestamp = models.DateTimeField(help_text="When it was flat.")
    date_key = models.CharField(max_length=10)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=5)
    entry_price = models.FloatField()
    close_price = models.FloatField()
    qty = models.FloatField()
    leverage = models.FloatField()
    realized_pnl = models.FloatField(help_text="USDT, net of fees and funding.")
    mfe = models.FloatField(help_text="Best excursion, quote coin per unit.")
    mae = models.FloatField(help_text="Worst excursion, quote coin per unit (<= 0).")
    duration_seconds = models.FloatField()
    mode = models.CharField(max_length=8)
    opened_at = models.DateTimeField()
    fees = models.FloatField(default=0.0)
    funding = models.FloatField(default=0.0)
    entry_reasons = models.TextField(blank=True)
    slippage_bps = models.FloatField(null=True)
    exit_reason = models.CharField(max_length=80, blank=True)
    required_hit_rate = models.FloatField(null=True)

    class Meta:
        ordering = ["-timestamp", "-id"]
        indexes = [
            models.Index(fields=["symbol", "-timestamp"]),  # a symbol's page
            models.Index(fields=["date_key"]),  # the day's result
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {self.realized_pnl:+.4f}"


class OrderQuality(models.Model):
    """How one order was carried out (pipeline §8); written once its last markout is in.

    Slippage is a cost: positive is worse for us. A markout is a gain: positive is in our favour.
    """

    client_order_id = models.CharField(max_length=36, unique=True)
    timestamp = models.DateTimeField(help_text="When the record was complete.")
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    leg = models.CharField(max_length=8)
    plan_id = models.CharField(max_length=80, blank=True, db_index=True)
    request_id = models.CharField(max_length=80, blank=True)
    mode = models.CharField(max_length=8)
    config_version = models.CharField(max_length=80, blank=True)
    outcome = models.CharField(max_length=20)
    reason = models.TextField(blank=True)
    placed_at = models.DateTimeField()
    arrived_at = models.DateTimeField(null=True)
    first_fill_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    qty = models.FloatField()
    filled_qty = models.FloatField()
    maker_qty = models.FloatField()
    avg_fill_price = models.FloatField(null=True)
    decision_price = models.FloatField(
        null=True, help_text="Mid at the decision; of a stop its trigger price."
    )
    arrival_touch = models.FloatField(
        null=True, help_text="Touch it took from, or joined, when the venue first spoke of it."
    )
    fill_ratio = models.FloatField(null=True)
    time_to_fill_ms = models.FloatField(null=True, help_text="To the first fill, ms.")
    decision_slippage_bps = models.FloatField(null=True)
    touch_slippage_bps = models.FloatField(null=True)
    markout1s_bps = models.FloatField(null=True)
    markout5s_bps = models.FloatField(null=True)
    markout30s_bps = models.FloatField(null=True)

    class Meta:
        verbose_name = "order quality"
        verbose_name_plural = "order quality"
        ordering = ["-timestamp", "-id"]
        indexes = [models.Index(fields=["symbol", "-timestamp"])]  # a symbol's page

    def __str__(self) -> str:
        return f"{self.leg} {self.side} {self.symbol} {self.outcome}"


class ProjectionMark(models.Model):
    """How far the order log has been projected; moved in the transaction that writes the rows."""

    name = models.CharField(max_length=20, unique=True, default="orders")
    log_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} up to {self.log_seq}"
