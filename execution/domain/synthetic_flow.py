"""Order flow of one synthetic symbol: who comes to the book, when, and what the price does about it.

A latent *fair price* moves by news jumps, by the unexpected part of the market order flow, by a common
factor and, when predictability is on, by a slow drift that the book and the flow show a few seconds
before (docs/synthetic-market.md has the model and the argument why it is a martingale with it off).
Liquidity providers know the fair price: quotes on its wrong side are taken by informed takers or pulled.
Everyone else arrives in self-exciting bursts: market orders, limit orders, cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import (
    ASK,
    BID,
    LIVE,
    LIVE_ORDERS,
    NO_ASK,
    NO_BID,
    SIDE,
    SIDE_ORDERS,
    TICK,
    Book,
    add_order,
    clear_level,
    drop_far_orders,
    remove_order,
    take_from_best,
)
from execution.domain.synthetic_compile import inner_kernel, kernel
from execution.domain.synthetic_rules import (
    BASE_RATE,
    BETA,
    CANCEL_RATE_FAR,
    CANCEL_RATE_NEAR,
    DRIFT_BPS_PER_S,
    DRIFT_LAG_S,
    EXCITE_CROSS,
    EXCITE_DECAY,
    EXCITE_SELF,
    FAR_REACH_BPS,
    FLOW_TILT,
    HALF_SPREAD_BPS,
    IMPACT_BPS,
    IMPACT_POWER,
    INFORMED_ABOVE_BPS,
    LIMIT_DECAY,
    LIMIT_EXCITE,
    LIMIT_RATE,
    MEAN_IMPACT_WEIGHT,
    NEAR_REACH_BPS,
    NEWS_RATE,
    NEWS_SCALE_BPS,
    ORDER_LOG_MEDIAN_LOTS,
    ORDER_SIGMA,
    SIGNAL_HALF_LIFE_S,
    SIZE_TILT,
    TRADE_LOG_MEDIAN_LOTS,
    TRADE_SIGMA,
)

STEP_NS = 10_000_000  # conditions, drift and the push grid move in steps of this length
STEP_S = 0.01
STEPS_PER_S = 100

# Places in the float state of a symbol.
FAIR, SIGNAL, DRIFT, EXCITED_BUY, EXCITED_SELL, EXCITED_LIMIT = 0, 1, 2, 3, 4, 5
EPISODE_OVER, PURGED_AT, INDEX_GAP, PREMIUM, OPEN_INTEREST, FUNDING = 6, 7, 8, 9, 10, 11
STATE_SIZE = 12

# Columns of the conditions of a second.
VOLATILITY, BUY_FLOW, SELL_FLOW, DEPTH, SPREAD, EPISODE_DRIFT, CRASH_HAZARD, EPISODE = range(8)
CONDITION_SIZE = 8

BUY, SELL = 0, 1
_PATIENCE_REACHES = 2.0  # a limit order so many near reaches away from fair lives twice as long
TOUCH_SHARE, FAR_SHARE = 0.30, 0.10
_INFORMED_SIZE, _INFORMED_CHANCE = 3.0, 0.6
_STALE_SHARE = 0.6  # a quote closer to fair than this share of the half spread is stale
_REQUOTE_CHANCE = 0.8
_MAX_WALK_BPS = 25.0  # a market order stops here: Bybit turns it into an IOC limit


class Tape(NamedTuple):
    """Trades of the step: rows i8[n, 5] time_ns, side (taker), tick, lots, number of the taker's order.

    counts i8[4]: trades on the tape, takers so far, 1 when the book changed, matched time of the last change.
    """

    rows: NDArray[np.int64]
    counts: NDArray[np.int64]


TRADES, TAKERS, CHANGED, CHANGED_AT = range(4)


def empty_tape(capacity: int) -> Tape:
    return Tape(rows=np.zeros((capacity, 5), np.int64), counts=np.zeros(4, np.int64))


@inner_kernel
def run_step(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    common_jump_bps: float,
    rng: np.random.Generator,
    start_ns: int,
    tape: Tape,
) -> None:
    """Simulate one step from `start_ns` on: fair price first, then the arrivals in continuous time."""
    _move_slow_state(book, state, rules, condition, common_jump_bps, rng, start_ns, tape)
    elapsed = 0.0
    while True:
        buy, sell, limit, cancel = _intensities(book, state, rules, condition)
        news = rules[NEWS_RATE]
        total = buy + sell + limit + cancel + news
        wait = rng.standard_exponential() / total
        if elapsed + wait >= STEP_S:
            _let_pass(state, rules, condition, STEP_S - elapsed)
            return
        elapsed += wait
        _let_pass(state, rules, condition, wait)
        now_ns = start_ns + int(elapsed * 1e9)
        # Thinning: intensities only decay between arrivals, so `total` bounds them from above.
        draw = rng.random() * total
        buy, sell, limit, cancel_now = _intensities(book, state, rules, condition)
        if draw < buy + sell:
            side = BUY if draw < buy else SELL
            _market_order(book, state, rules, condition, rng, side, now_ns, tape)
        elif draw < buy + sell + limit:
            _limit_order(book, state, rules, condition, rng, now_ns, tape)
        elif draw < buy + sell + limit + cancel_now:
            _cancel(book, state, rules, rng, now_ns, tape)
        elif draw < buy + sell + limit + cancel_now + news:
            jump = rng.standard_exponential() * rules[NEWS_SCALE_BPS] * condition[VOLATILITY]
            jump = jump if rng.random() < 0.5 else -jump
            _move_fair(book, state, rules, condition, rng, jump, now_ns, tape)


@inner_kernel
def _intensities(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Arrivals per second of market buys, market sells, limit orders, cancels."""
    tilt = rules[FLOW_TILT] * np.tanh(state[SIGNAL])
    buy = rules[BASE_RATE] * condition[BUY_FLOW] * (1.0 + tilt) + state[EXCITED_BUY]
    sell = rules[BASE_RATE] * condition[SELL_FLOW] * (1.0 - tilt) + state[EXCITED_SELL]
    limit = rules[LIMIT_RATE] * condition[DEPTH] + state[EXCITED_LIMIT]
    cancel = rules[CANCEL_RATE_NEAR] * book.counts[LIVE_ORDERS]
    return buy, sell, limit, cancel


@inner_kernel
def _let_pass(
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    span_s: float,
) -> None:
    """Decay the excitation and take the flow everybody expects back out of the fair price.

    Each market order moves fair by its impact when it comes; the integral of the expected impact moves it
    back as time passes. Together they are a martingale, however clustered and one-sided the flow is.
    """
    market_decay = np.exp(-rules[EXCITE_DECAY] * span_s)
    tilt = rules[FLOW_TILT] * np.tanh(state[SIGNAL])
    base = rules[BASE_RATE] * (
        condition[BUY_FLOW] * (1.0 + tilt) - condition[SELL_FLOW] * (1.0 - tilt)
    )
    excited = (
        (state[EXCITED_BUY] - state[EXCITED_SELL]) * (1.0 - market_decay) / rules[EXCITE_DECAY]
    )
    expected = rules[IMPACT_BPS] * rules[MEAN_IMPACT_WEIGHT] * condition[VOLATILITY]
    state[FAIR] *= 1.0 - 1e-4 * expected * (base * span_s + excited)
    state[EXCITED_BUY] *= market_decay
    state[EXCITED_SELL] *= market_decay
    state[EXCITED_LIMIT] *= np.exp(-rules[LIMIT_DECAY] * span_s)


@inner_kernel
def _move_slow_state(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    common_jump_bps: float,
    rng: np.random.Generator,
    now_ns: int,
    tape: Tape,
) -> None:
    """Signal, drift and episode for one step, then let the quotes follow."""
    keep = np.exp(-STEP_S * np.log(2.0) / rules[SIGNAL_HALF_LIFE_S])
    state[SIGNAL] = state[SIGNAL] * keep + np.sqrt(1.0 - keep * keep) * rng.standard_normal()
    state[DRIFT] += (state[SIGNAL] - state[DRIFT]) * STEP_S / rules[DRIFT_LAG_S]
    move = rules[DRIFT_BPS_PER_S] * condition[VOLATILITY] * state[DRIFT] * STEP_S
    move += rules[BETA] * common_jump_bps
    hazard = condition[CRASH_HAZARD]
    if hazard > 0.0 and state[EPISODE_OVER] != condition[EPISODE]:
        # A rational bubble: the drift is the fair price of the crash that may end it at any moment.
        move += condition[EPISODE_DRIFT] * STEP_S
        if rng.random() < hazard * STEP_S:
            state[EPISODE_OVER] = condition[EPISODE]
            move -= condition[EPISODE_DRIFT] / hazard
    _move_fair(book, state, rules, condition, rng, move, now_ns, tape)


@inner_kernel
def _half_spread_ticks(
    state: NDArray[np.float64], rules: NDArray[np.float64], condition: NDArray[np.float64]
) -> float:
    return float(state[FAIR] * 1e-4 * rules[HALF_SPREAD_BPS] * condition[SPREAD])


@inner_kernel
def _move_fair(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    rng: np.random.Generator,
    move_bps: float,
    now_ns: int,
    tape: Tape,
) -> None:
    """Move fair; stale quotes are hit by one informed taker or pulled, and most makers quote anew."""
    state[FAIR] *= 1.0 + 1e-4 * move_bps
    half = _half_spread_ticks(state, rules, condition)
    # Only a jump is worth a taker's fee; a creeping price finds the quotes already moved.
    budget = 0
    if abs(move_bps) > rules[INFORMED_ABOVE_BPS] and rng.random() < _INFORMED_CHANCE:
        budget = _draw_lots(rng, rules[TRADE_LOG_MEDIAN_LOTS], rules[TRADE_SIGMA], _INFORMED_SIZE)
    for side in range(ASK, BID - 1, -1):
        stale = _STALE_SHARE * half if side == ASK else -_STALE_SHARE * half
        _clear_stale(book, state, side, state[FAIR] + stale, budget, now_ns, tape)
    if abs(state[FAIR] - state[PURGED_AT]) > 0.0005 * state[FAIR]:
        state[PURGED_AT] = state[FAIR]
        drop_far_orders(book, int(state[FAIR]), book.levels.shape[1] // 4)
    for side in range(2):
        touch = _touch_tick(state, half, side)
        gap = touch - book.best[BID] if side == BID else book.best[ASK] - touch
        if gap > 0 and rng.random() < _REQUOTE_CHANCE:
            _rest(book, state, rules, condition, rng, side, 0.0, now_ns, tape)


@inner_kernel
def _touch_tick(state: NDArray[np.float64], half_ticks: float, side: int) -> int:
    if side == BID:
        return int(np.floor(state[FAIR] - half_ticks))
    return int(np.ceil(state[FAIR] + half_ticks))


@inner_kernel
def _clear_stale(
    book: Book,
    state: NDArray[np.float64],
    side: int,
    limit: float,
    budget_lots: int,
    now_ns: int,
    tape: Tape,
) -> None:
    """Empty every level of `side` beyond `limit`: `budget_lots` are taken, the rest is pulled."""
    taker = BUY if side == ASK else SELL
    budget = budget_lots
    while (side == ASK and book.best[ASK] < limit) or (side == BID and book.best[BID] > limit):
        tick = book.best[side]
        beyond_fair = tick < state[FAIR] if side == ASK else tick > state[FAIR]
        if budget > 0 and beyond_fair:
            if budget == budget_lots:
                tape.counts[TAKERS] += 1
            taken = take_from_best(book, side, budget)
            budget -= taken
            _print_trade(tape, now_ns, taker, tick, taken)
        if book.best[side] == tick:
            clear_level(book, side, tick)
        _mark_changed(tape, now_ns)


@inner_kernel
def _excite(state: NDArray[np.float64], rules: NDArray[np.float64], side: int) -> None:
    state[EXCITED_BUY] += rules[EXCITE_SELF] if side == BUY else rules[EXCITE_CROSS]
    state[EXCITED_SELL] += rules[EXCITE_CROSS] if side == BUY else rules[EXCITE_SELF]
    state[EXCITED_LIMIT] += rules[LIMIT_EXCITE]


@inner_kernel
def _market_order(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    rng: np.random.Generator,
    side: int,
    now_ns: int,
    tape: Tape,
) -> None:
    """Walk the book from the best price on, then let fair move by the order's impact."""
    spread_of_size = rules[TRADE_SIGMA] * rng.standard_normal()
    lots = max(1, int(np.exp(rules[TRADE_LOG_MEDIAN_LOTS] + spread_of_size)))
    weight = np.exp(IMPACT_POWER * spread_of_size)
    resting = ASK if side == BUY else BID
    furthest = state[FAIR] * 1e-4 * _MAX_WALK_BPS
    tape.counts[TAKERS] += 1
    left = lots
    while left > 0 and book.counts[SIDE_ORDERS + resting] > 1:
        tick = book.best[resting]
        if abs(tick - state[FAIR]) > furthest:
            break
        taken = take_from_best(book, resting, left)
        left -= taken
        _print_trade(tape, now_ns, side, tick, taken)
    _mark_changed(tape, now_ns)
    _excite(state, rules, side)
    sign = 1.0 if side == BUY else -1.0
    _move_fair(
        book, state, rules, condition, rng,
        sign * rules[IMPACT_BPS] * weight * condition[VOLATILITY], now_ns, tape,
    )  # fmt: skip


@inner_kernel
def _limit_order(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    rng: np.random.Generator,
    now_ns: int,
    tape: Tape,
) -> None:
    side = BID if rng.random() < 0.5 else ASK
    kind = rng.random()
    if kind < TOUCH_SHARE:
        behind_bps = 0.0
    elif kind < 1.0 - FAR_SHARE:
        behind_bps = rng.standard_exponential() * rules[NEAR_REACH_BPS] * condition[SPREAD]
    else:
        behind_bps = rng.standard_exponential() * rules[FAR_REACH_BPS]
    _rest(book, state, rules, condition, rng, side, behind_bps, now_ns, tape)


@inner_kernel
def _rest(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    rng: np.random.Generator,
    side: int,
    behind_bps: float,
    now_ns: int,
    tape: Tape,
) -> None:
    """Queue one limit order `behind_bps` behind the touch that fair justifies, never across the book."""
    half = _half_spread_ticks(state, rules, condition)
    behind = int(behind_bps * 1e-4 * state[FAIR])
    sign = 1.0 if side == BID else -1.0
    tick = _touch_tick(state, half, side) - int(sign) * behind
    if side == BID and book.best[ASK] != NO_ASK:
        tick = min(tick, book.best[ASK] - 1)
    elif side == ASK and book.best[BID] != NO_BID:
        tick = max(tick, book.best[BID] + 1)
    if tick < 1 or abs(tick - state[FAIR]) > book.levels.shape[1] // 4:
        return
    tilt = np.exp(sign * rules[SIZE_TILT] * np.tanh(state[SIGNAL]))
    lots = _draw_lots(rng, rules[ORDER_LOG_MEDIAN_LOTS], rules[ORDER_SIGMA], tilt)
    add_order(book, side, tick, lots)
    _mark_changed(tape, now_ns)


@inner_kernel
def _cancel(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    rng: np.random.Generator,
    now_ns: int,
    tape: Tape,
) -> None:
    """A resting order drawn at random goes; far ones are patient."""
    if book.counts[LIVE_ORDERS] == 0:
        return
    order = book.orders[int(rng.random() * book.counts[LIVE_ORDERS]), LIVE]
    reach = _PATIENCE_REACHES * rules[NEAR_REACH_BPS] * 1e-4 * state[FAIR]
    away = (book.orders[order, TICK] - state[FAIR]) / reach
    impatience = max(1.0 / (1.0 + away * away), rules[CANCEL_RATE_FAR] / rules[CANCEL_RATE_NEAR])
    if rng.random() > impatience:
        return
    if book.counts[SIDE_ORDERS + book.orders[order, SIDE]] > 1:
        remove_order(book, order)
        _mark_changed(tape, now_ns)


@inner_kernel
def _draw_lots(rng: np.random.Generator, log_median: float, sigma: float, factor: float) -> int:
    drawn = factor * np.exp(log_median + sigma * rng.standard_normal())
    return max(1, int(min(drawn, 1e12)))


@inner_kernel
def _print_trade(tape: Tape, now_ns: int, side: int, tick: int, lots: int) -> None:
    place = tape.counts[TRADES]
    if lots <= 0 or place >= tape.rows.shape[0]:
        return
    tape.rows[place, 0] = now_ns
    tape.rows[place, 1] = side
    tape.rows[place, 2] = tick
    tape.rows[place, 3] = lots
    tape.rows[place, 4] = tape.counts[TAKERS]
    tape.counts[TRADES] = place + 1


@inner_kernel
def _mark_changed(tape: Tape, now_ns: int) -> None:
    tape.counts[CHANGED] = 1
    tape.counts[CHANGED_AT] = now_ns


@kernel
def fill_book(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    condition: NDArray[np.float64],
    rng: np.random.Generator,
    tape: Tape,
) -> None:
    """Fill an empty book with about as many near and far orders as the flow keeps in it."""
    now_ns = tape.counts[CHANGED_AT]
    near = rules[LIMIT_RATE] * (1.0 - FAR_SHARE) / rules[CANCEL_RATE_NEAR]
    far = rules[LIMIT_RATE] * FAR_SHARE / rules[CANCEL_RATE_FAR]
    for side in range(2):
        _rest(book, state, rules, condition, rng, side, 0.0, now_ns, tape)
    for _ in range(int(near)):
        side = BID if rng.random() < 0.5 else ASK
        is_touch = rng.random() < TOUCH_SHARE
        behind = 0.0 if is_touch else rng.standard_exponential() * rules[NEAR_REACH_BPS]
        _rest(book, state, rules, condition, rng, side, behind, now_ns, tape)
    for _ in range(int(far)):
        side = BID if rng.random() < 0.5 else ASK
        _rest(
            book, state, rules, condition, rng, side,
            rng.standard_exponential() * rules[FAR_REACH_BPS], now_ns, tape,
        )  # fmt: skip
