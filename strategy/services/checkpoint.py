"""The numeric state over a restart: written each few seconds, taken over when it is young enough.

Without it a restart would be blind until scales and baselines had warmed up again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from failover.adapters.files import write_atomically
from failover.domain.errors import StorageError
from strategy.domain.core import StrategyCore
from strategy.domain.numeric_state import checkpoint_digest, checkpoint_ts_ns

logger = logging.getLogger(__name__)

_MAX_AHEAD_S = 5.0  # a clock set back further makes a checkpoint one of the future


class StateCheckpoint:
    """`outcome` says, for the heartbeat, which state this run went on from, or why from none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcome = "no checkpoint looked for yet"

    def save_job(self, core: StrategyCore) -> Callable[[], None]:
        """The write of the state as it is now, to be run in a thread."""
        content = core.state()
        return lambda: write_atomically(self._path, content)

    def save(self, core: StrategyCore) -> None:
        try:
            self.save_job(core)()
        except StorageError as error:
            logger.warning("state_not_saved", extra={"reason": str(error)})

    def load(self, core: StrategyCore, max_age_s: float) -> None:
        """Take over the last state; an old, unreadable or foreign one is passed over and said so."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            self.outcome = "no checkpoint: warming up from nothing"
            return
        except OSError as error:
            self._refuse(f"cannot be read ({error.strerror})")
            return
        made_ns = checkpoint_ts_ns(content)
        if made_ns is None:
            self._refuse("is torn or of another build")
            return
        age_s = time.time() - made_ns / 1e9
        if age_s > max_age_s:
            self._refuse(f"is {age_s:.0f} s old (limit {max_age_s:g} s)")
        elif age_s < -_MAX_AHEAD_S:
            self._refuse(f"is of {-age_s:.0f} s ahead of this machine's clock")
        elif not core.restore(content):
            self._refuse("is torn or of another build")
        else:
            digest, made = checkpoint_digest(content), datetime.fromtimestamp(made_ns / 1e9, UTC)
            self.outcome = f"restored state {digest} of {made:%Y-%m-%d %H:%M:%S} UTC"
            logger.info("state_restored", extra={"digest": digest, "ageS": round(age_s, 1)})

    def _refuse(self, reason: str) -> None:
        self.outcome = f"checkpoint {reason}: warming up from nothing"
        logger.warning("state_not_restored", extra={"path": str(self._path), "reason": reason})
