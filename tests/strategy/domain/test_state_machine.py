"""The state table, pair by pair."""

from __future__ import annotations

import pytest

from strategy.domain.messages import EventType, SymbolState
from strategy.domain.state_machine import EVENT_TYPES, TABLE, Action, Trigger, next_row
from strategy.domain.state_no_ops import NO_OPS

ORDER = (
    "FLAT",
    "WATCH",
    "ARM",
    "ENTRY_PENDING",
    "IN_POSITION",
    "EXIT_PENDING",
    "COOLDOWN",
    "ERROR",
)
LETTERS = dict(zip("FWAPIXCE", ORDER, strict=True))

# One line a trigger, one letter a state in ORDER: where it leads, "." where nothing happens. Written by
# hand from pipeline §4 and docs/contracts.md, so that no cell of the table changes unnoticed.
GRID = """
                            F W A P I X C E
SCORE_LOW                   . F F . . . . .
SCORE_WATCH                 W . W . . . . .
SCORE_ARMED                 A A . . . . . .
OPPOSITE_ARMED              . . . . X . . .
ENTRY_SIGNAL                . . P . . . . .
REGIME_BLOCKED              . F F P . . . .
REGIME_CLEARED              . . . . . . . .
RISK_BLOCKED                . . . P . . . .
RISK_CLEARED                . . . . . . . .
MARKET_PANIC                . F F P X . . .
FORCE_CLOSE                 . . . . X . . .
ENTRY_PLACED                . . . . . . . .
ENTRY_PART_FILLED           . . . . . . . .
ENTRY_FILLED                . . . I . . . .
ENTRY_REJECTED              . . . C . . . .
ENTRY_CANCELED              . . . C . C . .
ENTRY_CANCELED_PART_FILLED  . . . I . . . .
CLOSE_PLACED                . . . . X . . .
CLOSE_REJECTED              . . . . . I . .
CLOSED_TO_REVERSE           . . . . . A . .
POSITION_OPENED             I I I I . . I .
POSITION_CLOSED             . . . C C C . .
CLOSED_BY_EXCHANGE          . . . C C C . .
EXECUTION_FAILED            E E E E E E E .
SAFE_MODE_ON                . . . P . . . .
SAFE_MODE_OFF               . . . . . . . C
PANIC                       . F F X X . . .
DRIFT_POSITION              I I I I . . I .
DRIFT_ENTRY                 P P P P P . P .
DRIFT_NOTHING               . . . C C C . .
RECOVERED_POSITION          I I I I . . I I
RECOVERED_NOTHING           . . . . C C . C
ENTRY_TIMEOUT               . . . P I . . .
EXIT_TIMEOUT                . . . . . X . .
COOLDOWN_OVER               . . . . . . F .
"""


def grid() -> dict[tuple[SymbolState, Trigger], SymbolState]:
    cells = {}
    for line in GRID.strip("\n").splitlines()[1:]:
        name, *letters = line.split()
        assert len(letters) == len(ORDER)
        for state, letter in zip(ORDER, letters, strict=True):
            if letter != ".":
                cells[SymbolState(state), Trigger(name)] = SymbolState(LETTERS[letter])
    return cells


@pytest.mark.parametrize("state", list(SymbolState))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_leads_where_the_grid_says(state: SymbolState, trigger: Trigger) -> None:
    row = next_row(state, trigger)

    assert (row.state if row else None) == grid().get((state, trigger))


@pytest.mark.parametrize("state", list(SymbolState))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_is_a_row_or_a_no_op_with_its_reason(
    state: SymbolState, trigger: Trigger
) -> None:
    has_row, reason = next_row(state, trigger) is not None, NO_OPS.get((state, trigger))

    assert has_row == (reason is None)
    assert reason is None or len(reason) > 10


def test_the_grid_names_every_trigger() -> None:
    named = {line.split()[0] for line in GRID.strip("\n").splitlines()[1:]}

    assert named == {trigger.value for trigger in Trigger}


def test_every_trigger_is_told_as_an_event_type_of_the_specification() -> None:
    assert set(EVENT_TYPES) == set(Trigger)
    untold = set(EventType) - set(EVENT_TYPES.values())
    assert untold == set()


def test_an_open_request_leaves_only_from_armed() -> None:
    opening = {key for key, row in TABLE.items() if Action.REQUEST_OPEN in row.actions}

    assert opening == {(SymbolState.ARM, Trigger.ENTRY_SIGNAL)}


def test_error_is_left_only_by_recovery_or_an_operator() -> None:
    ways_out = {trigger for state, trigger in TABLE if state is SymbolState.ERROR}

    assert ways_out == {
        Trigger.SAFE_MODE_OFF,
        Trigger.RECOVERED_POSITION,
        Trigger.RECOVERED_NOTHING,
    }


def test_every_state_that_waits_starts_the_timer_it_is_left_by() -> None:
    starts = {
        SymbolState.COOLDOWN: {Action.START_COOLDOWN, Action.START_RETRY_COOLDOWN},
        SymbolState.EXIT_PENDING: {Action.START_EXIT_TIMER},
        SymbolState.ENTRY_PENDING: {Action.START_ENTRY_TIMER},
    }
    for (state, trigger), row in TABLE.items():
        if row.state in starts and row.state is not state:
            assert starts[row.state] & set(row.actions), (state, trigger)


def test_every_state_but_error_can_come_back_to_flat() -> None:
    for start in SymbolState:
        reached, frontier = {start}, [start]
        while frontier:
            state = frontier.pop()
            for trigger in Trigger:
                row = next_row(state, trigger)
                if row and row.state not in reached:
                    reached.add(row.state)
                    frontier.append(row.state)
        assert SymbolState.FLAT in reached
