"""The symbol page's panel: quotes, candles, features, score, book, orders and marks of one symbol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from market.domain.frames import FEATURE_NAMES, FRAME_JSON_NAMES, BookState, FrameReason
from market.domain.instruments import Instrument
from monitoring.domain.candles import CandleFold
from monitoring.domain.ladder import Ladder, ladder_rows
from monitoring.domain.limits import Limits
from monitoring.domain.panel import Increment, Panel
from monitoring.domain.verdict import verdict
from strategy.domain.messages import QualityView, ScoreUpdate, StateEvent

SECOND_CANDLES = 1800  # half an hour
MINUTE_CANDLES = 720  # half a day
MARKS = 300
STATE_LINES = 60
LADDER_DEPTH = 12

NO_BOOK: dict[str, Any] = {"known": False, "bids": [], "asks": []}
# What `verdict` looks at.
_JUDGED = (
    "quote", "score", "state", "position", "quality", "safety", "risk", "account", "limits",
)  # fmt: skip
_PRICE_FIELDS = ("bid", "ask", "mid", "microprice", "last_price", "mark_price", "index_price")


class SymbolView:
    """Folds one symbol's news. Frames are kept raw and turned into JSON only when the panel is drained."""

    def __init__(self, instrument: Instrument) -> None:
        self.panel = Panel(
            tables=("orders", "checks"),
            series={
                "candles": SECOND_CANDLES,
                "minutes": MINUTE_CANDLES,
                "marks": MARKS,
                "states": STATE_LINES,
            },
        )
        self.instrument = instrument
        self._seconds, self._minutes = CandleFold(1000), CandleFold(60_000)
        self._frame: Any = None
        self._ladder: tuple[Ladder, int] | None = None
        self._judged: tuple[object, ...] = ()
        self.panel.set_section("instrument", instrument_json(instrument))
        for name in (
            "quote", "features", "score", "position", "candle", "minute", "quality", "safety",
            "risk", "account", "limits", "config", "verdict",
        ):  # fmt: skip
            self.panel.set_section(name, None)
        self.panel.set_section("book", NO_BOOK)
        self.panel.set_section("state", {"state": "FLAT", "since": None, "reason": ""})

    def rules_changed(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.panel.set_section("instrument", instrument_json(instrument))

    def on_frame(self, frame: Any) -> None:
        """`frame`: one row of FRAME_DTYPE, later than the ones before."""
        self._frame = frame
        mid = float(frame["mid"])
        if not math.isnan(mid):
            self._price(int(frame["ts_ns"]) // 1_000_000, mid)

    def on_score(self, score: ScoreUpdate) -> None:
        self.panel.set_section("score", score_json(score))

    def on_quality(self, quality: QualityView | None) -> None:
        self.panel.set_section("quality", None if quality is None else quality_json(quality))

    def on_limits(self, limits: Limits | None) -> None:
        """The symbol's own thresholds; None while nobody knows which config holds."""
        self.panel.set_section("limits", limits)

    def on_state(self, event: StateEvent) -> None:
        ts_ms = event.ts_ns // 1_000_000
        self.panel.set_section(
            "state", {"state": event.to_state.value, "since": ts_ms, "reason": event.reason}
        )
        change = {
            "ts": ts_ms, "from": event.from_state.value, "to": event.to_state.value,
            "eventType": event.event_type.value, "reason": event.reason,
        }  # fmt: skip
        self.panel.append("states", change)
        self.panel.append("marks", {"ts": ts_ms, "kind": "STATE", "text": event.to_state.value})

    def on_fill(self, mark: dict[str, Any]) -> None:
        self.panel.append("marks", mark)

    @property
    def has_book(self) -> bool:
        return self._ladder is not None and self._ladder[0].is_known

    def on_book(self, ladder: Ladder) -> None:
        self._ladder = (ladder, -1)

    def on_book_lost(self) -> None:
        self._ladder = None
        self.panel.set_section("book", NO_BOOK)

    def drain(self) -> Increment | None:
        """Turn the latest frame and book into sections, then hand out all changes."""
        if self._frame is not None:
            self.panel.set_section("quote", self._quote(self._frame))
            self.panel.set_section("features", features_json(self._frame))
            self._frame = None
        if self._ladder and self._ladder[0].version != self._ladder[1]:
            ladder = self._ladder[0]
            self.panel.set_section("book", ladder_rows(ladder, self.instrument, LADDER_DEPTH))
            self._ladder = (ladder, ladder.version)
        self._judge()
        return self.panel.drain()

    def _judge(self) -> None:
        """Why an entry may or may not go: anew when something it looks at has changed.

        Of a quote only the book's state counts (its spread moves ten times a second), of a position its side.
        """
        sections = {name: self.panel.section(name) for name in _JUDGED}
        quote, position = sections["quote"] or {}, sections["position"] or {}
        seen = (
            quote.get("bookState"), quote.get("warm"), position.get("side"),
            *(sections[name] for name in _JUDGED if name not in ("quote", "position")),
        )  # fmt: skip
        if seen == self._judged:
            return
        self._judged = seen
        said = verdict(**sections)
        for check in said.pop("checks"):
            self.panel.set_row("checks", check["name"], check)
        self.panel.set_section("verdict", said)

    def _price(self, ts_ms: int, mid: float) -> None:
        if closed := self._seconds.add(ts_ms, mid):
            self.panel.append("candles", closed)
        if closed := self._minutes.add(ts_ms, mid):
            self.panel.append("minutes", closed)
        self.panel.set_section("candle", self._seconds.current)
        self.panel.set_section("minute", self._minutes.current)

    def _quote(self, frame: Any) -> dict[str, Any]:
        scale = self.instrument.price_scale + 1  # mid and microprice lie between ticks
        quote = {
            FRAME_JSON_NAMES[name]: number(frame[name], digits=scale) for name in _PRICE_FIELDS
        }
        return quote | {
            "ts": int(frame["ts_ns"]) // 1_000_000,
            "bidSize": number(frame["bid_size"]),
            "askSize": number(frame["ask_size"]),
            "spreadBps": number(frame["spread_bps"], digits=3),
            "bookState": BookState(int(frame["book_state"])).name,
            "warm": bool(frame["warm"]),
            "reason": FrameReason(int(frame["reason"])).name,
        }


def number(value: Any, digits: int | None = None) -> float | None:
    """A float for JSON: NaN and infinities are null; `digits` after the point, else 6 significant."""
    value = float(value)
    if not math.isfinite(value):
        return None
    return round(value, digits) if digits is not None else float(f"{value:.6g}")


def features_json(frame: Any) -> dict[str, float | None]:
    return {FRAME_JSON_NAMES[name]: number(frame[name]) for name in FEATURE_NAMES}


def score_json(score: ScoreUpdate) -> dict[str, Any]:
    return {
        "ts": score.ts_ns // 1_000_000,
        "long": number(score.final_score_long, 1),
        "short": number(score.final_score_short, 1),
        "signalLong": score.signal_long,
        "signalShort": score.signal_short,
        "expectedMoveBps": number(score.expected_move_bps, 2),
        "costBps": number(score.cost_bps, 2),
        "contributions": {name: number(value, 3) for name, value in score.contributions.items()},
        "blockedReasons": list(score.blocked_reasons),
        "regime": score.regime or None,
        "regimeReason": score.regime_reason,
        "regimeFigures": _numbers(score.regime_figures, 3),
        "regimeProximity": number(score.regime_proximity, 3),
        "globalRegime": score.global_regime or None,
        "globalRegimeReason": score.global_regime_reason,
        "contributionsLong": _numbers(score.contributions_long, 3),
        "contributionsShort": _numbers(score.contributions_short, 3),
        "penalties": _numbers(score.penalties, 3),
        "neededMoveBps": number(score.needed_move_bps, 2) if score.needed_move_bps else None,
        "costParts": _numbers(score.cost_parts, 3),
        "armedFrames": score.armed_frames,
        "scorer": score.scorer,
        "configVersion": score.config_version,
    }


def _numbers(values: Mapping[str, float], digits: int) -> dict[str, float | None]:
    return {name: number(value, digits) for name, value in values.items()}


def quality_json(quality: QualityView) -> dict[str, Any]:
    """Slippage and adverse markout are costs, markouts gains; bps. Null = not measured yet."""
    figures = {
        "midSlippageBps": quality.mid_slippage_bps,
        "fillRatio": quality.fill_ratio,
        "timeToFillMs": quality.time_to_fill_ms,
        "markout1sBps": quality.markout_1s_bps,
        "markout5sBps": quality.markout_5s_bps,
        "markout30sBps": quality.markout_30s_bps,
    }
    return {
        "score": number(quality.score, 1),
        "blocked": quality.blocked,
        "reason": quality.reason,
        "probation": quality.probation,
        "entriesLeft": quality.entries_left,
        "blockedSince": quality.blocked_since_ns // 1_000_000 or None,
        "probationAt": quality.probation_at_ns // 1_000_000 or None,
        "orders": quality.orders,
        "slippageBps": number(quality.slippage_bps, 3),
        "adverseMarkoutBps": number(quality.adverse_markout_bps, 3),
        "rejectRate": number(quality.reject_rate, 4),
        **{name: None if value is None else number(value, 3) for name, value in figures.items()},
        "penalties": _numbers(quality.penalties, 3),
    }


def instrument_json(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "tickSize": float(instrument.tick_size),
        "qtyStep": float(instrument.qty_step),
        "priceScale": instrument.price_scale,
        "qtyScale": max(0, -int(instrument.qty_step.normalize().as_tuple().exponent)),
        "minNotional": float(instrument.min_notional),
        "maxLeverage": float(instrument.max_leverage),
    }
