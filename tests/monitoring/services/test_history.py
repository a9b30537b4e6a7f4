"""What a dashboard that starts takes from the database."""

from __future__ import annotations

import pytest

from execution.domain.operator import OperatorAction
from monitoring.domain.view import SafeModeSince
from monitoring.services import history, operator

pytestmark = pytest.mark.django_db


def an_audited(action: OperatorAction, result: str = "OK: done") -> int:
    """Returns when, epoch ms."""
    command = operator.make_command(action, reason="drill", actor="admin", source="DASHBOARD")
    history.audit(command, ip="127.0.0.1", result=result)
    return round(command.ts_ns / 1e6)


def test_safe_mode_is_on_since_it_was_first_switched_on_after_the_last_off() -> None:
    an_audited(OperatorAction.SAFE_MODE_ON)
    an_audited(OperatorAction.SAFE_MODE_OFF)
    an_audited(OperatorAction.PANIC_CLOSE_ALL, result="REFUSED: no")
    since_ms = an_audited(OperatorAction.PANIC_CLOSE_ALL)
    an_audited(OperatorAction.SAFE_MODE_ON)

    (message,) = history.remembered()

    assert isinstance(message, SafeModeSince)
    assert abs(message.since_ms - since_ms) <= 1


def test_nothing_is_remembered_once_safe_mode_is_off() -> None:
    an_audited(OperatorAction.SAFE_MODE_ON)
    an_audited(OperatorAction.SAFE_MODE_OFF)

    assert history.remembered() == []
