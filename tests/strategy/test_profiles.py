"""The built-in config documents and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.domain.config import SECTIONS, BadConfigDocument, load_document
from failover.services.config_reader import load_config
from strategy.domain.config import DecisionConfig, RiskConfig, StrategyConfig
from strategy.domain.profile import decision_config_of

PROFILES = Path(__file__).parents[2] / "strategy" / "profiles"


def read(content: bytes) -> DecisionConfig:
    document, errors = load_document(content)
    if document is None:
        raise BadConfigDocument("x", errors)
    return decision_config_of(document)


def test_the_default_document_is_the_defaults() -> None:
    config = decision_config_of(load_config("default"))

    assert config.strategy == StrategyConfig()
    assert config.risk == RiskConfig()
    assert config.market == DecisionConfig().market


@pytest.mark.parametrize("name", ["default", "demo"])
def test_gate_and_simulated_venue_reckon_with_the_same_real_fees(name: str) -> None:
    document, errors = load_document((PROFILES / f"{name}.json").read_bytes())

    assert errors == []
    assert document is not None
    for section in ("risk", "execution"):
        assert document[section].maker_fee_bps == 2.0
        assert document[section].taker_fee_bps == 5.5


def test_the_demo_warms_up_in_half_a_minute() -> None:
    assert decision_config_of(load_config("demo")).market.warmup_s == 30


def test_the_version_names_what_a_document_says_wherever_it_came_from() -> None:
    one = read(b'{"strategy": {"entryScore": 71}}')
    other = read(b'{"strategy": {"entryScore": 72}}')

    assert one.version != other.version
    assert read((PROFILES / "demo.json").read_bytes()) == decision_config_of(load_config("demo"))


def test_a_symbol_has_its_own_sections_with_its_fields_laid_over_the_base() -> None:
    config = read(
        b'{"strategy": {"entryScore": 75, "weights": {"imb5": 0.5}},'
        b' "symbols": {"XRPUSDT": {"strategy": {"weights": {"imb20": 0.5}}, "risk": {"leverage": 2}}}}'
    )

    own = config.strategy_for("XRPUSDT")

    assert (own.entry_score, own.weights.imb5, own.weights.imb20) == (75, 0.5, 0.5)
    assert config.risk_for("XRPUSDT").leverage == 2
    assert config.strategy_for("BTCUSDT").weights.imb20 == 0
    assert config.risk_for("BTCUSDT") == config.risk == RiskConfig()


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
    with pytest.raises(BadConfigDocument, match=words):
        read(document)


def test_every_error_is_told_at_once() -> None:
    with pytest.raises(BadConfigDocument) as refused:
        read(b'{"strategy": {"entryScore": 170}, "risk": {"leverage": 0}}')

    assert len(refused.value.reasons) == 2


def test_a_name_that_is_no_document_says_which_there_are() -> None:
    with pytest.raises(BadConfigDocument, match=r"default, demo"):
        decision_config_of(load_config("nope"))


def test_the_sections_are_registered_for_all_apps() -> None:
    assert {"strategy", "risk"} <= set(SECTIONS.types())
