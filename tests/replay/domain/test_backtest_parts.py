"""The variants of a job change what they name, for every symbol, and nothing else."""

from __future__ import annotations

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.sim_config import SimConfig
from replay.domain.backtest_parts import BacktestJob, PartResult, Variant, with_variant
from strategy.domain.config import DecisionConfig, RiskConfig, SymbolDecision
from tests.replay.backtest_samples import a_part, a_trade

JOB = BacktestJob(
    name="x",
    paths=("x.gz",),
    decision=DecisionConfig(
        symbols={"ETHUSDT": SymbolDecision(risk=RiskConfig(taker_fee_bps=4.0))}
    ),
    execution=ExecutionConfig(sim_latency_ms=30),
    execution_by_symbol={"ETHUSDT": ExecutionConfig(sim_latency_ms=8, taker_fee_bps=4.0)},
)


def test_latency_changes_for_the_venue_alone() -> None:
    half = with_variant(JOB, Variant.LATENCY_HALF)

    assert half.execution.sim_latency_ms == 15
    assert half.execution_by_symbol["ETHUSDT"].sim_latency_ms == 4
    assert half.decision == JOB.decision
    assert half.execution.taker_fee_bps == JOB.execution.taker_fee_bps


def test_every_latency_that_is_set_grows_with_the_order_latency() -> None:
    sim = SimConfig(latency_jitter_ms=300, amend_latency_ms=400, cancel_latency_ms=-1, seed=7)
    job = msgspec.structs.replace(JOB, execution=ExecutionConfig(sim=sim))

    double = with_variant(job, Variant.LATENCY_DOUBLE).execution.sim

    assert (double.latency_jitter_ms, double.amend_latency_ms) == (600, 800)
    assert double.cancel_latency_ms == -1
    assert double.seed == 7


def test_dearer_fees_make_a_rebate_smaller_and_cheaper_ones_larger() -> None:
    risk = RiskConfig(maker_fee_bps=-2.0)
    job = msgspec.structs.replace(
        JOB, execution=ExecutionConfig(maker_fee_bps=-2.0), decision=DecisionConfig(risk=risk)
    )

    double, half = with_variant(job, Variant.FEES_DOUBLE), with_variant(job, Variant.FEES_HALF)

    assert double.execution.maker_fee_bps == double.decision.risk.maker_fee_bps == -1.0
    assert half.execution.maker_fee_bps == half.decision.risk.maker_fee_bps == -4.0


def test_fees_change_for_the_venue_and_for_the_gate() -> None:
    double = with_variant(JOB, Variant.FEES_DOUBLE)

    assert (double.execution.maker_fee_bps, double.execution.taker_fee_bps) == (4.0, 11.0)
    assert double.execution_by_symbol["ETHUSDT"].taker_fee_bps == 8.0
    assert double.decision.risk.maker_fee_bps == 4.0
    assert double.decision.risk_for("ETHUSDT").taker_fee_bps == 8.0
    assert double.execution.sim_latency_ms == 30


def test_the_base_is_the_job_itself() -> None:
    assert with_variant(JOB, Variant.BASE) == JOB


def test_jobs_and_parts_travel_as_json_without_a_loss() -> None:
    """So they go to Celery workers and back; money stays exact."""
    part = a_part([a_trade(n, 0.1 * n) for n in range(3)])

    assert msgspec.json.decode(msgspec.json.encode(JOB), type=BacktestJob) == JOB
    assert msgspec.json.decode(msgspec.json.encode(part), type=PartResult) == part
