"""Why a symbol may or may not be entered now: every gate and limit with its figure, in a trader's words.

Everything here is shown, nothing is decided: the strategy and execution have decided with their own
figures, these are the ones they published. A check whose figure nobody has told is unknown, never passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Section = Mapping[str, Any]
Check = dict[str, Any]

NONE = "\N{EN DASH}"  # unknown; never 0
_TIMES = "\N{MULTIPLICATION SIGN}"
_MAY_ENTER = ("FLAT", "WATCH", "ARM")
_STATE_WORDS = {
    "FLAT": "nothing to do: the score is below the watch score",
    "WATCH": "the score is worth watching",
    "ARM": "the entry score has held long enough: an entry may go out",
    "ENTRY_PENDING": "an entry is at the exchange",
    "IN_POSITION": "a position is open",
    "EXIT_PENDING": "the position is being closed",
    "COOLDOWN": "pause after the last trade",
    "ERROR": "stopped by an error: needs a recovery or an operator",
}


def state_in_words(state: str) -> str:
    return _STATE_WORDS.get(state, state.lower())


def verdict(
    *,
    quote: Section | None,
    score: Section | None,
    state: Section,
    position: Section | None,
    quality: Section | None,
    safety: Section | None,
    risk: Section | None,
    account: Section | None,
    limits: Section | None,
) -> dict[str, Any]:
    """`{headline, tone, state, checks: [{group, name, ok, figure, needs, why}]}`; `ok` null = unknown."""
    limits = limits or {}
    checks = [
        *_market_checks(quote or {}, score or {}, limits),
        *_signal_checks(score or {}, state, limits),
        *_account_checks(risk or {}, account or {}, limits),
        *_execution_checks(quality, safety or {}, limits),
    ]
    headline, tone = _headline(score, state, position)
    return {
        "headline": headline,
        "tone": tone,
        "state": state_in_words(str(state.get("state", ""))),
        "checks": checks,
    }


def _check(
    group: str, name: str, ok: bool | None, figure: str, *, needs: str = "", why: str = ""
) -> Check:
    return {"group": group, "name": name, "ok": ok, "figure": figure, "needs": needs, "why": why}


def _headline(score: Section | None, state: Section, position: Section | None) -> tuple[str, str]:
    now = str(state.get("state", ""))
    if position:
        return f"In a {position['side']} position: {state_in_words(now)}", "info"
    if now and now not in _MAY_ENTER:
        reason = f" ({state['reason']})" if state.get("reason") else ""
        return f"No entry: {state_in_words(now)}{reason}", "bad" if now == "ERROR" else "info"
    if score is None:
        return "No score yet: waiting for the strategy", "unknown"
    reasons = list(score["blockedReasons"])
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"No entry: {reasons[0]}{more}", "warn"
    side = "LONG" if score["signalLong"] else "SHORT" if score["signalShort"] else ""
    if side:
        return f"Signal {side}: nothing speaks against an entry", "good"
    return "Nothing forbids an entry; no signal yet", "info"


# -- groups ----------------------------------------------------------------------------------------------


def _market_checks(quote: Section, score: Section, limits: Section) -> list[Check]:
    book, spread = quote.get("bookState"), quote.get("spreadBps")
    regime, market = score.get("regime"), score.get("globalRegime")
    return [
        _check("Market", "Order book", _is(book, "OK"), _text(book), needs="OK"),
        _check(
            "Market", "Features warmed up", quote.get("warm"),
            _yes_no(quote.get("warm"), "yes", "not yet"),
            why="" if quote.get("warm") in (True, None) else "not enough data since the market started",
        ),
        _limit("Market", "Spread", spread, limits.get("maxSpreadBps"), "bps", 2),
        _check(
            "Market", "Regime of the symbol", _is(regime, "NORMAL"), _text(regime),
            needs="NORMAL", why=str(score.get("regimeReason") or ""),
        ),
        _check(
            "Market", "Regime of the whole market", _is(market, "GLOBAL_NORMAL"),
            _text(market).removeprefix("GLOBAL_").replace("_", " "),
            needs="NORMAL", why=str(score.get("globalRegimeReason") or ""),
        ),
    ]  # fmt: skip


def _signal_checks(score: Section, state: Section, limits: Section) -> list[Check]:
    long, short = score.get("long"), score.get("short")
    best = None if long is None or short is None else max(long, short)
    arrow = "" if best is None else "▲ " if best == long else "▼ "
    entry, armed, needed = (
        limits.get("entryScore"),
        score.get("armedFrames"),
        limits.get("armFrames"),
    )
    is_armed = state.get("state") not in ("FLAT", "WATCH")
    edge, wanted = score.get("expectedMoveBps"), score.get("neededMoveBps")
    return [
        _check(
            "Signal", "Score", None if best is None or entry is None else best >= entry,
            NONE if best is None else f"{arrow}{best:.1f}",
            needs="" if entry is None else f"≥ {entry:g}",
        ),
        _check(
            "Signal", "Frames in a row at that score",
            None if armed is None or needed is None else is_armed or armed >= needed,
            NONE if armed is None else f"{armed}",
            needs="" if needed is None else f"≥ {needed:g}",
        ),
        _check(
            "Signal", "Expected move pays its cost",
            None if edge is None or wanted is None else edge >= wanted,
            NONE if edge is None else f"{edge:.2f} bps",
            needs="" if wanted is None else f"≥ {wanted:.2f} bps",
            why=_cost_in_words(score, limits),
        ),
        _check(
            "Signal", "State machine", None if not state else state.get("state") in _MAY_ENTER,
            _text(state.get("state")), needs="free", why=state_in_words(str(state.get("state", ""))),
        ),
    ]  # fmt: skip


def _cost_in_words(score: Section, limits: Section) -> str:
    cost, multiple = score.get("costBps"), limits.get("feeMultiple")
    if cost is None:
        return ""
    parts = [
        f"{_COST_WORDS.get(name, name)} {value:.2f}"
        for name, value in (score.get("costParts") or {}).items()
        if value
    ]
    made_of = f" = {' + '.join(parts)}" if parts else ""
    times = "" if multiple is None else f"{multiple:g} {_TIMES} "
    return f"needs {times}the round trip's {cost:.2f} bps{made_of}"


_COST_WORDS = {
    "fees": "fees", "spread": "spread", "slippage": "slippage", "adverseMarkout": "adverse markout",
}  # fmt: skip


def _account_checks(risk: Section, account: Section, limits: Section) -> list[Check]:
    reasons = "; ".join(risk.get("reasons") or ())
    day_loss = _day_loss_pct(risk, account)
    return [
        _check(
            "Account", "New positions allowed", risk.get("allowNew"),
            _yes_no(risk.get("allowNew"), "yes", "no"), why=reasons,
        ),
        _limit("Account", "Heat (risk to stops)", risk.get("heatPct"), limits.get("maxHeatPct"), "%", 2),
        _limit(
            "Account", "Positions and pending entries", risk.get("openPositions"),
            limits.get("maxPositions"), "", 0,
        ),
        _limit("Account", "Loss of the day", day_loss, limits.get("dailyLossLimitPct"), "%", 2),
        _limit(
            "Account", "Fall from the equity peak", risk.get("drawdownPct"),
            limits.get("maxDrawdownPct"), "%", 2,
        ),
        _limit(
            "Account", "Losses in a row", account.get("lossesInRow"), limits.get("lossStreak"), "", 0
        ),
        _limit(
            "Account", "Entries this hour", account.get("tradesThisHour"),
            limits.get("maxTradesPerHour"), "", 0,
        ),
        _check(
            "Account", "No forced close", _negated(risk.get("forceCloseAll")),
            _yes_no(risk.get("forceCloseAll"), "everything is being closed", "none"),
        ),
    ]  # fmt: skip


def _day_loss_pct(risk: Section, account: Section) -> float | None:
    pnl, equity = risk.get("dailyPnl"), account.get("equity")
    if pnl is None or equity is None or equity - pnl <= 0:
        return None
    return max(0.0, -pnl) / (equity - pnl) * 100


def _execution_checks(quality: Section | None, safety: Section, limits: Section) -> list[Check]:
    is_known = bool(safety.get("known"))
    reasons = ", ".join(safety.get("reasons") or ())
    trading = safety.get("tradingEnabled")
    return [
        _check(
            "Execution", "Safe mode", not safety.get("safeMode") if is_known else None,
            ("on" if safety.get("safeMode") else "off") if is_known else NONE,
            needs="off", why=reasons,
        ),
        _check(
            "Execution", "Trading switch", trading, _yes_no(trading, "on", "off"),
            needs="on",
        ),
        _quality_check(quality, limits),
    ]  # fmt: skip


def _quality_check(quality: Section | None, limits: Section) -> Check:
    floor = limits.get("qualityBlock")
    needs = "" if floor is None else f"≥ {floor:g}"
    if quality is None:
        return _check(
            "Execution", "Quality of our orders", True, "not judged yet", needs=needs,
            why="no order of this symbol is over yet",
        )  # fmt: skip
    return _check(
        "Execution", "Quality of our orders", not quality["blocked"],
        f"{quality['score']:.0f} of 100", needs=needs, why=quality["reason"],
    )  # fmt: skip


# -- helpers ---------------------------------------------------------------------------------------------


def _limit(
    group: str, name: str, value: float | None, limit: float | None, unit: str, digits: int
) -> Check:
    """Passed while `value` has not reached `limit`."""
    space = f" {unit}" if unit else ""
    return _check(
        group, name, None if value is None or limit is None else value < limit,
        NONE if value is None else f"{value:.{digits}f}{space}",
        needs="" if limit is None else f"< {limit:g}{space}",
    )  # fmt: skip


def _is(value: Any, wanted: str) -> bool | None:
    return None if not value else value == wanted


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def _yes_no(value: bool | None, yes: str, no: str) -> str:
    return NONE if value is None else yes if value else no


def _text(value: Any) -> str:
    return str(value) if value else NONE
