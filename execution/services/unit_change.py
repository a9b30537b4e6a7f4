"""What a start finds, in the ticks and lots that the market's table states now."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from execution.domain.sim_memory import StoredVenue
from execution.domain.units import UnitChange, in_new_units, unit_changes
from execution.domain.venue import VenueUpdate
from execution.domain.workspace import CoreState
from execution.ports import Commit, Recovered
from market.domain.instruments import Instrument

logger = logging.getLogger(__name__)


def in_units_of(recovered: Recovered, now: Mapping[str, Instrument]) -> Recovered:
    """The same state in the units of `now`; the books of the venue begin anew.

    Raises: LotsDoNotFit when a quantity is no whole number of the new lots: start once more with the old
    table, close what is held, then follow the new one.
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
    encode = msgspec.msgpack.encode
    return msgspec.structs.replace(
        commit,
        core=encode(in_new_units(core, changes)),
        venue=encode(
            msgspec.structs.replace(venue, memory=in_new_units(venue.memory, changes), books=None)
        ),
        deliveries=encode(in_new_units(updates, changes)),
        commands=in_new_units(commit.commands, changes),
        symbols=(),
    )
