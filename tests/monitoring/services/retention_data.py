"""A data folder in the making, for the tests of the retention job."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitoring.domain.retention_report import RetentionReport

NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)


class Tree:
    """A data folder in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, path: str, text: str = "{}\n", *, days_ago: float | None = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if days_ago is not None:
            at = (NOW - timedelta(days=days_ago)).timestamp()
            os.utime(file, (at, at))
        return file

    def add_session(self, name: str, days_ago: float, recordings: list[str]) -> None:
        to = NOW - timedelta(days=days_ago)
        manifest = {
            "sessionId": name,
            "createdAt": f"{to:%Y-%m-%dT%H:%M:%SZ}",
            "sourceDateRange": {
                "from": f"{to - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
                "to": f"{to:%Y-%m-%dT%H:%M:%SZ}",
            },
            "files": [{"path": path, "rows": 1, "sha256": ""} for path in recordings],
        }
        self.add(f"replay/sessions/{name}/manifest.json", json.dumps(manifest), days_ago=days_ago)
        self.add(f"replay/sessions/{name}/events.jsonl", days_ago=days_ago)
        self.add(f"replay/sessions/{name}/columns/0/price.npy", days_ago=days_ago)

    def files(self) -> list[str]:
        found = (p for p in self.root.rglob("*") if not p.is_dir() or p.is_symlink())
        return sorted(p.relative_to(self.root).as_posix() for p in found)


def day(days_ago: int) -> str:
    return f"{NOW - timedelta(days=days_ago):%Y-%m-%d}"


Run = Callable[..., RetentionReport]
