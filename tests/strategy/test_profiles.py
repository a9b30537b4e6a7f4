"""The built-in config documents and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.domain.config import SECTIONS, load_document
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.profile import BadConfig, read_decision_config
from strategy.wiring import load_decision_config


def test_the_default_document_is_the_defaults() -> None:
    config = load_decision_config("default")

    assert config.strategy == StrategyConfig()
    assert config.risk == RiskConfig()
    assert config.market == DecisionConfig().market


@pytest.mark.parametrize("name", ["default", "demo"])
def test_gate_and_simulated_venue_reckon_with_the_same_real_fees(name: str) -> None:
    path = Path(__file__).parents[2] / "strategy" / "profiles" / f"{name}.json"

    document, errors = load_document(path.read_bytes())

    assert errors == []
    assert document is not None
    for section in ("risk", "execution"):
        assert document[section].maker_fee_bps == 2.0
        assert document[section].taker_fee_bps == 5.5


def test_the_demo_warms_up_in_a_minute() -> None:
    assert load_decision_config("demo").market.warmup_s == 60


def test_two_documents_never_share_a_version() -> None:
    one = read_decision_config("x", b'{"strategy": {"entryScore": 71}}')
    other = read_decision_config("x", b'{"strategy": {"entryScore": 72}}')

    assert one.version != other.version
    assert one.version.startswith("x:")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "not JSON"),
        (b'{"strategi": {}}', "strategi"),
        (b'{"strategy": {"entryScore": 170}}', "entryScore"),
        (b'{"strategy": {"watchScore": 80}}', "watchScore 80"),
        (b'{"strategy": {"tp1Fraction": 0.9}}', "more than 1"),
        (b'{"risk": {"riskPerTradePct": 3}}', "riskPerTradePct"),
        (b'{"risk": {"dailyLossClosePct": 1}}', "dailyLossClosePct"),
        (b'{"strategy": {"weights": {"imb6": 1}}}', "imb6"),
    ],
)
def test_a_wrong_document_is_refused_with_the_place(document: bytes, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        read_decision_config("x", document)


def test_every_error_is_told_at_once() -> None:
    with pytest.raises(BadConfig) as refused:
        read_decision_config("x", b'{"strategy": {"entryScore": 170}, "risk": {"leverage": 0}}')

    assert len(refused.value.reasons) == 2


def test_a_name_that_is_no_document_says_which_there_are() -> None:
    with pytest.raises(BadConfig, match=r"default, demo"):
        load_decision_config("nope")


def test_the_sections_are_registered_for_all_apps() -> None:
    assert {"strategy", "risk"} <= set(SECTIONS.types())
