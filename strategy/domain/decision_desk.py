"""A strategy core and what it is fed by: the same for the running service and for a verification.

It follows the market's symbol table, picks the rows of its own symbols, and makes the core with the first
table. Pure: every instant comes with the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from market.domain.frames import Frames
from market.domain.instruments import Instrument
from strategy.domain.config import DecisionConfig
from strategy.domain.core import StrategyCore
from strategy.domain.messages import StrategyInput, StrategyOutput
from strategy.domain.scorer import SCORERS, ScorerRegistry, ScorerWatch


class DeskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of the strategy begins with. `only`: its symbols, sorted; empty for all."""

    run_id: str
    config: DecisionConfig
    only: tuple[str, ...] = ()
    earlier_requests_id: str = ""


class DeskState(msgspec.Struct, frozen=True, kw_only=True):
    """A desk between two inputs; `core` is empty before the first table."""

    config: DecisionConfig
    table: tuple[Instrument, ...]
    core: bytes


class DecisionDesk:
    """`core` is None until there is a symbol table; until then nothing is decided."""

    def __init__(
        self,
        options: DeskOptions,
        *,
        watch: ScorerWatch | None = None,
        scorers: ScorerRegistry = SCORERS,
    ) -> None:
        self._options, self._watch, self._scorers = options, watch, scorers
        self.config = _as_read(options.config)
        self.core: StrategyCore | None = None
        self.table: tuple[Instrument, ...] = ()  # of the market's run
        self.instruments: tuple[Instrument, ...] = ()  # of our symbols
        self._places = np.zeros(0, np.int64)  # the market's symbol index -> ours, -1 when not ours

    def on_table(self, table: Sequence[Instrument]) -> bool:
        """Take the market's table: the first makes the core (True), later ones are followed."""
        if tuple(table) == self.table:
            return False
        self._follow(tuple(table))
        if self.core is not None:
            self.core.on_instruments(self.instruments)
            return False
        self.core = self._new_core()
        return True

    def on_frames(self, frames: Frames) -> list[StrategyOutput]:
        """Judge frames in the market's numbering."""
        return [] if self.core is None else self.core.on_frames(self._ours(frames))

    def on_news(self, messages: Sequence[StrategyInput], now_ns: int) -> list[StrategyOutput]:
        """Take execution's messages of one entry, read at `now_ns`."""
        core = self.core
        if core is None:
            return []
        return [output for each in messages for output in core.on_execution(each, now_ns)]

    def on_news_gap(self) -> None:
        if self.core is not None:
            self.core.on_execution_gap()

    def on_config(self, config: DecisionConfig) -> list[StrategyOutput]:
        """Go on by another version. Raises: BadScorer, and then nothing changed."""
        config = _as_read(config)
        outputs = self.core.on_config(config) if self.core is not None else []
        self.config = config
        return outputs

    def note_written(self, request_id: str, stream_id: str) -> None:
        if self.core is not None:
            self.core.note_request_written(request_id, stream_id)

    def state(self) -> bytes:
        """Everything: `restore` of it goes on bit for bit."""
        core = b"" if self.core is None else self.core.full_state()
        return msgspec.msgpack.encode(DeskState(config=self.config, table=self.table, core=core))

    def restore(self, data: bytes) -> None:
        """Go on from `state` of a desk made of the same options. Raises: ValueError."""
        try:
            held = msgspec.msgpack.decode(data, type=DeskState)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"state of the strategy is not readable: {error}") from error
        self.config, self.core = held.config, None
        self._follow(held.table)
        if held.core:
            self.core = self._new_core()
            self.core.restore_full(held.core)

    # --- inside

    def _new_core(self) -> StrategyCore:
        return StrategyCore(
            self.instruments,
            self.config,
            self._options.run_id,
            self._options.earlier_requests_id,
            watch=self._watch,
            scorers=self._scorers,
        )

    def _follow(self, table: tuple[Instrument, ...]) -> None:
        only = self._options.only
        chosen = [item for item in table if not only or item.symbol in only]
        self.table, self.instruments = table, tuple(chosen)
        self._places = np.array(
            [chosen.index(item) if item in chosen else -1 for item in table], np.int64
        )

    def _ours(self, frames: Frames) -> Frames:
        """Rows of our symbols, in our numbering."""
        known = frames["symbol"] < len(self._places)
        if self._options.only or not known.all():
            places = np.full(len(frames), -1, np.int64)
            places[known] = self._places[frames["symbol"][known]]
            frames = frames[places >= 0].copy()
            frames["symbol"] = places[places >= 0]
        return frames


def _as_read(config: DecisionConfig) -> DecisionConfig:
    """The config as a journal gives it back: a whole number given for a float is a float from here on."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=DecisionConfig)
