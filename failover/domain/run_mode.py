"""Which market the shared system lives on: the exchange's (LIVE), or a recorded one (REPLAY)."""

from __future__ import annotations

from typing import Literal

import msgspec

REPLAY_REASON = "REPLAY"  # of safe mode while a recorded market is shown


class RunMode(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The one row that says it. `epoch` grows with every switch; `beats` while the engine lives.

    `speed_factor` None: as fast as it goes. The time limits come from the config the switch was made under.
    """

    run_mode: Literal["LIVE", "REPLAY"] = "LIVE"
    epoch: int = 0
    session_id: str = ""
    speed_factor: float | None = None
    paused: bool = False
    market_ts: str | None = None  # of the last event handed out
    since: str | None = None
    by: str = ""
    job_id: int = 0
    beats: int = 0
    start_timeout_s: float = 60.0
    heartbeat_timeout_s: float = 10.0

    @property
    def is_replay(self) -> bool:
        return self.run_mode == "REPLAY"

    @property
    def patience_s(self) -> float:
        """How long the engine may give no sign: it takes a while until its first."""
        return self.heartbeat_timeout_s if self.beats else self.start_timeout_s


LIVE = RunMode()
