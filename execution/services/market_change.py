"""An account saved on one market, started on another (BYBIT_ENV): flat it may go on, holding it may not."""

from __future__ import annotations

import logging

import msgspec

from execution.domain.sim_memory import StoredVenue
from execution.domain.workspace import CoreState
from execution.ports import Commit, Recovered
from failover.domain.errors import Refused

logger = logging.getLogger(__name__)


def on_market_of(recovered: Recovered, bybit_env: str, folder: str) -> Recovered:
    """What a start found in `folder`, for a run on `bybit_env`; books of another market begin anew.

    Raises: Refused when the account holds anything there: this market's prices are not that position's.
    """
    checkpoint, newest = recovered.checkpoint, recovered.newest
    last = newest or checkpoint
    if last is None or last.bybit_env in ("", bybit_env):
        return recovered
    if held := _held(last):
        raise Refused(
            f"the simulated account in {folder} holds {', '.join(held)} on BYBIT_ENV={last.bybit_env}, "
            f"this start is on {bybit_env}: start with BYBIT_ENV={last.bybit_env} and close them first, "
            f"or give {bybit_env} a folder of its own (DATA_DIR)"
        )
    logger.warning("market_changed", extra={"before": last.bybit_env, "now": bybit_env})
    if checkpoint is not None:  # without symbols its books are those of another table
        checkpoint = msgspec.structs.replace(checkpoint, symbols=())
    return msgspec.structs.replace(recovered, checkpoint=checkpoint)


def _held(commit: Commit) -> list[str]:
    """Symbols with a trade, a position or an order."""
    core = msgspec.msgpack.decode(commit.core, type=CoreState)
    memory = msgspec.msgpack.decode(commit.venue, type=StoredVenue).memory
    symbols = set(core.trades) | {trade.plan.symbol for trade in core.strays.values()}
    symbols |= {name for name, position in memory.ledger.positions.items() if position.lots}
    symbols |= {order.symbol for order in memory.orders.values()}
    symbols |= {name for name, orders in memory.waiting.items() if orders}
    return sorted(symbols | {item.command.symbol for item in memory.pending})
