"""A small market and a strategy that record themselves: live classes, event time, no bus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from failover.adapters.files import write_atomically
from failover.adapters.journal import JournalWriter
from failover.adapters.journal_blocks import block_at, sealed_block
from failover.adapters.jsonl import JsonlAppender
from failover.adapters.streams import Entry
from failover.domain.journal import JournalRecord
from market.domain.config import MarketConfig
from market.domain.frames import Frames, pack_frames
from market.domain.kernel import MarketKernel
from market.domain.reconfigure import reconfigured
from market.services.core_journal import MarketJournal
from market.services.hub import MarketHub
from market.services.recorder import MarketRecorder
from strategy.domain.config import DecisionConfig
from strategy.domain.decision_desk import DeskOptions
from strategy.domain.messages import OrderRequest, StrategyOutput
from strategy.domain.scorer import ScorerWatch
from strategy.services.journalled_desk import JournalledDesk
from tests.strategy.builders import a_config, a_snapshot, an_instrument

START_NS = 1_763_424_000_000_000_000
MS, S = 1_000_000, 1_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STEP_NS = 20 * MS
CONFIG = MarketConfig(warmup_s=1)
DECISIONS = a_config(
    strategy={"arm_frames": 1, "cooldown_s": 0.5, "entry_score": 56.0, "edge_coef": 50.0}
)


class World:
    """`market` and `strategy` are the runs that are at work; `step` lets 20 ms pass."""

    def __init__(self, data_dir: Path, seed: int = 1) -> None:
        self.data_dir = data_dir
        self.now_ns = START_NS
        self.rng = np.random.default_rng(seed)
        self.mids = np.full(len(SYMBOLS), 1_000_000)
        self.instruments = [an_instrument(name) for name in SYMBOLS]
        self.requests: list[OrderRequest] = []
        self.starts = 0

    # -- market -------------------------------------------------------------------------------------

    def start_market(self, config: MarketConfig = CONFIG) -> None:
        self.starts += 1
        self.market_run = f"2026T{self.starts}"
        self.recorder = MarketRecorder(
            self.data_dir / "market", self.instruments, self.market_run,
            open_file=JsonlAppender, write_whole=write_atomically,
        )  # fmt: skip
        self.recorder.start()
        self.market_writer = JournalWriter(self.data_dir / "journal", "market", self.market_run)
        self.market = MarketJournal(self.market_writer, self.instruments, config, self.now_ns)
        self.hub = MarketHub(
            self.instruments, MarketKernel(self.instruments, config), clock=lambda: self.now_ns,
            chunk_sinks=[self.market, self.recorder], frame_sinks=[self.market, self],
            on_time=self.market.take_time,
        )  # fmt: skip
        self.sent = 0
        for place, symbol in enumerate(SYMBOLS):
            self.hub.on_raw_orderbook(symbol, self._book(place, "SNAPSHOT"))

    def reconfigure_market(self, config: MarketConfig) -> None:
        self.market.take_config(config)
        self.hub.reconfigure(lambda kernel: reconfigured(kernel, self.instruments, config))

    def stop_market(self) -> None:
        self.hub.flush()
        self.recorder.stop()
        self.market.close()

    def take_frames(self, frames: Frames) -> None:
        """A `FrameSink`: what the bus would bring to the strategy."""
        entry = Entry(
            stream="market.frames", entry_id="1-0", run_id=self.market_run, number=self.sent + 1,
            count=len(frames), payload=pack_frames(frames),
        )  # fmt: skip
        self.sent += len(frames)
        if self.strategy is not None:
            self._decided(self.strategy.take_frames(entry, frames.copy()))

    def _book(self, place: int, subtype: str) -> dict[str, object]:
        tick, lean = int(self.mids[place]), self._lean()
        bids = [(tick - n, 5 * lean * self.rng.random()) for n in range(1, 11)]
        asks = [(tick + n, 5 / lean * self.rng.random()) for n in range(1, 11)]
        return {
            "subtype": subtype, "ts": self.now_ns // MS,
            "bids": [[t / 10, round(q + 0.001, 3)] for t, q in bids],
            "asks": [[t / 10, round(q + 0.001, 3)] for t, q in asks],
        }  # fmt: skip

    def _lean(self) -> float:
        """Three seconds one way, three the other."""
        return 4.0 if self.now_ns // (3 * S) % 2 else 0.25

    # -- strategy -------------------------------------------------------------------------------------

    strategy: JournalledDesk | None = None

    def start_strategy(
        self,
        run_id: str,
        config: DecisionConfig = DECISIONS,
        only: tuple[str, ...] = (),
        watch: ScorerWatch | None = None,
    ) -> None:
        self.strategy_writer = JournalWriter(self.data_dir / "journal", "strategy", run_id)
        options = DeskOptions(run_id=run_id, config=config, only=only)
        self.strategy = JournalledDesk(self.strategy_writer, options, self.now_ns, watch)
        self.strategy.take_table(msgspec.msgpack.encode(self.instruments))

    def stop_strategy(self) -> None:
        assert self.strategy is not None
        self.strategy_writer.close(self.strategy.at_ns)
        self.strategy = None

    def _decided(self, outputs: list[StrategyOutput]) -> None:
        opened = [each for each in outputs if isinstance(each, OrderRequest) and each.plan]
        self.requests += [each for each in outputs if isinstance(each, OrderRequest)]
        for request in opened:
            assert self.strategy is not None
            self.strategy.take_written(request.request_id, f"{len(self.requests)}-0")

    # -- time -----------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * S / STEP_NS)):
            self.step()

    def step(self) -> None:
        self.now_ns += STEP_NS
        for place, symbol in enumerate(SYMBOLS):
            if self.rng.random() < 0.7:
                self.mids[place] += int(self.rng.integers(-3, 4))
                self.hub.on_raw_orderbook(symbol, self._book(place, "SNAPSHOT"))
            if self.rng.random() < 0.4:
                self._trade(place, symbol)
        self.hub.flush()
        if self.now_ns % (100 * MS) == 0:
            self.hub.advance(self.now_ns)
            self.market.keep_state(self.hub.kernel_state)
        if self.strategy is not None:
            self.strategy.keep_state()
            if self.now_ns % S == 0:
                self._hear()

    def _trade(self, place: int, symbol: str) -> None:
        side = "Buy" if self._lean() > 1 else "Sell"
        price = (int(self.mids[place]) + (1 if side == "Buy" else -1)) / 10
        self.hub.on_raw_trade(
            symbol, {"price": price, "qty": 0.05, "side": side, "ts": self.now_ns // MS}
        )

    def _hear(self) -> None:
        """Execution's snapshot of each second."""
        assert self.strategy is not None
        news = [a_snapshot(self.now_ns, requests_stream_id="9999999-0")]
        payload = msgspec.msgpack.encode(news)
        self._decided(self.strategy.take_news(payload, list(news), self.now_ns))

    def keep_states(self) -> None:
        """Both cores write their whole state at their next chance."""
        for writer in (self.market_writer, self.strategy_writer):
            writer._needs_state = True


def rewrite(
    path: Path, change: Callable[[list[JournalRecord]], list[JournalRecord]]
) -> list[JournalRecord]:
    """Write a journal file anew with other records, soundly sealed; returns the records it had."""
    data, position, records = path.read_bytes(), 0, list[JournalRecord]()
    first = 1
    while (block := block_at(data, position)) is not None:
        first = block.first if not records else first
        records += block.records
        position = block.end
    path.write_bytes(sealed_block(change(list(records)), first))
    return records


def journal_of(data_dir: Path, core: str, run_id: str) -> Path:
    (path,) = (data_dir / "journal").glob(f"*/{core}-{run_id}.journal")
    return path
