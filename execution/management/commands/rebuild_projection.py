"""`manage.py rebuild_projection`: empty the tables of orders and trades, fold the order log into them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from execution.services.projection import rebuild


class Command(BaseCommand):
    help = "Rebuild the tables of orders, fills, positions and closed trades from the order log."

    def handle(self, **_: Any) -> None:
        lines = rebuild(settings.DATA_DIR / "orders")
        self.stdout.write(f"projected {lines} log line(s)")
