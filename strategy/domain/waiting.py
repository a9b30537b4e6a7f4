"""Keeps `attention.Watch` true: what each symbol of the table waits for in its present state."""

from __future__ import annotations

from collections.abc import Sequence

from strategy.domain.attention import Mode, Watch
from strategy.domain.config import StrategyConfig
from strategy.domain.evaluations import Evaluations
from strategy.domain.gate import CostModel
from strategy.domain.messages import SymbolState
from strategy.domain.signals import Bench, panic_closes
from strategy.domain.tracks import SymbolTrack

_NS_PER_MS = 1_000_000
SIGNALLING = {
    SymbolState.FLAT: Mode.FLAT,
    SymbolState.WATCH: Mode.WATCH,
    SymbolState.ARM: Mode.ARM,
}


class Waiting:
    """The numbered symbols of one table, and which of their frames matter."""

    def __init__(
        self, bench: Bench, symbols: Sequence[str], *, telemetry: bool, version: int
    ) -> None:
        self._bench = bench
        self._telemetry = telemetry
        self._watch = Watch(len(symbols))
        self.table = [bench.by_symbol[symbol] for symbol in symbols]
        self.version = version  # of what is waited for
        self._priced: list[tuple[CostModel, StrategyConfig] | None] = [None] * len(symbols)
        self._faces: list[tuple[object, ...]] = [()] * len(symbols)  # as last told to the watch
        self._clock: tuple[int | None, int, bool] | None = None
        self._found: tuple[Evaluations, int, int] | None = (
            None  # the last row, and by which version
        )
        self.places = {symbol: place for place, symbol in enumerate(symbols)}
        self.price()
        self.refresh_all()

    def first(self, evaluations: Evaluations, start: int) -> int:
        """First row from `start` on that could change anything; the number of rows when there is none."""
        row = self._watch.first(evaluations, start, telemetry=self._telemetry)
        self._found = (evaluations, row, self.version)
        return row

    def matters(self, evaluations: Evaluations, row: int) -> bool:
        """Whether a row could change a decision, telemetry apart."""
        if self._found and not self._telemetry:
            found_in, found, version = self._found
            if found == row and version == self.version and found_in is evaluations:
                return True
        return self._watch.matters(evaluations, row)

    def price(self) -> None:
        """What a round trip costs, and the thresholds that go with it: by config and measured quality."""
        for place, track in enumerate(self.table):
            config = self._bench.config.strategy_for(track.symbol)
            cost = self._bench.cost(track.symbol)
            if self._priced[place] == (cost, config):
                continue
            self._priced[place], track.cost, self.version = (cost, config), cost, self.version + 1
            self._watch.set_gate(
                place,
                track.cost,
                multiple=config.fee_multiple,
                watch_score=config.watch_score,
                entry_score=config.entry_score,
                slack=config.score_hysteresis,
                arm_frames=config.arm_frames,
            )

    def set_clock(self, *, due_ns: int | None, told_second: int) -> None:
        """`due_ns`: when a limit ends by time; time-outs of states come on top."""
        deadline_ns = self._bench.transitions.next_deadline_ns
        if due_ns is None or (deadline_ns is not None and deadline_ns < due_ns):
            due_ns = deadline_ns
        clock = (due_ns, told_second, self._bench.news.started_ts_ns is None)
        if clock != self._clock:
            self._clock, self.version = clock, self.version + 1
            self._watch.set_clock(due_ns=due_ns, risk_second=told_second, is_first=clock[2])

    def refresh_all(self) -> None:
        for track in self.table:
            self.refresh(track)

    def refresh(self, track: SymbolTrack) -> None:
        """Follow a track whose state may have changed; one that left the table is waited for no more."""
        place = self.places.get(track.symbol)
        if place is None:
            return
        bench, pending = self._bench, track.pending
        face = (
            track.state, pending, track.signal_side, track.side, track.hint_ts_ns, track.hint_holds,
            track.score_ts_ns, track.signals, bench.market.regime, bench.config,
            bool(bench.account.safe_mode_reasons),
        )  # fmt: skip
        if self._faces[place] == face:
            return
        self._faces[place], self.version = face, self.version + 1
        config = bench.config.strategy_for(track.symbol)
        if pending is not None:
            self._watch.set_hint(
                place,
                due_ns=track.hint_ts_ns + config.reprice_hint_ms * _NS_PER_MS,
                holds=track.hint_holds,
                may_hold=not bench.account.safe_mode_reasons,
            )
        self._set_mode(place, track, close_on_opposite=config.close_on_opposite)
        if self._telemetry:
            due_ns = track.score_ts_ns + config.score_update_ms * _NS_PER_MS
            self._watch.set_score(place, due_ns=due_ns, signals=track.signals)

    def _set_mode(self, place: int, track: SymbolTrack, *, close_on_opposite: bool) -> None:
        if track.state in SIGNALLING:
            self._watch.set_mode(place, SIGNALLING[track.state], track.signal_side)
        elif panic_closes(self._bench, track):
            self._watch.set_mode(place, Mode.ALWAYS, None)
        elif track.pending is not None:
            self._watch.set_mode(place, Mode.PENDING, track.pending.side)
        elif track.state is SymbolState.IN_POSITION and close_on_opposite and track.side:
            self._watch.set_mode(place, Mode.OPPOSITE, track.side)
        else:
            self._watch.set_mode(place, Mode.QUIET, None)
