"""Everything a strategy core remembers, as bytes: a verification may go on from it, and compare with it.

Other than the checkpoint of the numeric path it is bound to one run: states, pending entries, deadlines and
the account as they stand between two inputs. What follows from config and these (costs, what is waited for)
is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from strategy.domain.account import AccountState
from strategy.domain.messages import QualityView, StrategyOutput
from strategy.domain.news import NewsState
from strategy.domain.regime import GlobalStatus
from strategy.domain.tracks import SymbolTrack
from strategy.domain.transitions import TransitionsState


class CoreState(msgspec.Struct, frozen=True, kw_only=True):
    """A `StrategyCore` between two inputs. `table` are the symbols of the numbering in force."""

    table: tuple[str, ...]
    tracks: list[SymbolTrack]
    numeric: bytes
    account: AccountState
    news: NewsState
    transitions: TransitionsState
    market: GlobalStatus
    by_market: GlobalStatus
    quality: Mapping[str, QualityView]
    now_ns: int
    told_second: int
    risk_due_ns: int | None
    stopped: bool
    dropped_frames: int
    scorer_failures: dict[str, int]
    untold: list[StrategyOutput]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CoreState).decode


def pack_state(state: CoreState) -> bytes:
    return _encode(state)


def unpack_state(data: bytes) -> CoreState:
    """Raises: ValueError when it is of another build or torn."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"state of the strategy core is not readable: {error}") from error
