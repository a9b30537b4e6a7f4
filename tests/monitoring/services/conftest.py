"""What the tests of the retention job run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_report import RetentionReport
from monitoring.services.retention import run_retention
from tests.monitoring.services.retention_data import NOW, Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "data").mkdir()
    return Tree(tmp_path / "data")


@pytest.fixture
def run(tree: Tree) -> Callable[..., RetentionReport]:
    def run_on_tree(**options: Any) -> RetentionReport:
        options = {"now": NOW, "config": RetentionConfig(), **options}
        return run_retention(data_dir=tree.root, **options)

    return run_on_tree
