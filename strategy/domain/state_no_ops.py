"""The pairs (state, trigger) that deliberately change nothing, each with its reason.

Together with the rows of `state_machine.TABLE` they cover every pair: a test demands that each pair is in
exactly one of the two, so that a new state or trigger cannot be forgotten in any combination.
"""

from __future__ import annotations

from strategy.domain.messages import SymbolState
from strategy.domain.state_machine import Trigger

# One letter a state, as in the tests' grid.
_STATES = {
    "F": SymbolState.FLAT,
    "W": SymbolState.WATCH,
    "A": SymbolState.ARM,
    "P": SymbolState.ENTRY_PENDING,
    "I": SymbolState.IN_POSITION,
    "X": SymbolState.EXIT_PENDING,
    "C": SymbolState.COOLDOWN,
    "E": SymbolState.ERROR,
}

_ALREADY = "is there already"
_UNDER_WAY = "an order or position is under way: its plan decides, not the score"
_RESTS = "the pause after a trade is kept whatever happens"
_ERROR = "ERROR is left only by recovery or an operator"
_NOTHING_HELD = "nothing is held"
_CLOSING = "is being closed already"
_KEEPS_STOP = "a position stays with its stop"
_LATE = "speaks of an order that is long over; a snapshot repairs what differs"
_SNAPSHOT = "what is seen agrees with what is believed"
_TIMER = "the deadline belongs to another state"

_REASONS: dict[Trigger, dict[str, str]] = {
    Trigger.SCORE_LOW: {"F": _ALREADY, "PIX": _UNDER_WAY, "C": _RESTS, "E": _ERROR},
    Trigger.SCORE_WATCH: {"W": _ALREADY, "PIX": _UNDER_WAY, "C": _RESTS, "E": _ERROR},
    Trigger.SCORE_ARMED: {"A": _ALREADY, "PIX": _UNDER_WAY, "C": _RESTS, "E": _ERROR},
    Trigger.OPPOSITE_ARMED: {
        "FWA": _NOTHING_HELD,
        "P": "an entry whose signal fades is dropped by execution",
        "X": _CLOSING,
        "C": _NOTHING_HELD,
        "E": _ERROR,
    },
    Trigger.ENTRY_SIGNAL: {
        "FW": "only an armed symbol may ask for an entry",
        "PIX": "one entry or position a symbol",
        "C": _RESTS,
        "E": _ERROR,
    },
    Trigger.REGIME_BLOCKED: {
        "F": "nothing is armed",
        "I": _KEEPS_STOP,
        "X": _CLOSING,
        "C": _RESTS,
        "E": _ERROR,
    },
    Trigger.REGIME_CLEARED: {"FWAPIXC": "calm starts nothing: the next score does", "E": _ERROR},
    Trigger.RISK_BLOCKED: {
        "FWA": "signals stay visible; the request is what risk refuses",
        "I": _KEEPS_STOP,
        "X": _CLOSING,
        "C": _RESTS,
        "E": _ERROR,
    },
    Trigger.RISK_CLEARED: {"FWAPIXC": "room starts nothing: the next score does", "E": _ERROR},
    Trigger.MARKET_PANIC: {"F": _NOTHING_HELD, "X": _CLOSING, "C": _RESTS, "E": _ERROR},
    Trigger.FORCE_CLOSE: {
        "FWA": _NOTHING_HELD,
        "P": "the limit that forces it has taken the entry back before",
        "X": _CLOSING,
        "C": _NOTHING_HELD,
        "E": _ERROR,
    },
    Trigger.ENTRY_PLACED: {
        "P": "what was asked for rests: its fill is what counts",
        "FWAIXC": _LATE,
        "E": _ERROR,
    },
    Trigger.ENTRY_PART_FILLED: {
        "P": "the position that it opens is told by an event of its own",
        "I": "the position grows",
        "FWAXC": _LATE,
        "E": _ERROR,
    },
    Trigger.ENTRY_FILLED: {
        "I": "the position has opened before its entry was complete",
        "X": _CLOSING,
        "FWAC": _LATE,
        "E": _ERROR,
    },
    Trigger.ENTRY_REJECTED: {"FWAIXC": _LATE, "E": _ERROR},
    Trigger.ENTRY_CANCELED: {
        "I": "the rest of an entry goes, the position stands",
        "FWAC": _LATE,
        "E": _ERROR,
    },
    Trigger.ENTRY_CANCELED_PART_FILLED: {
        "I": "the position has opened before",
        "X": _CLOSING,
        "FWAC": _LATE,
        "E": _ERROR,
    },
    Trigger.CLOSE_PLACED: {
        "X": _ALREADY,
        "P": "a panic closes what has filled; its own event has moved the symbol or will",
        "FWAC": _LATE,
        "E": _ERROR,
    },
    Trigger.CLOSE_REJECTED: {"FWAPIC": _LATE, "E": _ERROR},
    Trigger.CLOSED_TO_REVERSE: {
        "FWAPIC": "only a close that was asked for turns round",
        "E": _ERROR,
    },
    Trigger.POSITION_OPENED: {
        "I": _ALREADY,
        "X": "a fill on the way into a close is closed with it",
        "E": _ERROR,
    },
    Trigger.POSITION_CLOSED: {"FWAC": _NOTHING_HELD, "E": _ERROR},
    Trigger.CLOSED_BY_EXCHANGE: {"FWAC": _NOTHING_HELD, "E": _ERROR},
    Trigger.EXECUTION_FAILED: {"E": _ALREADY},
    Trigger.SAFE_MODE_ON: {
        "FWA": "states move with the signals; the request is what safe mode refuses",
        "I": _KEEPS_STOP,
        "X": _CLOSING,
        "C": _RESTS,
        "E": _ERROR,
    },
    Trigger.SAFE_MODE_OFF: {"FWAPIXC": "its end starts nothing: the next score does"},
    Trigger.PANIC: {"F": _NOTHING_HELD, "X": _CLOSING, "C": _RESTS, "E": _ERROR},
    Trigger.DRIFT_POSITION: {
        "I": _SNAPSHOT,
        "X": "a close under way still has its position",
        "E": _ERROR,
    },
    Trigger.DRIFT_ENTRY: {"X": "a close takes the entry with it", "E": _ERROR},
    Trigger.DRIFT_NOTHING: {"FWAC": _SNAPSHOT, "E": _ERROR},
    Trigger.RECOVERED_POSITION: {
        "I": _SNAPSHOT,
        "X": "a close under way still has its position",
    },
    Trigger.RECOVERED_NOTHING: {
        "P": "that no position stands says nothing about an entry still on its way",
        "FWAC": _SNAPSHOT,
    },
    Trigger.ENTRY_TIMEOUT: {"FWAXCE": _TIMER},
    Trigger.EXIT_TIMEOUT: {"FWAPICE": _TIMER},
    Trigger.COOLDOWN_OVER: {"FWAPIXE": _TIMER},
}

NO_OPS: dict[tuple[SymbolState, Trigger], str] = {
    (_STATES[letter], trigger): reason
    for trigger, by_states in _REASONS.items()
    for letters, reason in by_states.items()
    for letter in letters
}
