"""What happens to a symbol in each scenario, second by second, as conditions and pushes of the price.

A story answers for any second `t` counted from the event's start: t < 0 is the calm before it. It knows no
randomness but the generator it is given, and that only where the scenario calls for a rough path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_flow import CONDITION_SIZE, STEPS_PER_S
from execution.domain.synthetic_symbol import SymbolScript

_HALF_SECOND = STEPS_PER_S // 2


class Weather(NamedTuple):
    """Factors on the profile's volatility, taker flows, arrival of limit orders, and spread."""

    volatility: float = 1.0
    buy_flow: float = 1.0
    sell_flow: float = 1.0
    depth: float = 1.0
    spread: float = 1.0


class Story(NamedTuple):
    """weather(t): the conditions of second t; moves(t, rng): bps in each step, f8[STEPS_PER_S]."""

    weather: Callable[[int], Weather]
    moves: Callable[[int, np.random.Generator], NDArray[np.float64]]


CALM = Weather()


def calm_moves(t: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """No push."""
    del t, rng
    return np.zeros(STEPS_PER_S)


def during(length_s: int, weather: Weather) -> Callable[[int], Weather]:
    """`weather` for `length_s` seconds, calm before and after."""
    return lambda t: weather if 0 <= t < length_s else CALM


def slopes(
    *parts: tuple[int, float],
) -> Callable[[int, np.random.Generator], NDArray[np.float64]]:
    """Straight lines one after the other from t = 0 on: (length in s, bps per second) each."""

    def moves(t: int, rng: np.random.Generator) -> NDArray[np.float64]:
        del rng
        left = t
        for length_s, bps_per_s in parts:
            if 0 <= left < length_s:
                return np.full(STEPS_PER_S, bps_per_s / STEPS_PER_S)
            left -= length_s
        return np.zeros(STEPS_PER_S)

    return moves


def shaking(length_s: int, bps: float) -> Callable[[int, np.random.Generator], NDArray[np.float64]]:
    """Twice a second the price is thrown there or back, `bps` on average: violent, but going nowhere."""

    def moves(t: int, rng: np.random.Generator) -> NDArray[np.float64]:
        pushes = np.zeros(STEPS_PER_S)
        if 0 <= t < length_s:
            size = bps * (0.5 + rng.random())
            size = size if rng.random() < 0.5 else -size
            pushes[0], pushes[_HALF_SECOND] = size, -size
        return pushes

    return moves


def news_weather(length_s: int) -> Callable[[int], Weather]:
    """Everything at once at t = 0, dying down with a third of the length."""

    def weather(t: int) -> Weather:
        if t < 0:
            return CALM
        heat = float(np.exp(-3.0 * t / length_s))
        return Weather(
            volatility=1.0 + 2.0 * heat,
            buy_flow=1.0 + 8.0 * heat,
            sell_flow=1.0 + 8.0 * heat,
            depth=1.0 - 0.5 * heat,
            spread=1.0 + 9.0 * heat,
        )

    return weather


def news_moves(length_s: int) -> Callable[[int, np.random.Generator], NDArray[np.float64]]:
    """A shake that dies down with the weather of `news_weather`."""
    shake = shaking(length_s, 14.0)
    return lambda t, rng: shake(t, rng) * float(np.exp(-3.0 * max(t, 0) / length_s))


def symbol_script(story: Story, start_s: int, rng: np.random.Generator) -> SymbolScript:
    """`story` with its event at second `start_s` of the stream, as the market plays it."""
    seconds = {"conditions": -start_s, "moves": -start_s}

    def conditions() -> NDArray[np.float64]:
        row = np.zeros(CONDITION_SIZE)
        row[: len(CALM)] = story.weather(seconds["conditions"])
        seconds["conditions"] += 1
        return row

    def moves() -> NDArray[np.float64]:
        pushes = story.moves(seconds["moves"], rng)
        seconds["moves"] += 1
        return pushes

    return SymbolScript(conditions, moves)
