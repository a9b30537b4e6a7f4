"""The symbol page's panel: quotes, candles, features, score, book, orders and marks of one symbol."""

from __future__ import annotations

import math
from typing import Any

from market.domain.frames import FEATURE_NAMES, FRAME_JSON_NAMES, BookState, FrameReason
from market.domain.instruments import Instrument
from monitoring.domain.candles import CandleFold
from monitoring.domain.ladder import Ladder, ladder_rows
from monitoring.domain.panel import Increment, Panel
from strategy.domain.messages import ScoreUpdate, StateEvent

SECOND_CANDLES = 1800  # half an hour
MINUTE_CANDLES = 720  # half a day
MARKS = 300
STATE_LINES = 60
LADDER_DEPTH = 12

NO_BOOK: dict[str, Any] = {"known": False, "bids": [], "asks": []}
_PRICE_FIELDS = ("bid", "ask", "mid", "microprice", "last_price", "mark_price", "index_price")


class SymbolView:
    """Folds one symbol's news. Frames are kept raw and turned into JSON only when the panel is drained."""

    def __init__(self, instrument: Instrument) -> None:
        self.panel = Panel(
            tables=("orders",),
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
        self.panel.set_section("instrument", instrument_json(instrument))
        for name in ("quote", "features", "score", "position", "candle", "minute"):
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
        return self.panel.drain()

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
