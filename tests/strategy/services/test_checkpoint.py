"""The saved state: whole, of our venue, of figures that can be; else a start warms up and says why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strategy.domain import numeric_layout as at
from strategy.domain.core import StrategyCore
from strategy.domain.numeric_state import NumericCheckpoint
from strategy.services.checkpoint import StateCheckpoint, _Saved, _sealed
from tests.strategy.builders import Feed, S, a_config, an_instrument, balanced

LOCAL, MAINNET = "LOCAL at ws://127.0.0.1:8899", "MAINNET at wss://stream.bybit.com"


def a_core(frames: Any = None) -> StrategyCore:
    core = StrategyCore([an_instrument()], a_config(), "s1")
    if frames is not None:
        core.on_frames(frames)
    return core


@pytest.fixture
def kept() -> StrategyCore:
    return a_core(balanced(Feed(start_ns=time.time_ns() - 4 * S), 3.0))


def loaded(path: Path, venue: str = LOCAL) -> tuple[StrategyCore, str]:
    """A fresh core that was shown the file at `path`, and what is said of it."""
    core, checkpoint = a_core(), StateCheckpoint(path, venue=venue)
    checkpoint.load(core, 3600.0)
    return core, checkpoint.outcome


def test_a_saved_state_is_taken_over_by_a_run_on_the_same_venue(
    kept: StrategyCore, tmp_path: Path
) -> None:
    path = tmp_path / "state.msgpack"
    StateCheckpoint(path, venue=LOCAL).save(kept)

    core, outcome = loaded(path)

    assert outcome.startswith("restored state ")
    assert core.state() == kept.state()


def test_a_state_of_another_venue_is_refused_and_said(kept: StrategyCore, tmp_path: Path) -> None:
    path = tmp_path / "state.msgpack"
    StateCheckpoint(path, venue=LOCAL).save(kept)

    core, outcome = loaded(path, MAINNET)

    assert outcome == f"checkpoint is of {LOCAL}, this run of {MAINNET}: warming up from nothing"
    assert core.state() == a_core().state()


def test_one_bit_flipped_anywhere_is_found_and_the_file_set_aside(
    kept: StrategyCore, tmp_path: Path
) -> None:
    path = tmp_path / "state.msgpack"
    StateCheckpoint(path, venue=LOCAL).save(kept)
    sound = path.read_bytes()

    for place in (0, 15, 16, 40, len(sound) // 2, len(sound) - 1):
        bad = bytearray(sound)
        bad[place] ^= 0x40
        path.write_bytes(bad)

        core, outcome = loaded(path)

        assert "damaged" in outcome
        assert "state.msgpack.bad" in outcome
        assert core.state() == a_core().state()
        assert not path.exists()
        assert (tmp_path / "state.msgpack.bad").read_bytes() == bad


def with_whole(state: bytes, place: int, value: int) -> bytes:
    held = msgspec.msgpack.decode(state, type=NumericCheckpoint)
    numbers = held.symbols["BTCUSDT"]
    whole = np.frombuffer(numbers.whole, np.int64).copy()
    whole[place] = value
    changed = {"BTCUSDT": msgspec.structs.replace(numbers, whole=whole.tobytes())}
    return msgspec.msgpack.encode(msgspec.structs.replace(held, symbols=changed))


def with_float(state: bytes, place: int, value: float) -> bytes:
    held = msgspec.msgpack.decode(state, type=NumericCheckpoint)
    numbers = held.symbols["BTCUSDT"]
    floats = np.frombuffer(numbers.floats).copy()
    floats[place] = value
    changed = {"BTCUSDT": msgspec.structs.replace(numbers, floats=floats.tobytes())}
    return msgspec.msgpack.encode(msgspec.structs.replace(held, symbols=changed))


def with_market_regime(state: bytes, code: int) -> bytes:
    held = msgspec.msgpack.decode(state, type=NumericCheckpoint)
    whole = np.frombuffer(held.market_whole, np.int64).copy()
    whole[at.GLOBAL] = code
    return msgspec.msgpack.encode(msgspec.structs.replace(held, market_whole=whole.tobytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: with_whole(state, at.REGIME, 7),
        lambda state: with_whole(state, at.REGIME, -1),
        lambda state: with_market_regime(state, 3),
        lambda state: with_float(state, at.SCALE_SUM, np.nan),
        lambda state: with_float(state, at.OBSERVED, np.inf),
        lambda state: with_float(state, at.LAST_BID, np.inf),
        lambda state: state[:-1],
        lambda state: b"",
    ],
)
def test_figures_that_cannot_be_stop_no_start_and_change_nothing(
    kept: StrategyCore, tmp_path: Path, spoil: Any
) -> None:
    path = tmp_path / "state.msgpack"
    path.write_bytes(_sealed(_Saved(venue=LOCAL, state=spoil(kept.state()))))

    core, outcome = loaded(path)

    assert "another build" in outcome
    assert (tmp_path / "state.msgpack.bad").exists()
    assert core.state() == a_core().state()


def test_an_error_in_taking_it_over_stops_no_start(
    kept: StrategyCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.msgpack"
    StateCheckpoint(path, venue=LOCAL).save(kept)

    def breaks(core: StrategyCore, state: bytes) -> bool:
        raise IndexError(len(state))

    monkeypatch.setattr(StrategyCore, "restore", breaks)

    assert "set aside" in loaded(path)[1]
