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


class JobState(models.TextChoices):
    """A job moves forward through them; the last four are ends."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    LOST = "LOST"


ENDED_STATES = (JobState.DONE, JobState.STOPPED, JobState.FAILED, JobState.LOST)


class ReplayJob(models.Model):
    """One order to replay a session, how far its engine is, and what is wanted of it meanwhile.

    The engine writes the first part, whoever operates it the part named `wanted_*`; `order_number` counts
    what was wanted, so that the engine sees each order once.
    """

    session_id = models.CharField(max_length=120)
    mode = models.CharField(max_length=16)
    isolated = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    config = models.CharField(max_length=64, default="active", help_text="Config it decides with.")
    epoch = models.BigIntegerField(default=0, help_text="Of the run mode it holds; 0 = isolated.")
    run_id = models.CharField(
        max_length=40, blank=True, help_text="The lap under way, or the last."
    )
    run_ids = models.JSONField(default=list, help_text="All laps, oldest first.")
    status = models.JSONField(default=dict, help_text="ReplayStatus as of the last beat.")
    beats = models.BigIntegerField(default=0)
    error = models.TextField(blank=True)
    wanted_speed = models.FloatField(null=True, help_text="Null = as fast as it goes.")
    wanted_pause = models.BooleanField(default=False)
    wanted_loop = models.BooleanField(default=False)
    wanted_stop = models.BooleanField(default=False)
    wanted_seek_ns = models.BigIntegerField(null=True)
    order_number = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "replay job"
        ordering = ["-id"]
        indexes = [
            # what is under way; and the history of a session
            models.Index(fields=["state"], name="replay_job_by_state"),
            models.Index(fields=["session_id", "-id"], name="replay_job_by_session"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.session_id} {self.state}"


class RunModeRow(models.Model):
    """The one row (id 1) that says which market the shared system lives on.

    Every change is a conditional update on `epoch`: a holder that was given up can write nothing more.
    """

    run_mode = models.CharField(max_length=6, default="LIVE")
    epoch = models.BigIntegerField(default=0)
    job = models.ForeignKey(ReplayJob, null=True, on_delete=models.SET_NULL, related_name="+")
    session_id = models.CharField(max_length=120, blank=True)
    since = models.DateTimeField(null=True)
    by = models.CharField(max_length=150, blank=True)
    beats = models.BigIntegerField(default=0)
    speed_factor = models.FloatField(null=True)
    paused = models.BooleanField(default=False)
    market_ts = models.CharField(max_length=40, blank=True)
    start_timeout_s = models.FloatField(default=60.0)
    heartbeat_timeout_s = models.FloatField(default=10.0)

    class Meta:
        verbose_name = "run mode"

    def __str__(self) -> str:
        return f"{self.run_mode} {self.session_id}".strip()


class ReplaySession(models.Model):
    """The manifest of one session folder, for lists and the admin; the files are the truth.

    `manage.py rebuild_session_rows` makes the rows anew from the folders.
    """

    session_id = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=16)
    range_from = models.DateTimeField()
    range_to = models.DateTimeField()
    symbols = models.JSONField(default=list)
    event_types = models.JSONField(default=list)
    speed_factor = models.FloatField()
    total_events = models.BigIntegerField()
    truncated = models.BooleanField(default=False)
    notes = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    config_version = models.CharField(max_length=128, blank=True)
    manifest = models.JSONField(default=dict)

    class Meta:
        verbose_name = "replay session"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.session_id


class SessionBuild(models.Model):
    """One order to build a session, and how far it is. `beat_at` is old where its process died."""

    session_id = models.CharField(max_length=120, blank=True)
    options = models.JSONField(default=dict, help_text="BuildReplayOptions as they were asked for.")
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    requested_by = models.CharField(max_length=150, blank=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    phase = models.CharField(max_length=12, blank=True)
    progress_pct = models.FloatField(default=0.0)
    events = models.BigIntegerField(default=0)
    last_event = models.CharField(max_length=40, blank=True)
    wanted_stop = models.BooleanField(default=False)
    error_code = models.CharField(max_length=20, blank=True)
    error = models.TextField(blank=True)
    error_fields = models.JSONField(default=dict)

    class Meta:
        verbose_name = "session build"
        ordering = ["-id"]
        indexes = [
            # what is under way
            models.Index(fields=["state"], name="session_build_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.session_id} {self.state}"
