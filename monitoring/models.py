"""Who may do what, and what the retention job did."""

from __future__ import annotations

from django.db import models


class OperatorRights(models.Model):
    """Carries the permission to command execution; there is no table behind it."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (("operate", "May command execution: panic, cancel, safe mode, trading"),)

    def __str__(self) -> str:
        return "operator rights"


class RetentionRun(models.Model):
    """One run of the retention job; `report` is its RetentionReport (phase 12 §9)."""

    run_id = models.CharField(max_length=40, unique=True)
    timestamp = models.DateTimeField(help_text="The time that ages were counted from.")
    dry_run = models.BooleanField(default=False)
    deleted = models.IntegerField(default=0)
    kept = models.IntegerField(default=0)
    foreign = models.IntegerField(default=0, help_text="Kept because they are not ours.")
    errors = models.IntegerField(default=0)
    freed_bytes = models.BigIntegerField(default=0)
    failure = models.TextField(
        blank=True, default="", help_text="Why it ended without looking at every file."
    )
    report = models.JSONField(default=dict)

    class Meta:
        verbose_name = "retention run"
        ordering = ["-timestamp", "-id"]
        indexes = [
            # the page and the API: latest first
            models.Index(fields=["-timestamp"], name="retention_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.timestamp:%Y-%m-%d %H:%M}"
