"""When the shared system may leave the live market for a recorded one, and when it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from failover.domain.heartbeat import Heartbeat

# Services that must have left LIVE before a shared replay begins, where they run at all.
LEAVING = ("market", "execution")
_FIX = "close it (or let it run out) and cancel what is open, then start the replay again"


def reason_to_stay(execution_mode: str, execution: Heartbeat | None) -> str:
    """Why real money forbids the switch now; empty when nothing does.

    In SIM and DRY_RUN nothing real is open: simulated positions stand still, feed and venue with them, and
    go on at the first prices after the replay. In LIVE what is not known counts as open.
    """
    if execution_mode != "LIVE":
        return ""
    if execution is None:
        return "execution is silent, so whether a LIVE position or order is open is not known"
    details = execution.details
    for name, what in (("openTrades", "position"), ("openOrders", "order")):
        count = details.get(name)
        if not isinstance(count, int):
            return f"execution does not say whether a LIVE {what} is open"
        if count:
            return f"{count} LIVE {what}{'s are' if count > 1 else ' is'} open: {_FIX}"
    return ""


def still_live(epoch: int, beats: Mapping[str, Heartbeat]) -> list[str]:
    """Services that run and do not yet say that they follow the switch of `epoch`, connectors closed.

    A service without a heartbeat is not there: it reads the row before it opens anything.
    """
    return [
        name
        for name in LEAVING
        if name in beats
        and (
            _seen(beats[name].details.get("runModeEpoch")) < epoch
            or beats[name].details.get("connected") is True
        )
    ]


def _seen(epoch: Any) -> int:
    return epoch if isinstance(epoch, int) else -1
