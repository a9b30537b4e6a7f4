"""Short streams in which one thing happens: what regimes, gates and guards are tested with.

`scenario(name, seed)` plays the synthetic market with a story (`synthetic_scenarios_stories`): calm for
`WARMUP_S` and a little more, the event, calm again. The event happens to the first instrument, in
MARKET_PANIC to all of them. docs/synthetic-market.md lists what each one does and should be taken for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from execution.domain.synthetic_flow import STEP_NS
from execution.domain.synthetic_market import (
    DEFAULT_START_NS,
    FEED_DELAY_NS,
    SyntheticMarket,
    opening_chunk,
    received_chunk,
    snapshot_chunk,
)
from execution.domain.synthetic_scenarios_stories import (
    Story,
    Weather,
    calm_moves,
    during,
    news_moves,
    news_weather,
    shaking,
    slopes,
    symbol_script,
)
from execution.domain.synthetic_symbol import OutsideOrder, named_generator
from market.domain.chunks import pick_messages
from market.domain.events import ASK, BID, EventChunk
from market.domain.instruments import Instrument

_SECOND_NS = 1_000_000_000
WARMUP_S = 300  # calm before any event, so that baselines of minutes stand
_START_SPREAD_S = 20  # the event begins up to so much later, by the seed
_SPOOF_STEPS = 4  # 40 ms: two pushes of the book show the order, two show it gone
_SPOOFED_LEVELS = range(3, 15)
_SPOOFED_SHARE = 1.5  # of the size held at the best levels


class Scenario(StrEnum):
    STEP = "STEP"
    RAMP = "RAMP"
    BURST = "BURST"
    GRIND = "GRIND"
    PUMP = "PUMP"
    DUMP = "DUMP"
    SPOOFING = "SPOOFING"
    NEWS_BURST = "NEWS_BURST"
    DRY_BOOK = "DRY_BOOK"
    STALE_FEED = "STALE_FEED"
    MARKET_PANIC = "MARKET_PANIC"


class ScenarioWindow(NamedTuple):
    """Core times between which the event happens; its traces in averages outlast it."""

    start_ns: int
    end_ns: int


class _Setting(NamedTuple):
    """How long the event and the calm after it last, who is there, and what happens to whom (by symbol;
    others are left calm)."""

    event_s: int
    after_s: int
    symbols: tuple[str, ...]
    stories: dict[str, Story]
    rate_multiplier: float = 1.0


_SUBJECT, _BYSTANDER = "SYN01USDT", "SYN02USDT"
_PANIC_SYMBOLS = ("BTCUSDT", "ETHUSDT", "AI16ZUSDT", "SYN01USDT", "SYN02USDT")
_RUSH_IN = Weather(1.0, buy_flow=14.0, sell_flow=5.0, depth=1.0, spread=1.3)
_RUSH_OUT = Weather(1.0, buy_flow=5.0, sell_flow=14.0, depth=1.0, spread=1.3)
_SELL_OFF = Weather(1.2, buy_flow=4.0, sell_flow=12.0, depth=0.8, spread=1.5)


def _alone(event_s: int, after_s: int, story: Story) -> _Setting:
    return _Setting(event_s, after_s, (_SUBJECT,), {_SUBJECT: story})


_CALM = Story(during(0, Weather()), calm_moves)
_SETTINGS = {
    Scenario.STEP: _alone(
        15, 240, Story(during(15, Weather(1.0, 22.0, 7.0, 1.0, 1.3)), slopes((1, 180.0)))
    ),
    Scenario.RAMP: _alone(50, 240, Story(during(50, _RUSH_OUT), slopes((50, -4.0)))),
    Scenario.BURST: _alone(
        12, 240, Story(during(12, Weather(1.5, 8.0, 8.0, 0.6, 7.0)), shaking(12, 22.0))
    ),
    Scenario.GRIND: _alone(
        120, 240, Story(during(120, Weather(0.6, 12.0, 8.0, 1.0, 1.0)), slopes((120, 2.2)))
    ),
    Scenario.PUMP: _alone(
        45, 300, Story(during(45, _RUSH_IN), slopes((15, 3.0), (30, 7.0), (120, -0.7)))
    ),
    Scenario.DUMP: _alone(
        40, 300, Story(during(40, _RUSH_OUT), slopes((10, -3.0), (30, -8.0), (120, 0.7)))
    ),
    Scenario.SPOOFING: _alone(40, 180, _CALM),
    Scenario.NEWS_BURST: _alone(60, 300, Story(news_weather(60), news_moves(60))),
    Scenario.DRY_BOOK: _alone(
        90, 240, Story(during(90, Weather(1.0, 0.5, 0.5, 0.02, 12.0)), calm_moves)
    ),
    Scenario.STALE_FEED: _Setting(30, 120, (_SUBJECT, _BYSTANDER), {}),
    Scenario.MARKET_PANIC: _Setting(
        200,
        420,
        _PANIC_SYMBOLS,
        {
            symbol: Story(during(200, _SELL_OFF), slopes((200, bps_per_s)))
            for symbol, bps_per_s in zip(
                _PANIC_SYMBOLS, (-1.8, -2.2, -4.5, -3.5, -3.5), strict=True
            )
        },
        rate_multiplier=0.3,
    ),
}


def scenario(name: Scenario, seed: int) -> tuple[list[Instrument], Iterator[EventChunk]]:
    """The instruments of a scenario and its stream, bit for bit the same for the same seed.

    The stream is as `synthetic_chunks` gives it: snapshots first, a chunk a second (shorter ones while
    orders are spoofed), `seq` from 1 without a gap.
    """
    setting = _SETTINGS[name]
    start_s = _event_start_s(name, seed)
    scripts = {
        symbol: symbol_script(
            setting.stories.get(symbol, _CALM),
            start_s,
            named_generator(seed, f"{name} {symbol}"),
        )
        for symbol in setting.symbols
    }
    market = SyntheticMarket(
        seed=seed,
        symbols=setting.symbols,
        predictability=0.0,
        rate_multiplier=setting.rate_multiplier,
        scripts=scripts,
    )
    play = _PLAYERS.get(name, _play)
    seconds = (start_s, start_s + setting.event_s, start_s + setting.event_s + setting.after_s)
    return list(market.instruments), _numbered(play(market, *seconds), market)


def scenario_window(name: Scenario, seed: int) -> ScenarioWindow:
    """When the event of `scenario(name, seed)` happens."""
    start_ns = DEFAULT_START_NS + _event_start_s(name, seed) * _SECOND_NS + FEED_DELAY_NS
    return ScenarioWindow(start_ns, start_ns + _SETTINGS[name].event_s * _SECOND_NS)


def _event_start_s(name: Scenario, seed: int) -> int:
    return WARMUP_S + int(named_generator(seed, f"{name} start").integers(_START_SPREAD_S))


def _numbered(chunks: Iterator[EventChunk], market: SyntheticMarket) -> Iterator[EventChunk]:
    """The opening snapshots, then `chunks`, with `seq` counted through."""
    opening = opening_chunk(market)
    yield opening
    next_seq = len(opening) + 1
    for chunk in chunks:
        chunk.seq = np.arange(next_seq, next_seq + len(chunk), dtype=np.int64)
        next_seq += len(chunk)
        yield chunk


def _stepped(market: SyntheticMarket, until_s: int) -> Iterator[EventChunk]:
    """A chunk for each second up to `until_s` of the stream."""
    end_ns = market.start_ns + until_s * _SECOND_NS
    while market.now_ns < end_ns:
        passed_s = (market.now_ns - market.start_ns) // _SECOND_NS
        next_ns = market.start_ns + (passed_s + 1) * _SECOND_NS
        yield received_chunk(market.step(next_ns), 1)


def _play(market: SyntheticMarket, start_s: int, stop_s: int, end_s: int) -> Iterator[EventChunk]:
    del start_s, stop_s
    yield from _stepped(market, end_s)


def _play_silence(
    market: SyntheticMarket, start_s: int, stop_s: int, end_s: int
) -> Iterator[EventChunk]:
    """From start to stop nothing of the first symbol arrives; then the feed states its book anew."""
    yield from _stepped(market, start_s)
    for chunk in _stepped(market, stop_s):
        yield pick_messages(chunk, np.flatnonzero(chunk.symbol != 0))
    yield snapshot_chunk(market, [0], first_seq=1)
    yield from _stepped(market, end_s)


def _play_spoofing(
    market: SyntheticMarket, start_s: int, stop_s: int, end_s: int
) -> Iterator[EventChunk]:
    """From start to stop somebody shows large orders a few levels behind the touch and pulls them again."""
    yield from _stepped(market, start_s)
    shown: list[OutsideOrder] = []
    stop_ns = market.start_ns + stop_s * _SECOND_NS
    while market.now_ns < stop_ns:
        subject = market.symbols[0]
        if shown:
            for order in shown:
                subject.pull_outside(order, market.now_ns)
            shown = []
        else:
            shown = _show_large_orders(market)
        yield received_chunk(market.step(market.now_ns + _SPOOF_STEPS * STEP_NS), 1)
    for order in shown:
        market.symbols[0].pull_outside(order, market.now_ns)
    yield from _stepped(market, end_s)


def _show_large_orders(market: SyntheticMarket) -> list[OutsideOrder]:
    """Together `_SPOOFED_SHARE` of what rests at the best twenty levels of each side."""
    shown = []
    for side, levels in zip((BID, ASK), market.window(0, 50), strict=True):
        lots = max(1, int(levels[:20, 1].sum() * _SPOOFED_SHARE) // len(_SPOOFED_LEVELS))
        for tick in _ticks_at(levels[:, 0].tolist(), _SPOOFED_LEVELS):
            order = market.symbols[0].rest_outside(side, tick, lots, market.now_ns)
            if order is not None:
                shown.append(order)
    return shown


def _ticks_at(ticks: Sequence[int], places: range) -> list[int]:
    return [ticks[place] for place in places if place < len(ticks)]


_PLAYERS: dict[Scenario, Callable[[SyntheticMarket, int, int, int], Iterator[EventChunk]]] = {
    Scenario.SPOOFING: _play_spoofing,
    Scenario.STALE_FEED: _play_silence,
}
