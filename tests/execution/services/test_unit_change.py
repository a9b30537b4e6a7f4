"""What becomes of an open trade when the venue, or the market, changes its units."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution.adapters.order_log import CommitStore
from execution.domain.sim_kernel import TRUSTED
from failover.domain.errors import Refused
from market.domain.instruments import Instrument
from tests.execution.services.simulated_process import Make, Process


def finer(instrument: Instrument, *, ticks: int = 1, lots: int = 1) -> Instrument:
    return msgspec.structs.replace(
        instrument,
        tick_size=instrument.tick_size / ticks,
        qty_step=instrument.qty_step / lots,
    )


@pytest.mark.parametrize(("ticks", "lots"), [(10, 1), (2, 1), (1, 10), (5, 20)])
def test_an_open_trade_goes_on_when_the_venue_makes_its_ticks_or_lots_finer(
    holding: Process, tmp_path: Path, an_instrument: Make, ticks: int, lots: int
) -> None:
    """Same prices, quantities and money before and after; then the stop still takes all of it."""
    before = holding.account.core.tpsl_snapshot_row(holding.now_ns)["trades"]
    holding.end()
    table = [finer(an_instrument("BTCUSDT"), ticks=ticks, lots=lots), an_instrument("ETHUSDT")]
    again = Process(tmp_path, table, holding.now_ns)

    core, venue = again.account.core, again.account.venue
    assert core.tpsl_snapshot_row(holding.now_ns)["trades"] == before
    assert venue.account().positions["BTCUSDT"].lots == 100 * lots
    assert core.trades["BTCUSDT"].position_lots == 100 * lots
    again.book(9_900 * ticks)
    again.mark(9_900 * ticks)
    again.wait(300)
    again.book(9_900 * ticks)
    again.wait(300)

    assert core.trades == {}
    assert venue.account().positions["BTCUSDT"].lots == 0
    assert core.book.realized_usdt + 10_000 == venue.account().equity_usdt


def test_coarser_ticks_move_the_orders_of_a_trade_to_the_new_grid(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    coarse = msgspec.structs.replace(an_instrument("BTCUSDT"), tick_size=Decimal("0.4"))
    holding.end()
    again = Process(tmp_path, [coarse, an_instrument("ETHUSDT")], holding.now_ns)

    orders = {o.leg: o for o in again.account.core.orders.values() if o.is_live}
    assert orders["STOP"].trigger_ticks == round(9_950 / 4)
    assert [orders[leg].price_ticks for leg in ("TP1", "TP2")] == [
        round(10_030 / 4),
        round(10_060 / 4),
    ]


def test_a_position_that_new_lots_cannot_hold_is_closed_as_far_as_they_can(
    holding: Process, tmp_path: Path, an_instrument: Make
) -> None:
    """0.1 in lots of 0.03: three lots are kept and closed, no money is made or lost by the rest."""
    wallet = holding.account.venue.account().wallet_usdt
    coarse = msgspec.structs.replace(
        an_instrument("BTCUSDT"), qty_step=Decimal("0.03"), min_qty=Decimal("0.03"),
        max_qty=Decimal(99), max_market_qty=Decimal(48),
    )  # fmt: skip
    holding.end()
    again = Process(tmp_path, [coarse, an_instrument("ETHUSDT")], holding.now_ns)

    core, venue = again.account.core, again.account.venue
    trade = core.trades["BTCUSDT"]
    assert (trade.position_lots, trade.phase, trade.close_reason) == (
        3, "CLOSING", "LOTS_DO_NOT_FIT",
    )  # fmt: skip
    assert venue.account().positions["BTCUSDT"].lots == 3
    assert venue.account().wallet_usdt == wallet
    again.book(10_000)
    again.wait(300)

    assert core.trades == {}
    assert venue.account().positions["BTCUSDT"].lots == 0
    assert abs(core.book.realized_usdt + 10_000 - venue.account().equity_usdt) < Decimal("0.01")


def test_a_position_is_not_carried_to_another_markets_prices(
    holding: Process, tmp_path: Path
) -> None:
    holding.end()
    saved = (tmp_path / "system" / "execution_checkpoint.msgpack").read_bytes()

    with pytest.raises(Refused) as refusal:
        Process(tmp_path, holding.table, holding.now_ns, "MAINNET")

    line = str(refusal.value)
    assert f"in {tmp_path / 'system'} holds BTCUSDT on BYBIT_ENV=LOCAL" in line
    assert "start with BYBIT_ENV=LOCAL and close them first" in line
    assert "DATA_DIR" in line
    assert (tmp_path / "system" / "execution_checkpoint.msgpack").read_bytes() == saved
    again = Process(tmp_path, holding.table, holding.now_ns)
    assert again.account.core.trades["BTCUSDT"].position_lots == 100


def test_a_flat_account_goes_on_in_another_market_without_the_first_ones_books(
    tmp_path: Path, world: Any, an_instrument: Make
) -> None:
    flat = Process(tmp_path, [an_instrument("BTCUSDT")], world.now_ns)
    flat.book(10_000)
    flat.checkpoint()
    flat.end()

    same = Process(tmp_path, flat.table, flat.now_ns)
    assert same.account.venue.books.facts[0, TRUSTED]
    same.end()
    other = Process(tmp_path, flat.table, flat.now_ns, "MAINNET")

    assert not other.account.venue.books.facts[0, TRUSTED]
    other.checkpoint()
    assert CommitStore(tmp_path / "system").recover().checkpoint.bybit_env == "MAINNET"  # type: ignore[union-attr]
