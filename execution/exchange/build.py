"""From options to a server with its market."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from execution.domain.synthetic_market import SyntheticMarket
from execution.domain.synthetic_profile import DEFAULT_SYMBOLS
from execution.exchange.boards import empty_boards, synthetic_boards
from execution.exchange.played_market import PlayedMarket
from execution.exchange.recorded_market import BadMarket, open_recorded
from execution.exchange.server import ExchangeServer, ServerOptions

__all__ = ["BadMarket", "exchange_of", "played_exchange", "synthetic_exchange"]

_LEAD_NS = 2_000_000_000  # a little market before the first client, so that every book is there


def exchange_of(
    *,
    play: Path | None,
    seed: int,
    symbols: Sequence[str],
    predictability: float,
    rate_multiplier: float,
    options: ServerOptions,
) -> ExchangeServer:
    """A server on the recording `play`, or on a synthetic market without one. Raises BadMarket."""
    refuse_bad_options(
        play=play,
        seed=seed,
        predictability=predictability,
        rate_multiplier=rate_multiplier,
        options=options,
    )
    if play is not None:
        return played_exchange(play, options=options)
    return synthetic_exchange(
        seed=seed,
        symbols=symbols,
        predictability=predictability,
        rate_multiplier=rate_multiplier,
        options=options,
    )


def refuse_bad_options(
    *,
    play: Path | None,
    seed: int,
    predictability: float,
    rate_multiplier: float,
    options: ServerOptions,
) -> None:
    """Everything that can be said against the options of `exchange_of` at once. Raises BadMarket."""
    for name, value in (("speed", options.speed), ("rate multiplier", rate_multiplier)):
        if not 0.0 < value <= 1000.0:
            raise BadMarket(f"{name} {value} is not between 0 and 1000")
    if not (math.isfinite(predictability) and 0.0 <= predictability <= 10.0):
        raise BadMarket(f"predictability {predictability} is not between 0 and 10")
    if seed < 0:
        raise BadMarket(f"seed {seed} is negative")
    if not 0.0 <= options.reply_delay_ms <= 10_000.0:
        raise BadMarket(f"reply delay {options.reply_delay_ms} ms is not between 0 and 10000")
    if play is not None and not play.exists():
        raise BadMarket(f"{play}: no such recording")


def synthetic_exchange(
    *,
    seed: int,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    predictability: float = 1.0,
    rate_multiplier: float = 1.0,
    options: ServerOptions | None = None,
) -> ExchangeServer:
    """A server on the synthetic market, whose time is the wall clock's. Raises UnknownSymbol."""
    start_ns = time.time_ns() // 1_000_000_000 * 1_000_000_000 - _LEAD_NS
    market = SyntheticMarket(
        seed=seed,
        symbols=symbols,
        predictability=predictability,
        start_ns=start_ns,
        rate_multiplier=rate_multiplier,
    )
    boards = synthetic_boards(market.instruments, seed=seed, start_ns=start_ns)
    return ExchangeServer(market, boards, options or ServerOptions())


def played_exchange(path: Path, *, options: ServerOptions | None = None) -> ExchangeServer:
    """A server that plays a recorded file, its first message now. Raises BadMarket."""
    recorded = open_recorded(path)
    market = PlayedMarket(recorded.instruments, recorded.chunks, start_ns=time.time_ns())
    if market.is_finished:
        raise BadMarket(f"{path}: no message of a market in it")
    return ExchangeServer(market, empty_boards(recorded.instruments), options or ServerOptions())
