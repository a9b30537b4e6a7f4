"""What the strategy keeps in the database: its state events, as history."""

from __future__ import annotations

from django.db import models


class StateEventRecord(models.Model):
    """One transition of a symbol's state machine; (run_id, number) makes it unique."""

    run_id = models.CharField(max_length=40)
    number = models.BigIntegerField()
    timestamp = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    event_type = models.CharField(max_length=48)
    reason = models.TextField(blank=True)
    extra = models.JSONField(default=dict)

    class Meta:
        verbose_name = "state event"
        ordering = ["-timestamp", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["run_id", "number"], name="strategy_event_once")
        ]
        indexes = [
            # the symbol page: latest events of one symbol
            models.Index(fields=["symbol", "-timestamp"], name="strategy_event_by_symbol"),
            models.Index(fields=["-timestamp"], name="strategy_event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.from_state} -> {self.to_state} ({self.event_type})"
