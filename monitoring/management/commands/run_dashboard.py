"""`manage.py run_dashboard`: pages, API and websockets under Daphne, in the service host."""

from __future__ import annotations

import time
import warnings
from typing import Any

from channels.routing import get_default_application
from django.conf import settings
from redis.asyncio import Redis

from failover.management.base import ServiceCommand
from failover.services.host import ServiceContext
from monitoring.adapters.daphne_server import start_server
from monitoring.services import live
from monitoring.services.fanout import Fanout
from monitoring.services.health import keep_health_file


class Command(ServiceCommand):
    help = "Serve the dashboard, its API and its websockets."
    service = "web"

    async def start(self, context: ServiceContext, bus: Redis, **options: Any) -> None:
        # Static files are small; Django reads them whole under ASGI and would warn each time.
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
        environment = settings.ENVIRONMENT
        server = start_server(get_default_application(), environment.web_host, environment.web_port)
        fanout = live.ensure_running()
        context.spawn(_report_latency(context, fanout), name="latency")
        health = context.spawn(keep_health_file(), name="health-file")
        context.on_drain(server.close)
        context.on_drain(live.stop)
        context.spawn(_cancel_when_stopping(context, health), name="health-file-end")


async def _report_latency(context: ServiceContext, fanout: Fanout) -> None:
    while not await context.sleep(1.0):
        context.report(details={"latency": fanout.latency.summary(time.time_ns())})


async def _cancel_when_stopping(context: ServiceContext, task: Any) -> None:
    await context.stopping.wait()
    task.cancel()
