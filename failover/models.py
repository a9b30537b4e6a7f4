"""What the floor keeps in the database: who did what by hand, every version of the trading config, and an
index of the decision journal's files.
"""

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


class JournalFile(models.Model):
    """One file of the decision journal: one run of a core on one UTC day.

    Made from the file by `failover.services.journal_index`, at any time anew. `read_bytes` and the
    numbers are how far it has read.
    """

    core = models.CharField(max_length=60)
    run_id = models.CharField("run", max_length=190)
    day = models.DateField("UTC day")
    path = models.CharField(max_length=300, unique=True, help_text="Within the data folder.")
    first_at = models.DateTimeField("first instant", null=True, blank=True, help_text="Core time.")
    last_at = models.DateTimeField("last instant", null=True, blank=True, help_text="Core time.")
    records = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    checkpoints = models.PositiveIntegerField(
        default=0, help_text="Whole states of the core, from which a verification may go on."
    )
    missing_records = models.PositiveBigIntegerField(
        default=0, help_text="Dropped by the writer, or numbered and not there."
    )
    damaged_bytes = models.PositiveBigIntegerField(
        default=0, help_text="Between whole blocks: they cannot be read."
    )
    torn_bytes = models.PositiveBigIntegerField(
        default=0,
        help_text="After the last whole block, set aside or not: what a kill cut short, or damage.",
    )
    is_complete = models.BooleanField(
        "complete",
        default=False,
        help_text="The run ended in order here, or went on in the next day's file.",
    )
    is_open = models.BooleanField(
        "open", default=False, help_text="Its writer had it open when it was last looked at."
    )
    indexed_at = models.DateTimeField(help_text="When the row last changed.")
    read_bytes = models.PositiveBigIntegerField(default=0, help_text="Indexed up to this place.")
    first_number = models.PositiveBigIntegerField(null=True, blank=True)
    last_number = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = "journal file"
        ordering = ["-day", "core", "run_id"]
        indexes = [
            # the list by core; and the days of one run
            models.Index(fields=["core", "-day"], name="journal_core_latest"),
            models.Index(fields=["run_id", "day"], name="journal_run_days"),
        ]

    def __str__(self) -> str:
        return f"{self.core} {self.run_id} {self.day}"
