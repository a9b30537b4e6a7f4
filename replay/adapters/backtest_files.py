"""The folder of a report: made before the work begins, filled whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Self

from failover.adapters.files import write_atomically, write_json_snapshot
from replay.adapters.run_files import OutputFolderInUse

HTML_NAME, JSON_NAME = "report.html", "report.json"


class ReportFolder:
    """`write` fills it; leaving the `with` without it takes back what was made."""

    def __init__(self, folder: Path) -> None:
        """Raises: OutputFolderInUse when it holds anything, OSError when it cannot be made or written."""
        self.folder = folder
        self._made = [p for p in (folder, *folder.parents) if not p.exists()]
        self._is_written = False
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputFolderInUse(f"{folder}: is not empty; name a new folder for the report")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_written:
            return
        for name in (HTML_NAME, JSON_NAME):
            (self.folder / name).unlink(missing_ok=True)
        for folder in self._made:
            if any(folder.iterdir()):
                break
            shutil.rmtree(folder)

    def write(self, html: str, document: dict[str, Any]) -> None:
        """Raises: StorageError. The JSON comes last: with it, the report is whole."""
        write_atomically(self.folder / HTML_NAME, html.encode())
        write_json_snapshot(self.folder / JSON_NAME, document)
        self._is_written = True
