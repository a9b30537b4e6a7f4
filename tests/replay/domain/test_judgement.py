"""A judgement says what the trades say, and no more."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.domain.backtest_parts import PartFailure, PartResult, Variant
from replay.domain.judgement import LEAST_TRADES, Trials, capital_usdt, judge, profit_line
from tests.replay.backtest_samples import SECOND, START, a_part, a_trade, an_open_position

ONE_TRIAL = Trials(count=1)
SILENT = (
    "sharpe", "interval", "asymptoticInterval", "probabilisticSharpe", "deflatedSharpe", "leastTrades",
)  # fmt: skip


def judged(part: PartResult, trials: Trials = ONE_TRIAL, **others: list[PartResult]) -> Any:
    parts = {Variant.BASE: [part]} | {Variant[name]: found for name, found in others.items()}
    return judge(parts, [], trials, seed=1)


def a_good_run(count: int = 60) -> PartResult:
    return a_part([a_trade(n, 3.0 if n % 3 else -2.0) for n in range(count)])


def test_figures_by_hand() -> None:
    trades = [a_trade(0, 4.0), a_trade(1, -1.0), a_trade(2, 3.0, symbol="BTCUSDT", side="SHORT")]
    found = judged(a_part(trades, symbols=["BTCUSDT", "ETHUSDT"]))
    result = found["result"]

    assert (result["trades"], result["wins"], result["netPnl"]) == (3, 2, 6.0)
    assert result["expectancy"] == 2.0
    assert result["expectancyBps"] == pytest.approx(20.0)
    assert result["profitFactor"] == 7.0
    assert result["hitRate"] == pytest.approx(2 / 3)
    assert result["turnover"] == pytest.approx(6000 / 10_000)
    assert result["returnPct"] == pytest.approx(0.06)
    assert result["maxDrawdown"]["usdt"] == pytest.approx(1.0)
    assert found["costs"]["gross"] - found["costs"]["fees"] == found["costs"]["net"] == 6.0
    assert [(row["symbol"], row["trades"]) for row in found["bySymbol"]] == [
        ("BTCUSDT", 1), ("ETHUSDT", 2),
    ]  # fmt: skip
    assert found["byHour"][0] | {"hour": "00:00", "trades": 3} == found["byHour"][0]
    assert [(row["regime"], row["rv60s"], row["trades"]) for row in found["byRegime"]] == [
        ("NORMAL", "1 to 3", 3)
    ]


@pytest.mark.parametrize("count", [0, 1, LEAST_TRADES - 1])
def test_too_few_trades_are_said_plainly_and_nothing_is_made_up(count: int) -> None:
    found = judged(a_part([a_trade(n, 1.0 + n) for n in range(count)]))

    assert not found["verdict"]["canJudge"]
    assert "too few trades to judge" in found["statistics"]["why"]
    assert all(found["statistics"][name] is None for name in SILENT)
    assert found["capacity"]["sizeMultiple"] is None
    if count:
        assert found["verdict"]["headline"].startswith("Too few trades to judge: ")
    else:
        assert found["verdict"]["headline"] == "No trade was closed: there is nothing to judge."
        assert found["result"]["hitRate"] is None
        assert found["result"]["profitFactor"] is None


def test_equal_results_give_no_ratio() -> None:
    found = judged(a_part([a_trade(n, 1.0) for n in range(40)]))

    assert found["statistics"]["sharpe"] is None
    assert "nothing varies" in found["verdict"]["headline"].lower()


def test_repeated_trials_turn_evidence_into_luck() -> None:
    """The same trades: convincing as the first try on the data, not as the best of many."""
    part = a_good_run()

    first, many = judged(part), judged(part, Trials(count=5000, sharpes=(0.1, -0.4, 0.3)))

    assert first["verdict"]["headline"].startswith("It earned more than luck")
    assert first["statistics"]["deflatedSharpe"] == first["statistics"]["probabilisticSharpe"]
    assert many["statistics"]["deflatedSharpe"] < 0.95
    assert "best of 5000 tries" in many["verdict"]["headline"]


def test_a_loss_is_called_a_loss() -> None:
    found = judged(a_part([a_trade(n, -3.0 if n % 3 else 2.0) for n in range(60)]))

    assert found["verdict"]["headline"].startswith("It lost money after costs")


def test_streaks_of_trades_are_no_proof_of_skill() -> None:
    """Probabilistic and deflated Sharpe take trades as independent; the bootstrap sees the streaks."""
    nets = [level + 0.3 * (-1) ** n for level in (1.0, -0.6) * 3 for n in range(20)]

    found = judged(a_part([a_trade(n, round(net, 2)) for n, net in enumerate(nets)]))

    assert found["statistics"]["deflatedSharpe"] >= 0.95
    assert found["statistics"]["interval"]["low"] <= 0
    assert "streaks of trades may explain it" in found["verdict"]["headline"]


def test_positions_left_open_at_a_loss_take_the_claim_back() -> None:
    part = msgspec.structs.replace(a_good_run(), open_positions=[an_open_position("-900")])

    verdict = judged(part)["verdict"]

    assert verdict["headline"].startswith("It earned on closed trades, but")
    assert "stood at -900.00 USDT at mid" in verdict["doubts"][0]


def test_doubts_name_what_weakens_the_result() -> None:
    base = a_part([a_trade(0, 2.0)], open_positions=[an_open_position("1.5")], unexplained_trades=1)
    worse = a_part([a_trade(0, -1.0)], variant=Variant.FEES_DOUBLE)
    failure = PartFailure(name="x", paths=["x"], reason="x: is empty")

    found = judge(
        {Variant.BASE: [base], Variant.FEES_DOUBLE: [worse]}, [failure], ONE_TRIAL, seed=1
    )

    text = "; ".join(found["verdict"]["doubts"])
    for words in (
        "1 recording",
        "1 position(s) were open",
        "costs do not add up",
        "with fees x2 the profit",
    ):
        assert words in text
    assert found["result"]["openResult"] == 1.5
    assert found["result"]["netPnl"] == 2.0
    assert [row["variant"] for row in found["sensitivity"]] == ["base", "fees x2"]


def test_a_recording_that_ends_before_the_warm_up_is_named() -> None:
    """Else "no trade" would look like the strategy's choice."""
    short = a_part([], to_ns=START + 599 * SECOND)

    assert "shorter than the warm-up" in judged(short)["verdict"]["doubts"][0]
    assert judged(a_part([]))["verdict"]["doubts"] == []


def test_capital_is_what_was_needed_at_one_time() -> None:
    """Two accounts side by side need two deposits; one after the other, the first is free again."""
    first = a_part([], from_ns=START, to_ns=START + 10 * SECOND)
    beside = a_part([], from_ns=START + 5 * SECOND, to_ns=START + 20 * SECOND)
    after = a_part([], from_ns=START + 10 * SECOND, to_ns=START + 20 * SECOND)

    assert capital_usdt([first, beside]) == 20_000.0
    assert capital_usdt([first, after]) == 10_000.0


def test_accounts_side_by_side_turn_over_as_much_a_day_as_one_of_them() -> None:
    trades = [a_trade(n, 1.0) for n in range(40)]
    two_days_ns = START + 2 * 86_400 * SECOND
    side_by_side = [a_part(trades, to_ns=two_days_ns, name=str(n)) for n in range(4)]

    one = judged(side_by_side[0])["result"]
    four = judge({Variant.BASE: side_by_side}, [], ONE_TRIAL, seed=1)["result"]

    assert four["turnoverPerDay"] == one["turnoverPerDay"] == pytest.approx(4.0)
    assert four["turnover"] == one["turnover"] == pytest.approx(8.0)
    assert four["coveredSeconds"] == one["coveredSeconds"] == 2 * 86_400


def test_a_rate_per_day_needs_a_day() -> None:
    result = judged(a_part([a_trade(0, 1.0)], to_ns=START + 300 * SECOND))["result"]

    assert result["turnoverPerDay"] is None
    assert result["coveredSeconds"] == 300.0


nets = st.lists(st.floats(-100, 100).map(lambda x: round(x, 2)), max_size=45)


@settings(max_examples=25)
@given(nets, st.integers(1, 200))
def test_every_figure_is_a_number_or_none_and_the_whole_is_json(
    results: list[float], trials: int
) -> None:
    part = a_part([a_trade(n, net) for n, net in enumerate(results)])

    found = judged(part, Trials(count=trials), LATENCY_DOUBLE=[part])

    def walk(value: Any) -> None:
        if isinstance(value, float):
            assert math.isfinite(value)
        for inner in (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        ):
            walk(inner)

    walk(found)
    assert json.loads(msgspec.json.encode(found)) is not None
    costs = found["costs"]
    assert costs["net"] == pytest.approx(sum(results), abs=1e-9)
    assert profit_line([part]).value[-1] == pytest.approx(
        float(Decimal(repr(costs["net"]))), abs=1e-6
    )
    groups = [found[name] for name in ("bySymbol", "byHour", "byRegime", "byExit")]
    assert all(sum(row["trades"] for row in rows) == len(results) for rows in groups)
    assert all(
        sum(row["netPnl"] for row in rows) == pytest.approx(costs["net"], abs=1e-6)
        for rows in groups
    )
