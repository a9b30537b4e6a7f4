"""Which frame the execution core must look at next, so that replay may pass over the calm ones.

Looking at a frame that needs nothing does no harm; passing over one that does would change results. So
every rule here errs on the side of looking.
"""

from __future__ import annotations

from execution.domain.trade_calm import first_for_trade
from execution.domain.workspace import CoreState, Workspace
from failover.domain.days import NS_PER_DAY
from market.domain.frames import FrameReason, Frames

SECOND_NS = 1_000_000_000
FINISHED_KEPT_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
_FRAMES_AHEAD = 64  # with a trade the next look is near: do not search a whole stretch for it


def next_second_ns(ts_ns: int) -> int:
    """The first whole second after `ts_ns`: snapshots and limits go by these."""
    return (ts_ns // SECOND_NS + 1) * SECOND_NS


def first_needed(work: Workspace, frames: Frames, start: int) -> int:
    """Index of the first frame from `start` on that may change something; `len(frames)` when none does.

    While anything is held each whole second counts: equity moves, and limits with it.
    """
    state = work.state
    if state.strays or state.position_doubts:
        return start
    if state.trades:
        frames = frames[: start + _FRAMES_AHEAD]
    is_held = any(trade.position_lots for trade in state.trades.values())
    due_ns = next_second_ns(state.last_snapshot_ns) if is_held else idle_due_ns(state)
    stop = start + int(frames["ts_ns"][start:].searchsorted(due_ns))
    for trade in state.trades.values():
        looked_ns = work.settled.get(trade.symbol)
        if looked_ns is None:
            return start
        scene, column = work.scene(trade, looked_ns), work.columns[trade.symbol]
        stop = start + first_for_trade(trade, scene, frames[start:stop], column)
    return stop


def idle_due_ns(state: CoreState) -> int:
    """When an account that holds and waits for nothing next changes: the instants are whole seconds.

    A new UTC day, an entry that leaves the hour of `max_trades_per_hour`, an ended trade to be forgotten,
    a symbol whose quality changes by time alone; at once before the first snapshot.
    """
    if not state.last_snapshot_ns:
        return 0
    instants = [(state.last_snapshot_ns // NS_PER_DAY + 1) * NS_PER_DAY]
    instants += [entry_ns + HOUR_NS for entry_ns in state.book.entry_times_ns[:1]]
    instants += [ended_ns + FINISHED_KEPT_NS for ended_ns, _ in state.finished.values()]
    told_ns = state.last_snapshot_ns
    changes = [symbol.next_change_ns(told_ns) for symbol in state.quality.symbols.values()]
    instants += [instant for instant in changes if instant is not None]
    return next_second_ns(min(instants) - 1)


def tick_and_end_ns(frames: Frames) -> tuple[int, int]:
    """(first boundary of the last second that has one, last boundary), 0 without any boundary.

    The first is when that second's snapshot is sent.
    """
    instants = frames["ts_ns"][frames["reason"] == FrameReason.BOUNDARY]
    if not instants.size:
        return 0, 0
    end_ns = int(instants[-1])
    second_ns = next_second_ns(end_ns) - SECOND_NS
    return int(instants[instants.searchsorted(second_ns)]), end_ns
