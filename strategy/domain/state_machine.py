"""The state machine of one symbol as a table: (state, trigger) -> (state, actions) (pipeline §4).

A trigger is finer than an event type: one event type (a scoring update) means different things by its
figures, and the core says which. A pair without a row is deliberate too: nothing happens, it is counted, and
`state_no_ops` says why.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from strategy.domain.messages import EventType, SymbolState

FLAT, WATCH, ARM = SymbolState.FLAT, SymbolState.WATCH, SymbolState.ARM
PENDING, IN_POSITION = SymbolState.ENTRY_PENDING, SymbolState.IN_POSITION
EXITING, COOLDOWN, ERROR = SymbolState.EXIT_PENDING, SymbolState.COOLDOWN, SymbolState.ERROR


class Trigger(StrEnum):
    """What can happen to a symbol, told apart as far as the machine acts differently."""

    SCORE_LOW = "SCORE_LOW"  # below watch_score
    SCORE_WATCH = "SCORE_WATCH"  # at watch_score, not armed
    SCORE_ARMED = "SCORE_ARMED"  # at entry_score on arm_frames boundary frames in a row
    OPPOSITE_ARMED = "OPPOSITE_ARMED"  # the same against an open position, where that closes it
    ENTRY_SIGNAL = "ENTRY_SIGNAL"  # armed, gate open, risk allows, a plan exists
    REGIME_BLOCKED = "REGIME_BLOCKED"
    REGIME_CLEARED = "REGIME_CLEARED"
    RISK_BLOCKED = "RISK_BLOCKED"
    RISK_CLEARED = "RISK_CLEARED"
    MARKET_PANIC = "MARKET_PANIC"  # the whole market, where that closes positions
    FORCE_CLOSE = "FORCE_CLOSE"  # the day's loss demands it; execution carries it out
    ENTRY_PLACED = "ENTRY_PLACED"
    ENTRY_PART_FILLED = "ENTRY_PART_FILLED"
    ENTRY_FILLED = "ENTRY_FILLED"
    ENTRY_REJECTED = "ENTRY_REJECTED"
    ENTRY_CANCELED = "ENTRY_CANCELED"  # nothing was filled
    ENTRY_CANCELED_PART_FILLED = "ENTRY_CANCELED_PART_FILLED"  # a smaller position stands
    CLOSE_PLACED = "CLOSE_PLACED"
    CLOSE_REJECTED = "CLOSE_REJECTED"
    CLOSED_TO_REVERSE = "CLOSED_TO_REVERSE"  # flat after a close that was to be turned round
    POSITION_OPENED = "POSITION_OPENED"
    POSITION_CLOSED = "POSITION_CLOSED"
    CLOSED_BY_EXCHANGE = "CLOSED_BY_EXCHANGE"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    SAFE_MODE_ON = "SAFE_MODE_ON"
    SAFE_MODE_OFF = "SAFE_MODE_OFF"
    PANIC = "PANIC"
    DRIFT_POSITION = "DRIFT_POSITION"  # a snapshot shows a position we did not know of
    DRIFT_ENTRY = "DRIFT_ENTRY"  # a snapshot shows a live entry we did not know of
    DRIFT_NOTHING = "DRIFT_NOTHING"  # a snapshot shows that what we waited for is over
    RECOVERED_POSITION = "RECOVERED_POSITION"  # recovery or restart of execution: a position stands
    RECOVERED_NOTHING = "RECOVERED_NOTHING"  # recovery or restart of execution: nothing stands
    ENTRY_TIMEOUT = "ENTRY_TIMEOUT"
    EXIT_TIMEOUT = "EXIT_TIMEOUT"
    COOLDOWN_OVER = "COOLDOWN_OVER"


class Action(StrEnum):
    """What the core does on the way into the new state."""

    REQUEST_OPEN = "REQUEST_OPEN"
    REQUEST_CANCEL = "REQUEST_CANCEL"
    REQUEST_CLOSE = "REQUEST_CLOSE"
    TURN_ROUND = "TURN_ROUND"
    START_COOLDOWN = "START_COOLDOWN"
    START_RETRY_COOLDOWN = "START_RETRY_COOLDOWN"
    START_ENTRY_TIMER = "START_ENTRY_TIMER"
    START_EXIT_TIMER = "START_EXIT_TIMER"


class Row(NamedTuple):
    state: SymbolState
    actions: tuple[Action, ...] = ()


_REST = (Action.START_COOLDOWN,)
_RETRY = (Action.START_RETRY_COOLDOWN,)
_WAIT_EXIT = (Action.START_EXIT_TIMER,)
_WAIT_ENTRY = (Action.START_ENTRY_TIMER,)
_CANCEL = (Action.REQUEST_CANCEL, Action.START_ENTRY_TIMER)
_CLOSE = (Action.REQUEST_CLOSE, Action.START_EXIT_TIMER)

_BY_TRIGGER: dict[Trigger, dict[SymbolState, Row]] = {
    # Signals move only a symbol that holds nothing and waits for nothing.
    Trigger.SCORE_LOW: {WATCH: Row(FLAT), ARM: Row(FLAT)},
    Trigger.SCORE_WATCH: {FLAT: Row(WATCH), ARM: Row(WATCH)},
    Trigger.SCORE_ARMED: {FLAT: Row(ARM), WATCH: Row(ARM)},
    Trigger.ENTRY_SIGNAL: {
        ARM: Row(PENDING, (Action.REQUEST_OPEN, Action.START_ENTRY_TIMER)),
    },
    Trigger.OPPOSITE_ARMED: {IN_POSITION: Row(EXITING, _CLOSE)},
    # A bad regime disarms and takes back an entry; a position stays with its stop.
    Trigger.REGIME_BLOCKED: {
        WATCH: Row(FLAT),
        ARM: Row(FLAT),
        PENDING: Row(PENDING, (Action.REQUEST_CANCEL,)),
    },
    Trigger.REGIME_CLEARED: {},
    # Risk that closes the door leaves signals visible (WATCH, ARM) but takes back an entry.
    Trigger.RISK_BLOCKED: {PENDING: Row(PENDING, (Action.REQUEST_CANCEL,))},
    Trigger.RISK_CLEARED: {},
    Trigger.MARKET_PANIC: {
        WATCH: Row(FLAT),
        ARM: Row(FLAT),
        PENDING: Row(PENDING, (Action.REQUEST_CANCEL,)),
        IN_POSITION: Row(EXITING, _CLOSE),
    },
    Trigger.FORCE_CLOSE: {IN_POSITION: Row(EXITING, _WAIT_EXIT)},
    # The life of our entry, as execution tells it.
    Trigger.ENTRY_PLACED: {},
    Trigger.ENTRY_PART_FILLED: {},
    Trigger.ENTRY_FILLED: {PENDING: Row(IN_POSITION)},
    Trigger.ENTRY_REJECTED: {PENDING: Row(COOLDOWN, _REST)},
    Trigger.ENTRY_CANCELED: {PENDING: Row(COOLDOWN, _RETRY), EXITING: Row(COOLDOWN, _REST)},
    Trigger.ENTRY_CANCELED_PART_FILLED: {PENDING: Row(IN_POSITION)},
    # A close that somebody else began is waited for like our own.
    Trigger.CLOSE_PLACED: {IN_POSITION: Row(EXITING, _WAIT_EXIT)},
    Trigger.CLOSE_REJECTED: {EXITING: Row(IN_POSITION)},
    # A reversal is two requests: this confirms the first, and the armed signal may make the second.
    Trigger.CLOSED_TO_REVERSE: {EXITING: Row(ARM, (Action.TURN_ROUND,))},
    Trigger.POSITION_OPENED: {
        FLAT: Row(IN_POSITION),
        WATCH: Row(IN_POSITION),
        ARM: Row(IN_POSITION),
        PENDING: Row(IN_POSITION),
        COOLDOWN: Row(IN_POSITION),
    },
    Trigger.POSITION_CLOSED: {
        PENDING: Row(COOLDOWN, _REST),
        IN_POSITION: Row(COOLDOWN, _REST),
        EXITING: Row(COOLDOWN, _REST),
    },
    Trigger.CLOSED_BY_EXCHANGE: {
        PENDING: Row(COOLDOWN, _REST),
        IN_POSITION: Row(COOLDOWN, _REST),
        EXITING: Row(COOLDOWN, _REST),
    },
    # Trouble. ERROR is left only by recovery or by an operator who ends safe mode.
    Trigger.EXECUTION_FAILED: {
        state: Row(ERROR) for state in (FLAT, WATCH, ARM, PENDING, IN_POSITION, EXITING, COOLDOWN)
    },
    Trigger.SAFE_MODE_ON: {PENDING: Row(PENDING, (Action.REQUEST_CANCEL,))},
    Trigger.SAFE_MODE_OFF: {ERROR: Row(COOLDOWN, _REST)},
    Trigger.PANIC: {
        WATCH: Row(FLAT),
        ARM: Row(FLAT),
        PENDING: Row(EXITING, _WAIT_EXIT),
        IN_POSITION: Row(EXITING, _WAIT_EXIT),
    },
    # What a snapshot shows wins over what we believed.
    Trigger.DRIFT_POSITION: {
        FLAT: Row(IN_POSITION),
        WATCH: Row(IN_POSITION),
        ARM: Row(IN_POSITION),
        PENDING: Row(IN_POSITION),
        COOLDOWN: Row(IN_POSITION),
    },
    Trigger.DRIFT_ENTRY: {
        FLAT: Row(PENDING, _WAIT_ENTRY),
        WATCH: Row(PENDING, _WAIT_ENTRY),
        ARM: Row(PENDING, _WAIT_ENTRY),
        PENDING: Row(PENDING, _WAIT_ENTRY),
        IN_POSITION: Row(PENDING, _WAIT_ENTRY),
        COOLDOWN: Row(PENDING, _WAIT_ENTRY),
    },
    Trigger.DRIFT_NOTHING: {
        PENDING: Row(COOLDOWN, _RETRY),
        IN_POSITION: Row(COOLDOWN, _REST),
        EXITING: Row(COOLDOWN, _REST),
    },
    Trigger.RECOVERED_POSITION: {
        state: Row(IN_POSITION) for state in (FLAT, WATCH, ARM, PENDING, COOLDOWN, ERROR)
    },
    Trigger.RECOVERED_NOTHING: {
        # Not ENTRY_PENDING: that no position stands says nothing about an entry still on its way.
        state: Row(COOLDOWN, _REST)
        for state in (IN_POSITION, EXITING, ERROR)
    },
    # Time-outs happen at frames. An unanswered request is repeated; it is the same wish, so no harm.
    Trigger.ENTRY_TIMEOUT: {
        PENDING: Row(PENDING, _CANCEL),
        IN_POSITION: Row(IN_POSITION, _CANCEL),
    },
    Trigger.EXIT_TIMEOUT: {EXITING: Row(EXITING, _CLOSE)},
    Trigger.COOLDOWN_OVER: {COOLDOWN: Row(FLAT)},
}

TABLE: dict[tuple[SymbolState, Trigger], Row] = {
    (state, trigger): row for trigger, rows in _BY_TRIGGER.items() for state, row in rows.items()
}

EVENT_TYPES: dict[Trigger, EventType] = {
    Trigger.SCORE_LOW: EventType.SCORING_UPDATE,
    Trigger.SCORE_WATCH: EventType.SCORING_UPDATE,
    Trigger.SCORE_ARMED: EventType.SCORING_UPDATE,
    Trigger.OPPOSITE_ARMED: EventType.ORDER_REQUEST,
    Trigger.ENTRY_SIGNAL: EventType.ORDER_REQUEST,
    Trigger.REGIME_BLOCKED: EventType.REGIME_UPDATE,
    Trigger.REGIME_CLEARED: EventType.REGIME_UPDATE,
    Trigger.RISK_BLOCKED: EventType.RISK_UPDATE,
    Trigger.RISK_CLEARED: EventType.RISK_UPDATE,
    Trigger.MARKET_PANIC: EventType.REGIME_UPDATE,
    Trigger.FORCE_CLOSE: EventType.RISK_UPDATE,
    Trigger.ENTRY_PLACED: EventType.EXECUTION_ORDER_PLACED,
    Trigger.ENTRY_PART_FILLED: EventType.EXECUTION_ORDER_PARTIALLY_FILLED,
    Trigger.ENTRY_FILLED: EventType.EXECUTION_ORDER_FILLED,
    Trigger.ENTRY_REJECTED: EventType.EXECUTION_ORDER_REJECTED,
    Trigger.ENTRY_CANCELED: EventType.EXECUTION_ORDER_CANCELED,
    Trigger.ENTRY_CANCELED_PART_FILLED: EventType.EXECUTION_ORDER_CANCELED,
    Trigger.CLOSE_PLACED: EventType.EXECUTION_ORDER_PLACED,
    Trigger.CLOSE_REJECTED: EventType.EXECUTION_ORDER_REJECTED,
    Trigger.CLOSED_TO_REVERSE: EventType.EXECUTION_POSITION_CLOSED,
    Trigger.POSITION_OPENED: EventType.EXECUTION_POSITION_OPENED,
    Trigger.POSITION_CLOSED: EventType.EXECUTION_POSITION_CLOSED,
    Trigger.CLOSED_BY_EXCHANGE: EventType.POSITION_CLOSED_BY_EXCHANGE,
    Trigger.EXECUTION_FAILED: EventType.EXECUTION_ERROR,
    Trigger.SAFE_MODE_ON: EventType.SAFE_MODE_ON,
    Trigger.SAFE_MODE_OFF: EventType.SAFE_MODE_OFF,
    Trigger.PANIC: EventType.PANIC_CLOSE_TRIGGERED,
    Trigger.DRIFT_POSITION: EventType.POSITION_RESYNC,
    Trigger.DRIFT_ENTRY: EventType.POSITION_RESYNC,
    Trigger.DRIFT_NOTHING: EventType.POSITION_RESYNC,
    Trigger.RECOVERED_POSITION: EventType.POSITION_RESYNC,
    Trigger.RECOVERED_NOTHING: EventType.POSITION_RESYNC,
    Trigger.ENTRY_TIMEOUT: EventType.TIMER,
    Trigger.EXIT_TIMEOUT: EventType.TIMER,
    Trigger.COOLDOWN_OVER: EventType.TIMER,
}


def next_row(state: SymbolState, trigger: Trigger) -> Row | None:
    """The row of the table, or None where the pair changes nothing."""
    return TABLE.get((state, trigger))
