"""Watches the account's limits for the strategy core: when they stop entries, clear, or close everything."""

from __future__ import annotations

from strategy.domain.account import AccountTracker, has_same_money
from strategy.domain.config import RiskConfig
from strategy.domain.messages import ExecutionSnapshot
from strategy.domain.risk import account_stops, forces_close
from strategy.domain.state_machine import Trigger

_NS_PER_DAY = 86_400 * 1_000_000_000


class LimitWatch:
    """What the account forbids, looked at again only when its money has changed or a limit ends by time."""

    def __init__(self, account: AccountTracker) -> None:
        self._account = account
        self._watched: ExecutionSnapshot | None = None  # last looked at; None: look whatever it is
        self.due_ns: int | None = None  # when a limit ends by time; None before the first look
        self.stopped = False  # the limits stopped entries at the last look

    def look(self, ts_ns: int, config: RiskConfig) -> list[tuple[Trigger, str]]:
        """What every symbol must hear now, with the reasons, in order."""
        if self.has_seen_all(ts_ns):
            return []
        if ts_ns < (self.due_ns or 0) and has_same_money(self._watched, self._account.snapshot):
            self._watched = self._account.snapshot
            return []  # execution's account is as it was, and nothing has ended since
        account = self._account.money(ts_ns)
        if account is None:
            return []
        self._watched = self._account.snapshot
        self.due_ns = (ts_ns // _NS_PER_DAY + 1) * _NS_PER_DAY
        if account.paused_until_ns > ts_ns:
            self.due_ns = min(self.due_ns, account.paused_until_ns)
        stops = account_stops(account, config)
        reason, found = "; ".join(stops), []
        if bool(stops) != self.stopped:
            self.stopped = bool(stops)
            found.append((Trigger.RISK_BLOCKED if stops else Trigger.RISK_CLEARED, reason))
        if forces_close(account, config):
            self._watched = None
            found.append((Trigger.FORCE_CLOSE, reason))
        return found

    def has_seen_all(self, ts_ns: int) -> bool:
        """Whether `look` would find nothing: no word of the account since, and nothing ends by time."""
        return ts_ns < (self.due_ns or 0) and self._watched is self._account.snapshot

    def forget(self) -> None:
        """What was seen before proves nothing now: the next look is a whole one."""
        self._watched = None

    def restore(self, due_ns: int | None, *, stopped: bool) -> None:
        """Take over what another one stood at."""
        self.due_ns, self.stopped = due_ns, stopped
        self.forget()
