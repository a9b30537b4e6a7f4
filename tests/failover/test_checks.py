"""The configured trading document, proved by a system check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.checks import run_checks

from failover.services.config_files import BadConfigDocument, load_configured


def ids(settings: Any, name: str) -> list[str | None]:
    settings.ENVIRONMENT = msgspec.structs.replace(settings.ENVIRONMENT, trading_config=name)
    return [m.id for m in run_checks() if m.id and m.id.startswith("failover.")]


@pytest.mark.parametrize("name", ["demo", "default"])
def test_the_built_in_documents_are_sound(settings: Any, name: str) -> None:
    assert ids(settings, name) == []
    assert set(load_configured(settings).sections) >= {"market", "strategy", "risk", "execution"}


def test_each_error_of_a_file_is_an_error_of_the_check(settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"market": {"staleBookMs": 1}, "strategy": {"none": 1}}')

    assert ids(settings, str(path)) == ["failover.E001", "failover.E001"]
    with pytest.raises(BadConfigDocument, match=r"market\.staleBookMs.*strategy\.none"):
        load_configured(settings)


def test_a_file_that_is_not_there_is_said(settings: Any) -> None:
    assert ids(settings, "/nowhere/mine.json") == ["failover.E001"]
