"""Finished replays: figures and digest, so that two runs can be compared later."""

from __future__ import annotations

from django.db import models


class ReplayRun(models.Model):
    """One run of `run_replay`; `report` holds everything it printed, assumptions included."""

    run_id = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    mode = models.CharField(max_length=16, default="FULL_DECISION")
    recording = models.CharField(max_length=64)
    paths = models.JSONField(default=list)
    symbols = models.JSONField(default=list)
    range_from = models.DateTimeField()
    range_to = models.DateTimeField()
    config_version = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    complete = models.BooleanField(default=True)
    messages = models.BigIntegerField(default=0)
    frames = models.BigIntegerField(default=0)
    orders = models.IntegerField(default=0)
    fills = models.IntegerField(default=0)
    trades = models.IntegerField(default=0)
    fees_usdt = models.FloatField(default=0.0)
    gross_pnl_usdt = models.FloatField(default=0.0)
    net_pnl_usdt = models.FloatField(default=0.0)
    elapsed_s = models.FloatField(default=0.0)
    report = models.JSONField(default=dict)

    class Meta:
        verbose_name = "replay run"
        ordering = ["-created_at", "-id"]
        indexes = [
            # "has this been computed before, and did it come out the same?"
            models.Index(fields=["digest"], name="replay_run_by_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.digest[:12]}"


class BacktestRun(models.Model):
    """One finished `backtest`; `figures` holds verdict, result, statistics and sensitivity of report.json."""

    run_id = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    profile = models.CharField(max_length=128)
    config_version = models.CharField(max_length=128)
    folder = models.CharField(max_length=1024)
    symbols = models.JSONField(default=list)
    range_from = models.DateTimeField()
    range_to = models.DateTimeField()
    recordings = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    headline = models.CharField(max_length=255)
    trades = models.IntegerField(default=0)
    trials = models.IntegerField(default=1)
    net_pnl_usdt = models.FloatField(default=0.0)
    max_drawdown_usdt = models.FloatField(default=0.0)
    sharpe = models.FloatField(null=True)  # null: too few trades to say
    deflated_sharpe = models.FloatField(null=True)
    figures = models.JSONField(default=dict)

    class Meta:
        verbose_name = "backtest"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.run_id} {self.profile}"
