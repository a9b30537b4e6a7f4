"""What the market keeps in the database: the instrument rules last seen, the checks of its recordings."""

from __future__ import annotations

from django.db import models


class InstrumentRules(models.Model):
    """Trading rules of one symbol as the venue last stated them; a fact, not a setting.

    Decimals are kept as the text they came as: SQLite would turn them into binary floats.
    """

    bybit_env = models.CharField("environment", max_length=8)
    symbol = models.CharField(max_length=40)
    base_coin = models.CharField(max_length=24)
    quote_coin = models.CharField(max_length=24)
    status = models.CharField(max_length=16)
    tick_size = models.CharField(max_length=40)
    qty_step = models.CharField("quantity step", max_length=40)
    min_qty = models.CharField("minimum quantity", max_length=40)
    max_qty = models.CharField("maximum quantity", max_length=40)
    max_market_qty = models.CharField("maximum market quantity", max_length=40)
    min_notional = models.CharField("minimum notional, USDT", max_length=40)
    min_price = models.CharField("lowest price", max_length=40)
    max_price = models.CharField("highest price", max_length=40)
    min_leverage = models.CharField(max_length=40)
    max_leverage = models.CharField(max_length=40)
    leverage_step = models.CharField(max_length=40)
    price_scale = models.PositiveSmallIntegerField()
    funding_interval_min = models.PositiveIntegerField("funding interval, min")
    updated_at = models.DateTimeField("last seen")
    changed_at = models.DateTimeField("last changed")

    class Meta:
        verbose_name = "instrument"
        verbose_name_plural = "instruments"
        ordering = ["bybit_env", "symbol"]
        constraints = [
            models.UniqueConstraint(
                fields=["bybit_env", "symbol"], name="one_rule_set_per_env_and_symbol"
            )
        ]

    def __str__(self) -> str:
        return f"{self.symbol} ({self.bybit_env})"


class RecordingCheckRun(models.Model):
    """One check of recorded files: a `RecordingReport`, and what the archiver did with them.

    Rows are written once and never changed.
    """

    timestamp = models.DateTimeField("checked at", db_index=True)
    source = models.CharField(max_length=8)  # COMMAND or JOB
    path = models.CharField(max_length=500)
    files = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField()
    bytes = models.PositiveBigIntegerField("bytes, uncompressed")
    errors = models.PositiveIntegerField()
    warnings = models.PositiveIntegerField()
    problems = models.JSONField("findings by kind")
    findings = models.JSONField("first findings of each kind and file")
    archived = models.JSONField("what became of each file", default=list)
    seconds = models.FloatField("duration, s")

    class Meta:
        verbose_name = "recording check"
        verbose_name_plural = "recording checks"
        ordering = ["-timestamp", "-id"]

    def __str__(self) -> str:
        return f"{self.path}: {self.errors} errors, {self.warnings} warnings"
