"""Tables rebuilt from a log in which fills belonged to nobody, averaged, or were a liquidation."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execution.adapters.order_log import OrderLog
from execution.domain.outputs import LogLine
from execution.domain.venue import ExecType, OrderFilled, OrderSide
from execution.models import Fill, Position
from execution.services.projection import rebuild
from failover.adapters.archive import Archive
from strategy.domain.messages import DcaLevel


def a_fill(world: Any, **changes: Any) -> OrderFilled:
    fields = {
        "exec_id": "late-1", "client_order_id": "unknown", "exchange_order_id": "x-1",
        "symbol": "BTCUSDT", "side": OrderSide.BUY, "price_ticks": 10_000, "qty_lots": 30,
        "leaves_lots": 0, "fee_usdt": Decimal("0.06"), "is_maker": True,
        "venue_ts_ns": world.now_ns, "deliver_at_ns": world.now_ns,
    }  # fmt: skip
    return OrderFilled(**{**fields, **changes})


def rebuilt(world: Any, folder: Path) -> Position:
    log = OrderLog(Archive(folder))
    log.append([o for o in world.outputs if isinstance(o, LogLine)], world.now_ns)
    log.close()
    rebuild(folder / "orders")
    return Position.objects.get(symbol="BTCUSDT")


@pytest.mark.django_db
def test_an_averaging_fill_makes_the_position_larger(world: Any, tmp_path: Path) -> None:
    levels = (DcaLevel(price_ticks=9_980, qty_lots=100),)
    world.open_long(dca_levels=levels, trailing=None)
    world.level(0, 9_980, 0)
    world.move_to(9_979)
    world.wait(300)

    position = rebuilt(world, tmp_path)

    assert world.position() == 200
    assert position.qty == 0.2
    assert position.avg_entry == pytest.approx((1000.1 + 998.0) / 2)


@pytest.mark.django_db
def test_a_fill_of_nobody_leaves_the_position_as_it_is_and_is_kept(
    world: Any, tmp_path: Path
) -> None:
    world.open_long()
    world.desk.deliveries.push([a_fill(world)])
    world.wait(200)

    position = rebuilt(world, tmp_path)

    assert position.qty == 0.1
    assert Fill.objects.filter(exec_id="late-1").exists()


@pytest.mark.django_db
def test_a_liquidated_position_is_gone(world: Any, tmp_path: Path) -> None:
    world.open_long()
    bust = a_fill(
        world, client_order_id="", side=OrderSide.SELL, price_ticks=8_000, qty_lots=100,
        exec_type=ExecType.BUST,
    )  # fmt: skip
    world.desk.deliveries.push([bust])
    world.wait(200)

    assert rebuilt(world, tmp_path).qty == 0.0
