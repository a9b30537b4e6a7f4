"""Which classes a profile may name as scorers, and what it is told when it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import run_checks

from failover.domain.config import SECTIONS, load_document
from strategy.domain.scorer import BUILT_IN, BadScorer, ScorerRegistry
from strategy.services.scorers import AllowedScorers

MODULE = """
from strategy.domain.scorer import Score

class Good:
    def score(self, frame, context):
        return Score(pressure=context.z["imb5"])

class NoScore:
    pass

class OneArgument:
    def score(self, frame):
        return Score(pressure=0.0)

class CannotBeMade:
    def __init__(self, path):
        pass
    def score(self, frame, context):
        return Score(pressure=0.0)

not_a_class = 7
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScorerRegistry:
    """A registry that allows the package `trader_scorers`, a module in a folder of its own."""
    (tmp_path / "trader_scorers.py").write_text(MODULE)
    (tmp_path / "broken_scorers.py").write_text("raise RuntimeError('half written')")
    (tmp_path / "foreign_scorers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    registry = ScorerRegistry()
    registry.use(AllowedScorers(("trader_scorers", "broken_scorers")))
    return registry


def test_a_class_of_an_allowed_package_is_made(registry: ScorerRegistry) -> None:
    assert type(registry.make("trader_scorers.Good")).__name__ == "Good"


def test_the_built_in_scorer_is_compiled_and_needs_no_package() -> None:
    assert ScorerRegistry().make(BUILT_IN) is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("foreign_scorers.Good", "SCORER_PACKAGES"),
        ("trader_scorersx.Good", "SCORER_PACKAGES"),
        ("trader_scorers.Missing", "has no Missing"),
        ("trader_scorers.deeper.Good", "No module named"),
        ("trader_scorers.NoScore", "no method score"),
        ("trader_scorers.OneArgument", "does not take (frame, context)"),
        ("trader_scorers.CannotBeMade", "cannot be made"),
        ("trader_scorers.not_a_class", "is no class"),
        ("broken_scorers.Good", "half written"),
    ],
)
def test_each_wrong_path_is_refused_with_its_reason(
    registry: ScorerRegistry, path: str, words: str
) -> None:
    with pytest.raises(BadScorer) as bad:
        registry.make(path)

    assert path in str(bad.value)
    assert words in str(bad.value)


def test_a_config_that_names_a_forbidden_scorer_is_refused_at_its_place() -> None:
    document, errors = load_document(b'{"strategy": {"scorer": "os.path.join"}}', SECTIONS)

    assert document is None
    assert [error.path for error in errors] == ["strategy.scorer"]
    assert "SCORER_PACKAGES" in errors[0].reason


def test_a_symbol_cannot_name_a_forbidden_scorer_either() -> None:
    content = b'{"symbols": {"BTCUSDT": {"strategy": {"scorer": "os.path.join"}}}}'
    document, errors = load_document(content, SECTIONS)

    assert document is None
    assert any("SCORER_PACKAGES" in error.reason for error in errors)


@pytest.mark.parametrize(
    ("packages", "found"),
    [
        (("strategy",), []),
        (("no-name",), ["strategy.E001"]),
        (("no_such_package_anywhere",), ["strategy.E002"]),
    ],
)
def test_the_list_of_packages_is_proved_at_start(
    settings: object, packages: tuple[str, ...], found: list[str]
) -> None:
    settings.SCORER_PACKAGES = packages  # type: ignore[attr-defined]

    told = [message.id for message in run_checks() if str(message.id).startswith("strategy.")]

    assert told == found
