"""The simulated account on its real files: what it makes of restarts, full disks and silent markets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution.services.simulated_account import FEED_DEAD_NS
from failover.adapters.process_state import ProcessStateStore
from failover.domain.process_state import ProcessState
from strategy.domain.messages import OrderRequest
from tests.execution.services.simulated_process import MS, Make, Process, fills


def test_a_position_outlives_its_symbol_in_the_markets_table(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    """No KeyError, the stop still known, no entry anywhere; all is well when the symbol is back."""
    holding.end()
    without = Process(tmp_path, [an_instrument("ETHUSDT")], holding.now_ns)
    without.book(10_000, "ETHUSDT")
    without.wait(200_000 // 100)

    trade = without.account.core.trades["BTCUSDT"]
    assert without.safe_mode == ["SYMBOL_WITHOUT_MARKET"]
    assert trade.position_lots == 100
    assert trade.order_of("STOP", without.account.core.orders) is not None
    without.checkpoint()
    without.end()

    table = [an_instrument("ETHUSDT"), an_instrument("BTCUSDT")]
    back = Process(tmp_path, table, without.now_ns)
    assert back.safe_mode == []
    back.ask(
        OrderRequest(
            request_id="c",
            symbol="BTCUSDT",
            action="CLOSE",
            side=trade.plan.side,
            decision_ts_ns=back.now_ns,
            valid_until_ns=back.now_ns,
        )
    )
    back.book(10_100)
    back.wait(300)
    back.book(10_100)
    back.wait(300)

    assert back.account.core.trades == {}
    assert back.account.venue.account().positions["BTCUSDT"].lots == 0


def test_a_close_does_not_trade_on_the_last_picture_of_a_dead_feed(holding: Process) -> None:
    holding.wait(FEED_DEAD_NS // MS)
    holding.ask(
        OrderRequest(
            request_id="c",
            symbol="BTCUSDT",
            action="CLOSE",
            side=holding.account.core.trades["BTCUSDT"].plan.side,
            decision_ts_ns=holding.now_ns,
            valid_until_ns=holding.now_ns,
        )
    )
    holding.wait(2000)
    assert holding.account.venue.account().positions["BTCUSDT"].lots == 100

    holding.account.on_market_gap(holding.now_ns)  # the market's new run
    holding.book(9_990)
    holding.wait(300)

    assert holding.account.venue.account().positions["BTCUSDT"].lots == 0
    assert {row["price"] for row in fills(holding)} == {
        1000.1,
        998.9,
    }  # entry at 10001, exit at 9989


def test_safe_mode_of_a_full_disk_ends_with_it_also_over_a_restart(
    holding: Process, tmp_path: Path, an_open: Callable[[Process], OrderRequest]
) -> None:
    holding.orders.is_full = True
    holding.ask(msgspec.structs.replace(an_open(holding), request_id="other", plan=None))
    assert holding.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    holding.wait(100)
    assert holding.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    holding.checkpoint()
    holding.end()

    again = Process(tmp_path, holding.table, holding.now_ns)
    assert again.safe_mode == ["ORDER_LOG_UNWRITABLE"]
    again.wait(20)

    assert again.safe_mode == []


def test_process_state_says_what_was_open_and_how_the_last_process_ended(
    holding: Process, tmp_path: Path
) -> None:
    store = ProcessStateStore(tmp_path / "system", run_mode="SIM")

    def state() -> ProcessState:
        loaded = store.load()
        assert loaded is not None
        return loaded

    holding.record.write(holding.record.next(is_ready=True))
    running = state()
    (position,) = running.open_positions_snapshot
    assert (running.phase, running.run_mode, running.pid) == ("RUNNING", "SIM", os.getpid())
    assert running.active_symbols == ("BTCUSDT", "ETHUSDT")
    assert (position["side"], position["qty"], position["entryPrice"]) == ("LONG", 0.1, 1000.1)
    assert {order["leg"] for order in running.open_orders_snapshot} == {"STOP", "TP1", "TP2"}
    assert running.last_failure is None
    holding.end()  # and no word of it: as after kill -9

    again = Process(tmp_path, holding.table, holding.now_ns)
    starting = state()
    assert starting.phase == "STARTING"
    assert starting.open_positions_snapshot == running.open_positions_snapshot
    assert starting.last_failure is not None
    assert starting.last_failure.type == "UNEXPECTED_SHUTDOWN"
    assert again.record.next(is_ready=False).phase == "RECOVERING"
    recovered = again.record.next(is_ready=True)
    assert (recovered.phase, recovered.last_recovery_at is not None) == ("RUNNING", True)
    again.record.end()
    again.end()
    assert state().phase == "STOPPING"

    third = Process(tmp_path, holding.table, holding.now_ns)
    failure = state().last_failure
    assert failure is not None
    assert failure.timestamp == starting.last_failure.timestamp, (
        "it ended by itself: no new failure"
    )
    third.end()


# -- what SENT means ---------------------------------------------------------------------------------


def lines_on_disk(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "orders").glob("day-*.jsonl"))
    return [msgspec.json.decode(line) for file in files for line in file.read_bytes().splitlines()]


def is_gap_free(lines: list[dict[str, Any]]) -> bool:
    return [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def a_close(process: Process) -> OrderRequest:
    trade = process.account.core.trades["BTCUSDT"]
    return OrderRequest(
        request_id="c", symbol="BTCUSDT", action="CLOSE", side=trade.plan.side,
        decision_ts_ns=process.now_ns, valid_until_ns=process.now_ns,
    )  # fmt: skip


def test_sent_is_written_only_after_the_venue_was_given_the_command(
    holding: Process, tmp_path: Path
) -> None:
    submit, seen = holding.account.venue.submit, {}

    def watching(command: Any) -> None:
        lines = lines_on_disk(tmp_path)
        own = [x["kind"] for x in lines if x.get("clientOrderId") == command.client_order_id]
        seen.setdefault(command.client_order_id, own)
        submit(command)

    holding.account.venue.submit = watching  # type: ignore[method-assign]
    holding.ask(a_close(holding))

    placed = [x for x in lines_on_disk(tmp_path) if x["kind"] == "SENT" and x["leg"] == "CLOSE"]
    assert seen[placed[0]["clientOrderId"]] == ["INTENT"]
    assert is_gap_free(lines_on_disk(tmp_path))


def test_a_process_killed_before_it_sent_never_said_that_it_had(
    holding: Process, tmp_path: Path
) -> None:
    """The next process sends the command and only then writes the line, under the same number."""

    def killed(command: Any) -> None:
        raise KeyboardInterrupt

    holding.account.venue.submit = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        holding.ask(a_close(holding))
    left = [line["kind"] for line in lines_on_disk(tmp_path) if line.get("leg") == "CLOSE"]
    assert left == ["INTENT"]
    holding.end()

    again = Process(tmp_path, holding.table, holding.now_ns)
    done = [line["kind"] for line in lines_on_disk(tmp_path) if line.get("leg") == "CLOSE"]

    assert done == ["INTENT", "SENT"]
    assert is_gap_free(lines_on_disk(tmp_path))
    again.book(10_000)
    again.wait(300)
    assert again.account.venue.account().positions["BTCUSDT"].lots == 0


def test_an_entry_kept_back_by_a_full_disk_is_never_called_sent(
    holding: Process, tmp_path: Path, world: Any
) -> None:
    plan = world.plan(symbol="ETHUSDT", plan_id="other")
    request = OrderRequest(
        request_id="other", symbol="ETHUSDT", action="OPEN", side=plan.side,
        decision_ts_ns=holding.now_ns, valid_until_ns=holding.now_ns + 2000 * MS, plan=plan,
    )  # fmt: skip
    holding.account.core.quotes.update(world.core.quotes)
    holding.orders.is_full = True
    holding.ask(request)
    holding.ask(a_close(holding))
    holding.orders.is_full = False
    holding.wait(300)

    lines = [line for line in lines_on_disk(tmp_path) if "leg" in line]
    entry = [line["kind"] for line in lines if line["symbol"] == "ETHUSDT"]
    close = [line["kind"] for line in lines if line["leg"] == "CLOSE"]
    assert entry[0] == "INTENT"
    assert "SENT" not in entry
    assert close[:2] == ["INTENT", "SENT"]
    assert is_gap_free(lines_on_disk(tmp_path))


def test_latency_keeps_entries_back_while_it_lasts_and_no_longer(
    holding: Process, an_open: Callable[[Process], OrderRequest]
) -> None:
    slow = "sentToAck took 2000 ms (p90), above 1000 ms for 3 windows of 10 s"

    holding.account.say_latency(slow, holding.now_ns)
    holding.account.say_latency(slow, holding.now_ns)
    assert holding.safe_mode == ["LATENCY_TOO_HIGH"]
    request = msgspec.structs.replace(an_open(holding), symbol="ETHUSDT")
    assert request.plan is not None
    plan = msgspec.structs.replace(request.plan, symbol="ETHUSDT", plan_id="p-eth")
    holding.ask(msgspec.structs.replace(request, plan=plan))
    assert "ETHUSDT" not in holding.account.core.trades
    assert "BTCUSDT" in holding.account.core.trades  # what is open stays managed

    holding.account.say_latency("", holding.now_ns)
    assert holding.safe_mode == []
