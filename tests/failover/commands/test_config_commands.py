"""A document in and out of the database by command line, with exit codes that say what happened."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from failover.models import AuditEntry, ConfigVersion
from failover.services.config_store import active_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_bus(settings: Any, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"


def run(command: str, *arguments: object) -> str:
    out = io.StringIO()
    call_command(command, *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def document(folder: Path, **sections: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(sections))
    return path


def test_an_imported_document_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = document(tmp_path, risk={"maxPositions": 2}, symbols={})

    said = run("import_config", path, "--activate", "--note", "fewer positions")

    version = ConfigVersion.objects.get()
    assert f"version {version.pk} ({version.content}) is written" in said
    assert active_version() == version
    assert version.note == "fewer positions"
    assert json.loads(run("export_config")) == json.loads(path.read_text())
    assert {row.source for row in AuditEntry.objects.all()} == {"CLI"}


def test_without_activate_nothing_changes_but_the_list_of_versions(tmp_path: Path) -> None:
    run("import_config", document(tmp_path))

    assert ConfigVersion.objects.count() == 1
    assert active_version() is None


def test_every_error_of_a_document_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    path = document(tmp_path, risk={"leverage": 0}, strategi={})

    with pytest.raises(CommandError) as refused:
        run("import_config", path)

    assert refused.value.returncode == 2
    assert "risk.leverage" in str(refused.value)
    assert "strategi: unknown section" in str(refused.value)
    assert not ConfigVersion.objects.exists()


def test_a_built_in_document_goes_by_its_name() -> None:
    run("import_config", "demo", "--activate")

    assert json.loads(run("export_config"))["market"] == {"warmupS": 30}


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run("import_config", tmp_path / "none.json")


def test_a_version_goes_to_a_file_by_number_and_resolved(tmp_path: Path) -> None:
    run("import_config", document(tmp_path, risk={"maxPositions": 2}))
    number = ConfigVersion.objects.get().pk

    run("export_config", "--version", number, "--resolved", "--out", tmp_path / "out.json")

    written = json.loads((tmp_path / "out.json").read_text())
    assert written["risk"]["maxPositions"] == 2
    assert written["market"]["staleBookMs"] == 6000


def test_what_cannot_be_exported_says_why() -> None:
    with pytest.raises(CommandError, match="no version is active yet"):
        run("export_config")
    with pytest.raises(CommandError, match="no version 77") as missing:
        run("export_config", "--version", 77)

    assert missing.value.returncode == 2
