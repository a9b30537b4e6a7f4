"""What a start finds, in the ticks and lots that the market's table states now."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from execution.domain.sim_memory import StoredVenue
from execution.domain.units import (
    UnitChange,
    believed_lots,
    close_unfit,
    in_new_units,
    position_in_new_units,
    unfit_symbols,
    unit_changes,
)
from execution.domain.venue import VenueUpdate
from execution.domain.workspace import CoreState
from execution.ports import Commit, Recovered
from market.domain.instruments import Instrument

logger = logging.getLogger(__name__)


def in_units_of(recovered: Recovered, now: Mapping[str, Instrument]) -> Recovered:
    """The same state in the units of `now`; the books of the venue begin anew.

    What is no whole number of the new lots is kept as far as it is, and closed (see `domain.units`).
    """
    commits = [c for c in (recovered.checkpoint, recovered.newest) if c is not None]
    before = {item.symbol: item for commit in commits for item in commit.instruments}
    changes = unit_changes(before.values(), now)
    if not changes:
        return recovered
    logger.warning("units_changed", extra={"symbols": sorted(changes)})
    checkpoint, newest = recovered.checkpoint, recovered.newest
    return msgspec.structs.replace(
        recovered,
        checkpoint=None if checkpoint is None else _commit(checkpoint, changes),
        newest=None if newest is None else _commit(newest, changes),
    )


def _commit(commit: Commit, changes: Mapping[str, UnitChange]) -> Commit:
    """`symbols` is emptied: whoever restores it takes the books for another table's."""
    core = msgspec.msgpack.decode(commit.core, type=CoreState)
    venue = msgspec.msgpack.decode(commit.venue, type=StoredVenue)
    updates = msgspec.msgpack.decode(commit.deliveries, type=list[VenueUpdate])
    unfit = sorted(unfit_symbols(core, updates, changes))
    core, updates = in_new_units(core, changes), in_new_units(updates, changes)
    memory = in_new_units(venue.memory, changes)
    if unfit:
        logger.critical("lots_do_not_fit", extra={"symbols": unfit, "reason": "they are closed"})
        close_unfit(core, unfit)
    for symbol in unfit:  # rounded one by one, its parts may sum to less than the whole
        held = venue.memory.ledger.position(symbol)
        lots = believed_lots(core, updates, symbol)
        memory.ledger.positions[symbol] = position_in_new_units(held, changes[symbol], lots)
    encode = msgspec.msgpack.encode
    return msgspec.structs.replace(
        commit,
        core=encode(core),
        venue=encode(msgspec.structs.replace(venue, memory=memory, books=None)),
        deliveries=encode(updates),
        commands=in_new_units(commit.commands, changes),
        symbols=(),
    )
