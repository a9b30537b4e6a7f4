"""How alive the services are, judged from their heartbeats alone (records.md, HealthSnapshot)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitoring.domain.lamps import ERROR, OK, WARN
from monitoring.domain.retention_health import RetentionSeen, retention_health
from monitoring.domain.times import iso_of_ms, ms_of_iso

SERVICES = ("market", "strategy", "execution", "web", "worker")
HEALTH_NAMES = {
    "market": "marketService",
    "strategy": "strategyService",
    "execution": "executionEngine",
    "web": "webDashboard",
    "worker": "workerService",
}

BEAT_MS = 1000
MISSED_BEATS_WARN = 2
MISSED_BEATS_ERROR = 3
LAG_WARN_MS = 500.0

_RANK = {OK: 0, WARN: 1, ERROR: 2}

Beat = Mapping[str, Any]


def service_lamp(beat: Beat | None, now_ms: int) -> dict[str, Any]:
    """One lamp of the overview: `{status, message, lastBeatMs, lagMs, phase, pid}`."""
    if beat is None:
        return {
            "status": ERROR, "message": "no heartbeat", "lastBeatMs": None, "lagMs": None,
            "phase": "DOWN", "pid": None,
        }  # fmt: skip
    last_ms = beat_ms(beat)
    status, message = _judge(beat, now_ms - last_ms)
    return {
        "status": status, "message": message, "lastBeatMs": last_ms,
        "lagMs": round(float(beat.get("lagMs") or 0.0), 1),
        "phase": str(beat.get("phase", "")), "pid": beat.get("pid"),
    }  # fmt: skip


def _judge(beat: Beat, age_ms: int) -> tuple[str, str]:
    phase, message = str(beat.get("phase", "")), str(beat.get("message") or "")
    if age_ms >= MISSED_BEATS_ERROR * BEAT_MS:
        return ERROR, f"no heartbeat for {age_ms // 1000} s"
    if age_ms >= MISSED_BEATS_WARN * BEAT_MS:
        return WARN, "heartbeat late"
    if phase == "STOPPED":
        return ERROR, message or "stopped"
    if phase != "RUNNING":
        return WARN, message or phase.lower()
    if float(beat.get("lagMs") or 0.0) > LAG_WARN_MS:
        return WARN, message or "event loop lags"
    if problem := _writing_problem(beat):
        return WARN, message or problem
    return OK, message


def _writing_problem(beat: Beat) -> str:
    """What the recorder or the archive of a service cannot write, "" while they can."""
    details = beat.get("details") or {}
    for name in ("recorder", "archive"):
        if problem := (details.get(name) or {}).get("problem"):
            return f"{name}: {problem}"
    return ""


def beat_ms(beat: Beat) -> int:
    """Epoch milliseconds of a heartbeat's ISO `ts`; 0, long ago, when it has none."""
    try:
        return ms_of_iso(str(beat.get("ts")))
    except ValueError:
        return 0


def overall(statuses: list[str]) -> str:
    """The worst of them."""
    return max(statuses, key=_RANK.__getitem__, default=OK)


def health_snapshot(
    beats: Mapping[str, Beat],
    now_ms: int,
    resources: Mapping[str, float | None],
    data_quality: Mapping[str, Any] | None = None,
    retention: RetentionSeen | None = None,
) -> dict[str, Any]:
    """`data/system/health_snapshot.json`.

    `resources` has cpuPct, rssMb, diskFreePct, busLagMs and dbLatencyMs; a latency of None is a dead one.
    `data_quality`: `{checkedAt, path, errors, warnings, problems}` of the last check of recordings.
    `retention`: None when it cannot be asked.
    """
    services: dict[str, Any] = {}
    for name, reported_as in HEALTH_NAMES.items():
        lamp = service_lamp(beats.get(name), now_ms)
        services[reported_as] = {
            "status": lamp["status"],
            "lastUpdateAt": iso_of_ms(lamp["lastBeatMs"]) if lamp["lastBeatMs"] else None,
            "message": lamp["message"],
            "details": dict((beats.get(name) or {}).get("details") or {}),
        }
    services["recorder"] = _recorder_health(beats.get("market"), data_quality, now_ms)
    services["retention"] = retention_health(retention, now_ms)
    services["bus"] = _resource_health(resources.get("busLagMs"), now_ms, 250.0)
    services["database"] = _resource_health(resources.get("dbLatencyMs"), now_ms, 500.0)
    return {
        "schemaVersion": 1,
        "timestamp": iso_of_ms(now_ms),
        "overall": overall([service["status"] for service in services.values()]),
        "services": services,
        "resources": dict(resources),
    }


def _resource_health(latency_ms: float | None, now_ms: int, warn_ms: float) -> dict[str, Any]:
    if latency_ms is None:
        return {"status": ERROR, "lastUpdateAt": iso_of_ms(now_ms), "message": "unreachable"}
    status = WARN if latency_ms > warn_ms else OK
    return {
        "status": status, "lastUpdateAt": iso_of_ms(now_ms),
        "message": f"answered in {latency_ms:.1f} ms",
    }  # fmt: skip


def _recorder_health(
    beat: Beat | None, quality: Mapping[str, Any] | None, now_ms: int
) -> dict[str, Any]:
    """Whether the market is being recorded, and whether what was recorded is whole."""
    lamp = service_lamp(beat, now_ms)
    details = dict(((beat or {}).get("details") or {}).get("recorder") or {})
    if quality is not None:
        details["dataQuality"] = dict(quality)
    if lamp["status"] == ERROR:
        status, message = ERROR, "nothing is recorded: the market service is not running"
    elif details.get("problem"):
        status, message = WARN, str(details["problem"])
    elif quality is not None and (quality["errors"] or quality["warnings"]):
        status = WARN
        message = f"{quality['path']}: {quality['errors']} errors, {quality['warnings']} warnings"
    else:
        status, message = OK, ""
    return {
        "status": status, "message": message, "details": details,
        "lastUpdateAt": iso_of_ms(lamp["lastBeatMs"]) if lamp["lastBeatMs"] else None,
    }  # fmt: skip
