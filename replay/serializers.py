"""Bodies, queries and answers of the replay API (phase 12 §10)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from replay.domain.replay_status import MAX_SPEED, MIN_SPEED
from replay.domain.sessions import EVENT_TYPES

PAGE_SIZE = 50
MODES = ("SCORING_ONLY", "FULL_DECISION", "VERIFY")
_SESSION_ID_HELP = "For example 2025-11-18T10-11-BTCUSDT-AI16ZUSDT."


class _Strict(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt name must not be taken for a default."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if unknown := [str(name)[:60] for name in data if name not in self.fields]:
            raise serializers.ValidationError({name: ["unknown field"] for name in unknown[:10]})
        return values


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "enum": ["max"]}]})
class SpeedField(serializers.Field[Any, Any, Any, Any]):
    """Market seconds per second, or "max": as fast as it goes (None inside and in answers)."""

    def to_internal_value(self, data: Any) -> float | None:
        if data == "max":
            return None
        is_number = isinstance(data, int | float) and not isinstance(data, bool)
        # Compared as it is: an integer may be too long for a float, and NaN is in no range.
        if not is_number or not MIN_SPEED <= data <= MAX_SPEED:
            raise serializers.ValidationError(
                f'must be a number from {MIN_SPEED:g} to {MAX_SPEED:g}, or "max"'
            )
        return float(data)

    def to_representation(self, value: Any) -> Any:
        return value


def _time(**options: Any) -> serializers.CharField:
    return serializers.CharField(
        max_length=40, help_text="ISO-8601; without a zone UTC.", **options
    )


def _session_id(**options: Any) -> serializers.CharField:
    return serializers.CharField(max_length=120, help_text=_SESSION_ID_HELP, **options)


class BuildBody(_Strict):
    """Phase 12 §10.3."""

    locals()["from"] = _time()
    to = _time()
    symbols = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=500
    )
    includeTypes = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=10,
        default=list(EVENT_TYPES),
    )  # fmt: skip
    maxEvents = serializers.IntegerField(
        min_value=1, max_value=10**12, allow_null=True, default=None,
        help_text="Null: config replay.maxEventsPerSession.",
    )  # fmt: skip
    sessionId = _session_id(allow_null=True, default=None)
    notes = serializers.CharField(max_length=2000, allow_null=True, allow_blank=True, default=None)


class RunBody(_Strict):
    """Phase 12 §10.4, and what it says nothing of: where to begin, and whether beside live trading."""

    sessionId = _session_id()
    speedFactor = SpeedField(required=False, help_text="Default: the session's own.")
    injectMode = serializers.ChoiceField(
        choices=MODES, required=False, help_text="Default: config replay.mode."
    )
    loop = serializers.BooleanField(default=False)
    paused = serializers.BooleanField(default=False, help_text="Begin paused.")
    isolated = serializers.BooleanField(
        default=False,
        help_text="Beside live trading: the dashboard stays live, only results are kept.",
    )
    locals()["from"] = _time(required=False, allow_null=True, default=None)
    config = serializers.RegexField(
        r"^(active|default|demo|v[0-9]{1,9})\Z",
        default="active",
        help_text="The trading config it decides with.",
    )


class JobBody(_Strict):
    jobId = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=2**62,
        help_text="Default: the replay of the shared system.",
    )  # fmt: skip


class SpeedBody(JobBody):
    speedFactor = SpeedField()


class LoopBody(JobBody):
    loop = serializers.BooleanField()


class SeekBody(JobBody):
    to = _time()


class ReplayRunsQuery(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, max_value=10_000, default=1)
    sessionId = _session_id(required=False)


class ImportQuery(serializers.Serializer[Any]):
    sessionId = _session_id(required=False)


class ReplayErrorBody(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    fields_ = serializers.DictField(
        required=False, source="fields", help_text="Named `fields`: reasons by field."
    )


class ReplayErrorAnswer(serializers.Serializer[Any]):
    error = ReplayErrorBody()


class ReplayManifest(serializers.Serializer[Any]):
    """ReplayManifest of phase 12 §6 with its additions (docs/replay.md)."""

    sessionId = serializers.CharField()
    createdAt = serializers.DateTimeField()
    createdBy = serializers.CharField()
    sourceDateRange = serializers.DictField()
    symbols = serializers.ListField(child=serializers.CharField())
    eventTypes = serializers.ListField(child=serializers.CharField())
    speedFactor = serializers.FloatField()
    totalEvents = serializers.IntegerField()
    notes = serializers.CharField(allow_null=True)
    digest = serializers.CharField()


class SessionList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    sessions = ReplayManifest(many=True)
    broken = serializers.DictField(help_text="Folders that cannot be read, and why.")


class BuildJobAnswer(serializers.Serializer[Any]):
    """How far a build is; `state` QUEUED, RUNNING, DONE, STOPPED, FAILED or LOST."""

    jobId = serializers.IntegerField()
    state = serializers.CharField()
    statusUrl = serializers.CharField()
    sessionId = serializers.CharField()
    phase = serializers.CharField()
    progressPct = serializers.FloatField()
    events = serializers.IntegerField()
    lastEventTimestamp = serializers.DateTimeField(allow_null=True)
    etaSeconds = serializers.FloatField(allow_null=True)
    requestedBy = serializers.CharField()
    requestedAt = serializers.DateTimeField()
    startedAt = serializers.DateTimeField(allow_null=True)
    endedAt = serializers.DateTimeField(allow_null=True)
    error = ReplayErrorBody(allow_null=True)


class BuildList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    builds = BuildJobAnswer(many=True)


class OrderAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    jobId = serializers.IntegerField(allow_null=True)


class ReplayStatusAnswer(serializers.Serializer[Any]):
    """ReplayStatus of phase 12 §8.2 and more; of the shared replay, or the last one there was."""

    sessionId = serializers.CharField(allow_null=True)
    running = serializers.BooleanField()
    currentEventIndex = serializers.IntegerField()
    totalEvents = serializers.IntegerField()
    startedAt = serializers.DateTimeField(allow_null=True)
    lastEventTimestamp = serializers.DateTimeField(allow_null=True)
    speedFactor = serializers.FloatField(allow_null=True, help_text="Null: as fast as it goes.")
    paused = serializers.BooleanField()
    mode = serializers.CharField(allow_null=True)
    progressPct = serializers.FloatField()
    etaSeconds = serializers.FloatField(allow_null=True)
    runId = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    jobId = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(allow_null=True)
    runMode = serializers.ChoiceField(choices=("LIVE", "REPLAY"))
    isolated = serializers.ListField(
        child=serializers.DictField(), help_text="The same of each isolated replay under way."
    )


class RunRow(serializers.Serializer[Any]):
    runId = serializers.CharField()
    createdAt = serializers.DateTimeField()
    sessionId = serializers.CharField(allow_null=True)
    mode = serializers.CharField()
    state = serializers.CharField()
    symbols = serializers.ListField(child=serializers.CharField())
    trades = serializers.IntegerField()
    netPnl = serializers.FloatField()
    digest = serializers.CharField()
    error = serializers.CharField()


class RunList(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    runs = RunRow(many=True)
    count = serializers.IntegerField()
    page = serializers.IntegerField()
    pageSize = serializers.IntegerField()


class RunDetail(RunRow):
    report = serializers.DictField(allow_null=True)
