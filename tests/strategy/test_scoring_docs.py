"""The scorer that docs/scoring.md shows is run as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from market.domain.config import MarketConfig
from strategy.domain.config import DecisionConfig, StrategyConfig
from strategy.domain.numeric_path import NumericPath
from strategy.domain.scorer import ScorerRegistry
from strategy.services.scorers import AllowedScorers
from tests.strategy.builders import STRONG_LONG, Feed, balanced

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScorerRegistry:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "documented_scorer.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registry = ScorerRegistry()
    registry.use(AllowedScorers(("documented_scorer",)))
    return registry


def test_the_documented_scorer_runs_and_says_the_same_row_by_row(registry: ScorerRegistry) -> None:
    strategy = StrategyConfig(scorer="documented_scorer.Lean", scorer_params={"lean": 0.9})
    config = DecisionConfig(market=MarketConfig(warmup_s=1), strategy=strategy)
    feed = Feed()
    frames = np.concatenate([balanced(feed, 3), feed.frames(20, **STRONG_LONG)])

    whole = NumericPath(("BTCUSDT",), config, registry).evaluate(frames)
    path = NumericPath(("BTCUSDT",), config, registry)
    rows = [path.evaluate(frames[i : i + 1]).score_long[0] for i in range(len(frames))]

    assert rows == whole.score_long.tolist()
    assert whole.score_long[-1] > 70.0
    assert set(whole.contributions(len(frames) - 1, {})) == {"lean", "flow"}
    assert not whole.scorer_notes


def test_every_field_the_page_names_is_one_of_the_config() -> None:
    """A renamed threshold must not live on in the page."""
    fields = set(StrategyConfig.__struct_encode_fields__) | {"warmupS"}
    named = set(re.findall(r"`([a-z]+(?:[A-Z][a-zA-Z0-9]*)+)`", PAGE.read_text(encoding="utf-8")))

    others = {"blockedReasons", "regimeProximity", "scorerFailures"}
    assert named - others <= fields
