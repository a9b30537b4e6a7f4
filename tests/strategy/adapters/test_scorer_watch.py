"""A scorer's time: measured everywhere, cut short where an alarm can."""

from __future__ import annotations

import signal
import threading

import pytest

from strategy.adapters.scorer_watch import ScorerStopwatch
from strategy.domain.core import StrategyCore
from strategy.domain.messages import StateEvent
from strategy.domain.scorer import Score, ScorerRegistry, ScorerTooSlow
from tests.strategy.builders import Feed, a_config, an_instrument

LONG_S = 30.0


def spin_for_ever() -> None:
    while True:
        pass


def test_a_call_in_time_gives_its_result() -> None:
    assert ScorerStopwatch().call(lambda: 7, LONG_S) == 7


def test_a_call_that_never_ends_is_ended() -> None:
    with pytest.raises(ScorerTooSlow, match="stopped after"):
        ScorerStopwatch().call(spin_for_ever, 0.02)


def test_a_scorer_that_tries_again_after_every_error_is_ended_all_the_same() -> None:
    def try_for_ever() -> None:
        while True:
            try:
                spin_for_ever()
            except Exception:  # noqa: BLE001  (what a stranger's scorer may do)
                continue

    with pytest.raises(ScorerTooSlow, match="stopped after"):
        ScorerStopwatch().call(try_for_ever, 0.02)


def test_the_alarm_goes_on_until_the_call_has_returned() -> None:
    swallowed: list[BaseException] = []

    def swallow_twice() -> None:
        while True:
            try:
                spin_for_ever()
            except BaseException as error:
                swallowed.append(error)
                if len(swallowed) == 3:
                    raise

    with pytest.raises(ScorerTooSlow):
        ScorerStopwatch().call(swallow_twice, 0.02)

    assert len(swallowed) == 3
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_error_of_the_scorer_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        ScorerStopwatch().call(lambda: 1 / 0, LONG_S)


def test_whoever_had_the_alarm_gets_it_back() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    outer_s, interval_s = signal.setitimer(signal.ITIMER_REAL, LONG_S)
    try:
        ScorerStopwatch().call(lambda: None, LONG_S)

        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left_s <= LONG_S
        signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, outer_s, interval_s)


def test_outside_the_main_thread_a_slow_call_is_found_out_afterwards() -> None:
    found: list[BaseException] = []
    waiting = threading.Event()

    def call() -> None:
        try:
            ScorerStopwatch().call(lambda: waiting.wait(0.05), 0.001)
        except ScorerTooSlow as slow:
            found.append(slow)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

    assert "took" in str(found[0])


def test_a_scorer_that_never_comes_back_costs_its_symbol_the_signal_and_the_loop_nothing() -> None:
    class Endless:
        def score(self, frame: object, context: object) -> Score:
            del frame, context
            spin_for_ever()
            return Score(0.0)

    registry = ScorerRegistry()
    registry.use(lambda path: Endless)
    config = a_config(strategy={"scorer": "trader.Endless", "scorer_limit_ms": 20.0})
    core = StrategyCore([an_instrument()], config, "s1", scorers=registry, watch=ScorerStopwatch())

    outputs = core.on_frames(Feed().frames(30))

    alerts = [output.reason for output in outputs if isinstance(output, StateEvent)]
    assert any("stopped after 20 ms" in reason for reason in alerts)
    assert core.scorer_failures == {"BTCUSDT": 1}
