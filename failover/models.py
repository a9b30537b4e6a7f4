"""What the floor keeps in the database: who did what by hand, and every version of the trading config."""

from __future__ import annotations

from typing import Any

from django.db import models


class AuditSource(models.TextChoices):
    API = "API"
    DASHBOARD = "DASHBOARD"
    CLI = "CLI"
    SOCKET = "SOCKET"
    SYSTEM = "SYSTEM"


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


class VersionStatus(models.TextChoices):
    """A proposed version waits for a decision; its document never changes."""

    SAVED = "SAVED"
    PROPOSED = "PROPOSED"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"


class ConfigVersion(models.Model):
    """One trading config as somebody wrote it; its number is its primary key. Never changed, never deleted.

    Which one is active is told by the newest `ConfigActivation`. Only `status` of a proposal moves on.
    """

    document = models.TextField(
        help_text="The JSON document, as text: what is left out has its default."
    )
    digest = models.CharField(
        max_length=32, help_text="Of `document`: a document changed behind our back is found out."
    )
    content = models.CharField(
        max_length=12, help_text="Name of what it says, defaults included; decisions carry it."
    )
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    author = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    note = models.TextField(blank=True)
    status = models.CharField(
        max_length=10, choices=VersionStatus.choices, default=VersionStatus.SAVED
    )
    evidence = models.JSONField(
        null=True,
        blank=True,
        help_text="Why a proposal was made: figures and where they come from.",
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "trading config version"
        permissions = (
            ("edit_config", "May save, activate and roll back versions of the trading config"),
        )

    def __str__(self) -> str:
        return f"v{self.pk} ({self.content})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises: TypeError for a version that is already written."""
        if not self._state.adding:
            raise TypeError("a config version is never changed: save a new one")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises: TypeError, always: decisions of the past name their version."""
        raise TypeError("a config version is never deleted")


class ConfigActivation(models.Model):
    """One activation. `sequence` counts from 1 without a hole: two at once cannot both be the next."""

    sequence = models.PositiveIntegerField(unique=True)
    version = models.ForeignKey(ConfigVersion, on_delete=models.PROTECT, related_name="activations")
    activated_at = models.DateTimeField()
    activated_by = models.CharField(max_length=150)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-sequence"]

    def __str__(self) -> str:
        return f"{self.activated_at:%Y-%m-%d %H:%M:%S} v{self.version_id} by {self.activated_by}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises: TypeError for an activation that is already written."""
        if not self._state.adding:
            raise TypeError("an activation is never changed")
        super().save(*args, **kwargs)
