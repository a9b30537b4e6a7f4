"""Positions and orders on the screen: the newest word stands, a broken row changes nothing."""

from __future__ import annotations

import pytest

from monitoring.domain.trading import BadRecord
from monitoring.domain.view import (
    DashboardView,
    RecordSeen,
)
from tests.monitoring.domain.builders import (
    INSTRUMENTS,
    a_frame,
    a_held_position,
    a_position,
    a_view,
    an_execution_snapshot,
    an_order,
    shown,
)


def test_a_position_is_marked_by_every_new_mid() -> None:
    view = a_view()
    view.apply(a_position())

    view.apply(a_frame(50_050.0))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["pnl"] == 0.5
    assert row["pnlBps"] == 10.0
    assert row["stopDistanceBps"] == pytest.approx(29.97, abs=0.01)
    assert shown(view, "BTCUSDT")["position"] == row


def test_a_short_position_loses_when_the_price_rises() -> None:
    view = a_view()
    view.apply(a_frame(50_050.0))

    view.apply(a_position(side="SHORT", stopPrice=50_100.0))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["pnl"] == -0.5
    assert row["stopDistanceBps"] > 0


def test_an_older_snapshot_does_not_take_back_a_younger_record() -> None:
    view = a_view()
    view.apply(a_position(at_ms=500))

    view.apply(an_execution_snapshot(at_ms=400))
    assert "BTCUSDT" in shown(view)["positions"]

    view.apply(an_execution_snapshot(at_ms=1_400))
    assert shown(view)["positions"] == {}


def test_the_snapshot_keeps_the_take_profits_told_by_the_record() -> None:
    view = a_view()
    view.apply(a_position())

    view.apply(an_execution_snapshot(at_ms=900, positions=(a_held_position(),)))
    row = shown(view)["positions"]["BTCUSDT"]

    assert row["tps"][0]["price"] == 50_100.0
    assert row["stopPrice"] == 49_900.0
    assert row["openRisk"] == 1.2


def test_an_order_is_shown_while_it_lives_on_both_panels() -> None:
    view = a_view()
    view.apply(an_order("a"))
    view.apply(an_order("b", symbol="ETHUSDT"))
    assert set(shown(view)["orders"]) == {"a", "b"}
    assert set(shown(view, "ETHUSDT")["orders"]) == {"b"}

    view.apply(an_order("a", "FILLED"))

    assert set(shown(view)["orders"]) == {"b"}


def test_an_order_told_before_the_symbol_table_is_on_its_symbols_page() -> None:
    view = DashboardView(mode="SIM", bybit_env="LOCAL")
    view.apply(an_order("old", "NEW", 0))
    assert view.instruments() == ()

    view.apply(INSTRUMENTS)

    assert set(shown(view, "BTCUSDT")["orders"]) == {"old"}


def test_a_row_that_breaks_the_contract_is_named_and_changes_nothing() -> None:
    view = a_view()
    before = shown(view)

    for row in ({"record": "ORDER", "symbol": 3}, {"record": "FILL", "timestamp": "soon"}):
        with pytest.raises(BadRecord, match=row["record"]):
            view.apply(RecordSeen(row))

    assert shown(view) == before
