"""The numeric state over a restart: written each few seconds, taken over when it is young enough.

Without it a restart would be blind until scales and baselines had warmed up again. The file names the
venue whose frames it was made of, and begins with a digest of all that follows.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from failover.adapters.files import write_atomically
from failover.domain.errors import StorageError
from strategy.domain.core import StrategyCore
from strategy.domain.numeric_state import checkpoint_digest, checkpoint_ts_ns

logger = logging.getLogger(__name__)

_SEAL_BYTES = 16
_MAX_AHEAD_S = 5.0  # a clock set back further makes a checkpoint one of the future


class Restorable(Protocol):
    """The core, or whatever stands before it."""

    def restore(self, data: bytes) -> bool: ...


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    venue: str
    state: bytes


class StateCheckpoint:
    """`outcome` says, for the heartbeat, which state this run went on from, or why from none.

    `venue` names the market that the frames are of: scales and prices of one say nothing about another.
    """

    def __init__(self, path: Path, *, venue: str) -> None:
        self._path = path
        self._venue = venue
        self.outcome = "no checkpoint looked for yet"

    def save_job(self, core: StrategyCore) -> Callable[[], None]:
        """The write of the state as it is now, to be run in a thread."""
        content = _sealed(_Saved(venue=self._venue, state=core.state()))
        return lambda: write_atomically(self._path, content)

    def save(self, core: StrategyCore) -> None:
        try:
            self.save_job(core)()
        except StorageError as error:
            logger.warning("state_not_saved", extra={"reason": str(error)})

    def load(self, core: Restorable, max_age_s: float) -> None:
        """Take over the last state; say so, or why not. A bad one is set aside."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            self.outcome = "no checkpoint: warming up from nothing"
            return
        except OSError as error:
            self._refuse(f"cannot be read ({error.strerror})")
            return
        saved = _unsealed(content)
        if saved is None:
            self._set_aside("is torn, damaged or of another build")
        elif saved.venue != self._venue:
            self._refuse(f"is of {saved.venue or 'no venue'}, this run of {self._venue}")
        else:
            self._take(core, saved.state, max_age_s)

    def _take(self, core: Restorable, state: bytes, max_age_s: float) -> None:
        made_ns = checkpoint_ts_ns(state)
        if made_ns is None:
            self._set_aside("is of another build")
            return
        age_s = time.time() - made_ns / 1e9
        if age_s > max_age_s:
            self._refuse(f"is {age_s:.0f} s old (limit {max_age_s:g} s)")
        elif age_s < -_MAX_AHEAD_S:
            self._refuse(f"is of {-age_s:.0f} s ahead of this machine's clock")
        elif not _is_taken(core, state):
            self._set_aside("is of another build or has figures that cannot be")
        else:
            digest, made = checkpoint_digest(state), datetime.fromtimestamp(made_ns / 1e9, UTC)
            self.outcome = f"restored state {digest} of {made:%Y-%m-%d %H:%M:%S} UTC"
            logger.info("state_restored", extra={"digest": digest, "ageS": round(age_s, 1)})

    def _refuse(self, reason: str) -> None:
        self.outcome = f"checkpoint {reason}: warming up from nothing"
        logger.warning("state_not_restored", extra={"path": str(self._path), "reason": reason})

    def _set_aside(self, reason: str) -> None:
        """Refuse it, and keep it for a look: the next save would take its place."""
        aside = self._path.with_name(f"{self._path.name}.bad")
        try:
            self._path.replace(aside)
        except OSError as error:
            self._refuse(f"{reason} (cannot be set aside: {error.strerror})")
        else:
            self._refuse(f"{reason} (set aside as {aside.name})")


def _sealed(saved: _Saved) -> bytes:
    body = msgspec.msgpack.encode(saved)
    return _seal(body) + body


def _unsealed(content: bytes) -> _Saved | None:
    """What was sealed; None when a bit of it is another, or a build without a seal wrote it."""
    seal, body = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    if seal != _seal(body):
        return None
    try:
        return msgspec.msgpack.decode(body, type=_Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _seal(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SEAL_BYTES).digest()


def _is_taken(core: Restorable, state: bytes) -> bool:
    try:
        return core.restore(state)
    except (IndexError, ValueError, OverflowError):  # it never stops a start
        logger.exception("state_unusable")
        return False
