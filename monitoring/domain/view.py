"""The dashboard's state: a fold of everything the services say on the bus.

`apply` takes one message and changes the panels it concerns; `drain(panel)` and `snapshot(panel)` are how a
client is served (see `monitoring.domain.panel`). Pure: the time comes with the messages. Memory is bounded by
the number of symbols and the limits of tables and series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from failover.domain.run_mode import RunMode
from market.domain.events import EventChunk
from market.domain.frames import BookState, Frames
from market.domain.instruments import Instrument
from monitoring.domain.health import Beat
from monitoring.domain.ladder import Ladders
from monitoring.domain.limits import Limits
from monitoring.domain.overview import Overview
from monitoring.domain.panel import Increment, Panel, Snapshot
from monitoring.domain.symbol_view import SymbolView, instrument_json, number
from monitoring.domain.trading import TradingFold
from strategy.domain.messages import (
    ExecutionEvent,
    ExecutionSnapshot,
    RiskSnapshot,
    ScoreUpdate,
    StateEvent,
    SymbolState,
)

OVERVIEW = "overview"
QUIET_STATES = frozenset((SymbolState.FLAT, SymbolState.WATCH, SymbolState.ARM))


@dataclass(frozen=True, slots=True)
class BeatsSeen:
    """All heartbeats at one instant, by service name."""

    now_ms: int
    beats: Mapping[str, Beat]


@dataclass(frozen=True, slots=True)
class InstrumentsSeen:
    """The run's symbol table: the place in the list is the `symbol` index of frames and chunks."""

    instruments: tuple[Instrument, ...]


@dataclass(frozen=True, slots=True)
class FramesSeen:
    frames: Frames


@dataclass(frozen=True, slots=True)
class ChunkSeen:
    chunk: EventChunk


@dataclass(frozen=True, slots=True)
class FeedGapSeen:
    """The raw stream lost entries on its way: no ladder is to be trusted until its next snapshot."""


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """One row of `execution.records` (docs/contracts.md)."""

    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunModeSeen:
    """Which market the system lives on, and how far a replay is."""

    mode: RunMode


@dataclass(frozen=True, slots=True)
class SafeModeSince:
    since_ms: int


@dataclass(frozen=True, slots=True)
class LimitsSeen:
    """The thresholds in force: of the config document, and of the symbols with their own."""

    base: Limits | None = None
    symbols: Mapping[str, Limits] = field(default_factory=dict)

    def of(self, symbol: str) -> Limits | None:
        return self.symbols.get(symbol, self.base)


ViewMessage = (
    BeatsSeen
    | InstrumentsSeen
    | FramesSeen
    | ChunkSeen
    | FeedGapSeen
    | RecordSeen
    | SafeModeSince
    | RunModeSeen
    | LimitsSeen
    | StateEvent
    | ScoreUpdate
    | RiskSnapshot
    | ExecutionEvent
    | ExecutionSnapshot
)


class DashboardView:
    """All panels of the dashboard."""

    def __init__(self, *, mode: str, bybit_env: str) -> None:
        self.overview = Overview(mode=mode, bybit_env=bybit_env)
        self._table: tuple[str, ...] = ()
        self._symbols: dict[str, SymbolView] = {}
        self._ladders = Ladders()
        self._trading = TradingFold(self.overview, self._symbols)
        self._limits = LimitsSeen()
        self._is_replay = False
        self._retired_seq: dict[str, int] = {}  # where the panels of symbols that left stood

    # --- reading -------------------------------------------------------------------------------------

    def panels(self) -> tuple[str, ...]:
        return (OVERVIEW, *self._symbols)

    def has_panel(self, name: str) -> bool:
        return name == OVERVIEW or name in self._symbols

    def drain(self, name: str) -> Increment | None:
        if name == OVERVIEW:
            return self.overview.panel.drain()
        return self._symbols[name].drain()

    def snapshot(self, name: str) -> Snapshot:
        """Everything on the panel as of its last drain."""
        return self._panel(name).snapshot()

    def state(self, name: str) -> dict[str, Any]:
        """Everything on the panel as it stands now, drained or not."""
        return self._panel(name).state()

    def _panel(self, name: str) -> Panel:
        return self.overview.panel if name == OVERVIEW else self._symbols[name].panel

    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(self._symbols[symbol].instrument for symbol in self._table)

    def symbols_without_book(self) -> tuple[str, ...]:
        return tuple(symbol for symbol in self._table if not self._symbols[symbol].has_book)

    # --- folding -------------------------------------------------------------------------------------

    def apply(self, message: ViewMessage) -> None:
        """Fold one message. Raises BadRecord for a row without the promised fields."""
        match message:
            case FramesSeen(frames):
                self._frames(frames)
            case ChunkSeen(chunk):
                self._chunk(chunk)
            case RecordSeen(row):
                self._trading.on_record(row)
            case ExecutionSnapshot():
                self._trading.on_snapshot(message)
                self._show_safety()
                self._show_account()
            case ExecutionEvent():
                self._trading.on_event(message)
            case ScoreUpdate():
                self._score(message)
            case StateEvent():
                self._state(message)
            case RiskSnapshot():
                self.overview.on_risk(message)
                self._show_account()
            case _:
                self._housekeeping(message)

    def _housekeeping(
        self,
        message: BeatsSeen
        | InstrumentsSeen
        | FeedGapSeen
        | SafeModeSince
        | LimitsSeen
        | RunModeSeen,
    ) -> None:
        match message:
            case BeatsSeen(now_ms, beats):
                self.overview.on_beats(now_ms, beats)
                if not self._is_replay:  # its own strategy has no heartbeat
                    self._config_in_force((beats.get("strategy") or {}).get("details") or {})
            case InstrumentsSeen(instruments):
                self._instruments(instruments)
            case LimitsSeen():
                self._limits_seen(message)
            case FeedGapSeen():
                self._forget_books()
            case RunModeSeen(mode):
                self._run_mode(mode)
            case SafeModeSince(since_ms):
                self.overview.safe_mode_since(since_ms)
                self._show_safety()

    def _run_mode(self, mode: RunMode) -> None:
        """The badge of every page: what is shown is the market, or a recorded one."""
        self._is_replay = mode.is_replay
        self.overview.on_run_mode(mode)
        system = self.overview.panel.section("system")
        for view in self._symbols.values():
            view.panel.set_section("system", system)

    def _config_in_force(self, details: Mapping[str, Any]) -> None:
        """What the strategy says it decides with; the last word stands while it is silent."""
        if not (version := details.get("configVersion")):
            return
        config = {
            "version": str(version),
            "number": details.get("configNumber"),
            "problem": str(details.get("configProblem") or ""),
            "needsRestart": list(details.get("configNeedsRestart") or ()),
            "pinned": bool(details.get("configPinned")),
        }
        self.overview.on_config(config)
        for view in self._symbols.values():
            view.panel.set_section("config", config)

    def _limits_seen(self, limits: LimitsSeen) -> None:
        self._limits = limits
        self.overview.panel.set_section("limits", limits.base)
        for symbol, view in self._symbols.items():
            view.on_limits(limits.of(symbol))

    def _show_account(self) -> None:
        """The account's figures stand beside every symbol's own."""
        for name in ("risk", "account"):
            section = self.overview.panel.section(name)
            for view in self._symbols.values():
                view.panel.set_section(name, section)

    def _show_safety(self) -> None:
        """Safe mode is news on every page."""
        safety = self.overview.panel.section("safety")
        for view in self._symbols.values():
            view.panel.set_section("safety", safety)

    def _forget_books(self) -> None:
        self._ladders.reset()
        for view in self._symbols.values():
            view.on_book_lost()

    def _instruments(self, instruments: tuple[Instrument, ...]) -> None:
        """A new table replaces the old one; symbols that stay keep their history."""
        names = tuple(instrument.symbol for instrument in instruments)
        if names != self._table:
            self._forget_books()  # their keys are places in the table
        self._table = names
        for instrument in instruments:
            if view := self._symbols.get(instrument.symbol):
                view.rules_changed(instrument)
            else:
                self._new_symbol(instrument)
        for gone in set(self._symbols) - set(names):
            self._retired_seq[gone] = self._symbols.pop(gone).panel.seq
            self._trading.forget(gone)
            self.overview.panel.remove_row("symbols", gone)

    def _new_symbol(self, instrument: Instrument) -> None:
        """A symbol that comes back counts on past its old panel, so that a client of that one notices."""
        view = self._symbols[instrument.symbol] = SymbolView(instrument)
        for name in ("system", "safety", "config", "risk", "account"):
            view.panel.set_section(name, self.overview.panel.section(name))
        view.on_limits(self._limits.of(instrument.symbol))
        for key, order in self.overview.panel.rows("orders").items():
            if order["symbol"] == instrument.symbol:
                view.panel.set_row("orders", key, order)
        view.panel.seq = self._retired_seq.pop(instrument.symbol, -1) + 1
        scales = instrument_json(instrument)
        row = {name: scales[name] for name in ("priceScale", "qtyScale")}
        self._symbol_row(instrument.symbol, {**row, "state": SymbolState.FLAT.value})

    def _frames(self, frames: Frames) -> None:
        last: dict[str, Any] = {}
        for frame in frames:
            index = int(frame["symbol"])
            if index < len(self._table):
                symbol = self._table[index]
                self._symbols[symbol].on_frame(frame)
                last[symbol] = frame
        for symbol, frame in last.items():
            self._watch_row(symbol, frame)

    def _watch_row(self, symbol: str, frame: Any) -> None:
        instrument = self._symbols[symbol].instrument
        mid = number(frame["mid"], instrument.price_scale + 1)
        self._symbol_row(
            symbol,
            {
                "mid": mid,
                "bid": number(frame["bid"], instrument.price_scale),
                "ask": number(frame["ask"], instrument.price_scale),
                "spreadBps": number(frame["spread_bps"], 2),
                "ret60s": number(frame["ret60s"], 1),
                "ret300s": number(frame["ret300s"], 1),
                "rv60s": number(frame["rv60s"], 2),
                "imb5": number(frame["imb5"], 2),
                "bookState": BookState(int(frame["book_state"])).name,
                "warm": bool(frame["warm"]),
                "ts": int(frame["ts_ns"]) // 1_000_000_000 * 1000,  # whole seconds: rows stay small
            },
        )
        self._trading.on_mid(symbol, mid)

    def _symbol_row(self, symbol: str, changes: dict[str, Any]) -> None:
        row = self.overview.panel.rows("symbols").get(symbol, {})
        self.overview.panel.set_row("symbols", symbol, {**row, **changes})

    def _chunk(self, chunk: EventChunk) -> None:
        self._ladders.on_chunk(chunk, len(self._table))
        for index in {int(index) for index in chunk.symbol}:
            ladder = self._ladders.get(index)
            if ladder and index < len(self._table):
                self._symbols[self._table[index]].on_book(ladder)

    def _score(self, score: ScoreUpdate) -> None:
        if self._is_replay:
            self._config_in_force({"configVersion": score.config_version})
        if view := self._symbols.get(score.symbol):
            view.on_score(score)
            self._symbol_row(
                score.symbol,
                {
                    "scoreLong": number(score.final_score_long, 1),
                    "scoreShort": number(score.final_score_short, 1),
                    "blocked": len(score.blocked_reasons),
                    "state": score.state.value,
                },
            )

    def _state(self, event: StateEvent) -> None:
        view = self._symbols.get(event.symbol)
        if view is None:
            return
        view.on_state(event)
        self._symbol_row(event.symbol, {"state": event.to_state.value})
        if not {event.from_state, event.to_state} <= QUIET_STATES:
            self.overview.activity(
                event.ts_ns // 1_000_000, "STATE", event.symbol,
                f"{event.from_state.value} → {event.to_state.value}"
                + _shown_reason(event),
                "error" if event.to_state is SymbolState.ERROR else "info",
            )  # fmt: skip


def _shown_reason(event: StateEvent) -> str:
    """Nothing where the reason only repeats that execution did what the states already say."""
    is_news = event.reason and not event.reason.startswith("EXECUTION_")
    return f" · {event.reason}" if is_news else ""
