"""The worker as a real process on a real Valkey over its unix socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import redis
from django.conf import settings

from failover.adapters.heartbeats import _DECODER, heartbeat_key

ROOT = Path(__file__).parents[2]
APP = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scalper_site.settings")
app = Celery("tests")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 0.3}}

@app.task(name="tick")
def tick():
    pass

@app.task(name="write")
def write(path, text):
    open(path, "w").write(text)

@app.task(name="fail")
def fail():
    raise ValueError("the task's reason")
"""


def test_the_worker_runs_tasks_and_its_clock_beats_and_stops_warmly(
    valkey: str, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """Tasks go over the unix socket under the key prefix: broker, results and clock in one process."""
    (tmp_path / "workerapp.py").write_text(APP)
    (tmp_path / "worker_settings.py").write_text(
        'from scalper_site.settings import *\nCELERY_APP = "workerapp:app"\n'
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "worker_settings",
    }
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_worker"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            send = (
                "from workerapp import app; r = app.send_task('write', [{path!r}, 'done']);"
                "r.get(timeout=60); app.send_task('fail')"
            ).format(path=str(tmp_path / "result"))
            subprocess.run([sys.executable, "-c", send], cwd=ROOT, env=environment, check=True)

            def beat() -> Any:
                value = client.get(heartbeat_key(settings.BUS_PREFIX, "worker"))
                return value and _DECODER.decode(value)

            counted = eventually(
                lambda: (
                    (b := beat())
                    and b.details.get("tasksFailed") == 1
                    and b.details["tasksDone"] >= 3  # the written file and at least two ticks
                    and b
                ),
                within_s=60,
            )
            keys = {key.decode() for key in client.keys("*")}
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=90)
        finally:
            process.kill()
            process.communicate()

    assert (tmp_path / "result").read_text() == "done"
    assert counted.phase == "RUNNING"
    assert children == []
    assert all(key.startswith(f"{settings.ENVIRONMENT.service_cluster_id}:") for key in keys), keys
    assert process.returncode == 0, log
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    events = [record["event"] for record in records]
    assert events[-1] == "service_stopped"
    assert "task_failed" in events
    assert list((settings.DATA_DIR / "run").glob("celerybeat-schedule*"))
