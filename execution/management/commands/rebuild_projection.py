"""`manage.py rebuild_projection`: fold the order log into the tables of orders and trades again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from execution.services.projection import rebuild
from failover.services.archive_place import archive_folder


class Command(BaseCommand):
    help = "Rebuild the tables of orders, fills, positions and closed trades from the order log."

    def handle(self, **_: Any) -> None:
        lines = rebuild(archive_folder() / "orders")
        self.stdout.write(f"projected {lines} log line(s)")
