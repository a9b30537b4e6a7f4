"""What the floor keeps in the database: who did what by hand."""

from __future__ import annotations

from typing import Any

from django.db import models


class AuditSource(models.TextChoices):
    API = "API"
    DASHBOARD = "DASHBOARD"
    CLI = "CLI"
    SOCKET = "SOCKET"


class AuditEntry(models.Model):
    """One manual action (spec: audit row). Written once, never changed."""

    timestamp = models.DateTimeField()
    actor = models.CharField(
        max_length=150, help_text="User name, or the system user of a command."
    )
    source = models.CharField(max_length=10, choices=AuditSource.choices)
    ip = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    result = models.CharField(max_length=200, help_text="OK, or why it was refused.")

    class Meta:
        ordering = ["-timestamp", "-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            # the audit page: latest first; and one action's history
            models.Index(fields=["-timestamp"], name="audit_latest"),
            models.Index(fields=["action", "-timestamp"], name="audit_action_latest"),
        ]

    def __str__(self) -> str:
        return (
            f"{self.timestamp:%Y-%m-%d %H:%M:%S} {self.actor}: {self.action} {self.target}".strip()
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises: TypeError for an entry that is already written."""
        if not self._state.adding:
            raise TypeError("an audit entry is never changed")
        super().save(*args, **kwargs)
