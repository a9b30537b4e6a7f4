"""Which frame the execution core must look at next, so that replay may pass over the calm ones.

Looking at a frame that needs nothing does no harm; passing over one that does would change results. So
every rule here errs on the side of looking.
"""

from __future__ import annotations

from execution.domain.frame_rows import FrameRows
from execution.domain.quality import NEVER_NS
from execution.domain.trade_calm import wait_for_trade
from execution.domain.workspace import CoreState, Workspace
from failover.domain.days import NS_PER_DAY

SECOND_NS = 1_000_000_000
FINISHED_KEPT_NS = 60 * SECOND_NS
_HAIR = 1 - 1e-6  # for the rounding of floats


def next_second_ns(ts_ns: int) -> int:
    """The first whole second after `ts_ns`: snapshots and limits go by these."""
    return (ts_ns // SECOND_NS + 1) * SECOND_NS


def first_needed(work: Workspace, rows: FrameRows, start: int) -> int:
    """Index of the first frame from `start` on that may change something; `len(rows)` when none does.

    While something is held equity moves, and with it what the limits of the account allow: a price that
    could bring one of them into reach is waited for, and near one each whole second counts.
    """
    state, waits = work.state, work.waits
    if state.strays or state.position_doubts:
        return start
    waits.clear()
    waits.tells_alone = False
    for symbol, trade in state.trades.items():
        looked_ns = work.settled.get(symbol)
        if looked_ns is None:
            return start
        scene, column = work.scene(trade, looked_ns), work.columns[symbol]
        if not wait_for_trade(trade, scene, looked_ns, waits, column):
            return start
    record_ns = wait_for_records(work)
    if state.trades and not has_room(work):
        return waits.first(rows, start, next_second_ns(state.last_snapshot_ns))
    waits.tells_alone = True
    return waits.first(rows, start, min(idle_due_ns(work), record_ns))


def needs_look(work: Workspace, rows: FrameRows, start: int, stop: int) -> bool:
    """Whether frames start..stop, the first that `first_needed` has named, want more than to be told of.

    Nothing has been heard since.
    """
    state, waits = work.state, work.waits
    if state.strays or state.position_doubts or not waits.tells_alone:
        return True
    return bool(state.trades) and waits.first(rows, start, NEVER_NS) < stop


def has_room(work: Workspace) -> bool:
    """Note the prices between which no limit of the account is in reach; False where one is at once.

    Half of the equity above the nearest limit is shared among what is held: with the other half the peak
    that a drawdown counts from may rise meanwhile.
    """
    trades = work.state.trades.values()
    held = [trade for trade in trades if trade.entered_lots > trade.exited_lots]
    if not held:
        return True
    book, limits, equity = work.state.book, work.limits, 0.0
    prices = {trade.plan.symbol: work.price_ticks(trade) for trade in held}
    if book.day_open_usdt is None or not all(prices.values()):
        return False
    for trade in trades:
        equity += work.open_usdt(trade, prices.get(trade.plan.symbol, 0.0))
    equity += float(book.deposit_usdt + book.realized_usdt)
    loss_pct = min(limits.daily_loss_limit_pct, limits.daily_loss_close_pct)
    lowest = max(
        book.day_open_usdt * (1 - loss_pct / 100),
        max(book.equity_peak_usdt, equity) * (1 - limits.max_drawdown_pct / 100),
        0.0,
    )
    room_usdt = (equity - lowest) / 2 / len(held) * _HAIR
    if not room_usdt > 0:
        return False
    for trade in held:
        price = prices[trade.plan.symbol]
        width = room_usdt / (trade.position_lots * work.units_usdt[trade.plan.symbol])
        work.waits.bound(work.columns[trade.plan.symbol], price - width, price + width)
    return True


def idle_due_ns(work: Workspace) -> int:
    """When an account next changes that waits for no price and no order; instants are whole seconds.

    A new UTC day, a symbol whose quality changes by time alone; the next second where something is to be
    told that decisions go by; at once before the first snapshot. What the hour of `max_trades_per_hour` and
    ended trades need is done in passing.
    """
    state, told_ns = work.state, work.state.last_snapshot_ns
    if not told_ns:
        return 0
    if work.quality.has_news(told_ns) or _has_closed_since(told_ns, state):
        return next_second_ns(told_ns)
    due_ns = min((told_ns // NS_PER_DAY + 1) * NS_PER_DAY, work.quality.next_change_ns(told_ns))
    return next_second_ns(due_ns - 1)


def wait_for_records(work: Workspace) -> int:
    """The whole second at which the next record to be complete is told of.

    It is completed in passing, but where a trade may grow: there it may be what forbids that, and its own
    frame is waited for.
    """
    quality, due_ns = work.quality, NEVER_NS
    if not quality.state.markouts:
        return due_ns
    for symbol in quality.state.markouts:
        column = work.columns.get(symbol, -1)
        if column < 0:
            continue
        record_ns = quality.next_record_ns(symbol)
        if work.waits.is_growing(column):
            work.waits.due(column, record_ns)
        else:
            due_ns = min(due_ns, record_ns)
    return next_second_ns(max(due_ns - 1, work.state.last_snapshot_ns))


def _has_closed_since(told_ns: int, state: CoreState) -> bool:
    """Whether a position has been closed: the pause after a loss begins when it is told."""
    for ended_ns, trade in reversed(state.finished.values()):  # the last to end stands last
        if ended_ns < told_ns:
            return False
        if trade.entered_lots:
            return True
    return False
