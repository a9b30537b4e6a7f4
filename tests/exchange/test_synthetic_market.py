"""The synthetic market: deterministic, on the grid, alive, and no free money unless asked for."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from execution.domain.synthetic_conditions import ConditionScript, Episode
from execution.domain.synthetic_instruments import (
    UnknownSymbol,
    symbols_named,
    synthetic_instruments,
)
from execution.domain.synthetic_market import SyntheticMarket, synthetic_chunks
from execution.domain.synthetic_outbox import Channel
from execution.domain.synthetic_profile import AI16Z
from market.domain.events import ASK, BID, EventKind, pack_chunk

SECOND_NS = 1_000_000_000


def digest_of(seed: int, **settings: object) -> str:
    digest = hashlib.sha256()
    for chunk in synthetic_chunks(seed, 20, **settings):  # type: ignore[arg-type]
        digest.update(pack_chunk(chunk))
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    assert digest_of(3) == digest_of(3)
    assert digest_of(3) != digest_of(4)
    assert digest_of(3) != digest_of(3, predictability=0.0)


def test_the_market_does_not_depend_on_how_its_time_is_cut() -> None:
    def columns(cuts_ms: list[int]) -> list[bytes]:
        market = SyntheticMarket(seed=5)
        parts = [market.step(market.start_ns + cut * 1_000_000) for cut in cuts_ms]
        entries = [np.concatenate([getattr(p, name) for p in parts]) for name in ("tick", "lot")]
        heads = [
            np.concatenate([getattr(p, name) for p in parts]) for name in ("sent_ns", "symbol")
        ]
        return [column.tobytes() for column in entries + heads]

    assert columns([3000]) == columns([10, 25, 1000, 1010, 2505, 3000])


def test_a_symbol_does_not_change_with_the_company_it_keeps() -> None:
    alone = [c.tick.tobytes() for c in synthetic_chunks(5, 5, symbols=("AI16ZUSDT",))]
    pair = list(synthetic_chunks(5, 5, symbols=("AI16ZUSDT", "BTCUSDT")))
    kept = []
    for chunk in pair:
        mine = np.repeat(chunk.symbol == 0, np.diff(chunk.level_offset))
        kept.append(chunk.tick[mine].tobytes())

    assert kept == alone


def test_chunks_rebuild_books_of_fifty_levels_that_never_cross_and_trades_inside_them() -> None:
    """Core time and seq never go back; sizes are whole positive lots; every delete names a held level."""
    books: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in range(4)]
    last_core, last_seq, kinds = 0, 0, set()
    for chunk in synthetic_chunks(9, 60):
        for i in range(len(chunk)):
            kind, symbol = EventKind(int(chunk.kind[i])), int(chunk.symbol[i])
            kinds.add(kind)
            assert int(chunk.core_ts_ns[i]) >= last_core
            assert int(chunk.seq[i]) == last_seq + 1
            last_core, last_seq = int(chunk.core_ts_ns[i]), int(chunk.seq[i])
            first, stop = int(chunk.level_offset[i]), int(chunk.level_offset[i + 1])
            columns = (chunk.side, chunk.tick, chunk.lot)
            entries = [column[first:stop].tolist() for column in columns]
            if kind in (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA):
                bids, asks = books[symbol]
                for side, tick, lot in zip(*entries, strict=True):
                    if lot:
                        books[symbol][side][tick] = lot
                    else:
                        del books[symbol][side][tick]
                assert len(bids) == len(asks) == 50
                assert max(bids) < min(asks)
                assert min(*bids.values(), *asks.values()) > 0
            elif kind is EventKind.TRADE:
                assert entries[2][0] > 0
    assert {EventKind.TRADE, EventKind.BOOK_DELTA, EventKind.TICKER} <= kinds


def test_spread_depth_and_volatility_are_of_the_size_of_the_real_contracts() -> None:
    """BTCUSDT trades within a few ticks; the alts are wider, thinner and move more."""
    symbols = ("BTCUSDT", "AI16ZUSDT")
    sample = sampled(seed=2, seconds=400, predictability=1.0, symbols=symbols, every_ms=500)
    spread_bps = np.median(sample["spread_bps"], axis=0)
    moves_bps = np.diff(np.log(sample["mid"][::2]), axis=0) * 1e4
    second_move_bps = np.median(np.abs(moves_bps), axis=0)  # a crash in an episode does not count

    assert spread_bps[0] < 0.06
    assert 1.0 < spread_bps[1] < 6.0
    assert 0.2 < second_move_bps[0] < 2.0
    assert 0.8 < second_move_bps[1] < 6.0
    assert second_move_bps[1] > 1.5 * second_move_bps[0]


def sampled(
    *, seed: int, seconds: int, predictability: float, symbols: tuple[str, ...], every_ms: int
) -> dict[str, NDArray[np.float64]]:
    """Mid, spread and imbalance of the best twenty levels at a fixed rhythm, f8[n, symbols]."""
    market = SyntheticMarket(seed=seed, symbols=symbols, predictability=predictability)
    count = seconds * 1000 // every_ms
    columns = {name: np.zeros((count, len(symbols))) for name in ("mid", "spread_bps", "imbalance")}
    for row in range(count):
        market.step(market.start_ns + (row + 1) * every_ms * 1_000_000)
        for i in range(len(symbols)):
            bids, asks = market.window(i, 50)
            mid = (bids[0, 0] + asks[0, 0]) / 2
            near_bid, near_ask = bids[:20, 1].sum(), asks[:20, 1].sum()
            columns["mid"][row, i] = mid
            columns["spread_bps"][row, i] = (asks[0, 0] - bids[0, 0]) / mid * 1e4
            columns["imbalance"][row, i] = (near_bid - near_ask) / (near_bid + near_ask)
    return columns


def information(predictability: float, symbol: str, seconds: int) -> tuple[float, float]:
    """How the imbalance goes along with the move of the next 5 s: mean over 100 s blocks, and its t value.

    The move is counted from 1 s later on, so that the bounce of the touch is not in it. Block means are not
    taken out: in short blocks that alone would make a random walk look as if it came back.
    """
    sample = sampled(
        seed=21, seconds=seconds, predictability=predictability, symbols=(symbol,), every_ms=1000
    )
    log_mid = np.log(sample["mid"][:, 0])
    moves = log_mid[6:] - log_mid[1:-5]
    along = []
    for first in range(0, moves.size - 99, 100):
        move = moves[first : first + 100]
        imbalance = sample["imbalance"][first : first + 100, 0]
        along.append(imbalance @ move / np.sqrt((imbalance @ imbalance) * (move @ move)))
    mean, spread = float(np.mean(along)), float(np.std(along, ddof=1))
    return mean, mean / (spread / np.sqrt(len(along)))


@pytest.mark.parametrize(("symbol", "seconds"), [("ETHUSDT", 1500), ("AI16ZUSDT", 3000)])
def test_the_book_tells_the_next_seconds_only_when_predictability_is_on(
    symbol: str, seconds: int
) -> None:
    on, on_t = information(1.0, symbol, seconds)
    off, off_t = information(0.0, symbol, seconds)

    assert on > 0.1
    assert on_t > 3.0
    assert abs(off) < 0.07
    assert abs(off_t) < 2.0


def test_the_fair_price_is_a_martingale_without_predictability() -> None:
    """The squared move over 64 s grows like time (no drift to ride, no reversion to fade)."""
    ratios = []
    for seed in range(3):
        market = SyntheticMarket(seed=seed, symbols=("ETHUSDT",), predictability=0.0)
        fair = []
        for second in range(1, 601):
            market.step(market.start_ns + second * SECOND_NS)
            fair.append(np.log(market.symbols[0].state[0]))
        path = np.array(fair)
        one, many = np.diff(path), path[16:] - path[:-16]
        ratios.append(np.mean(many**2) / (16 * np.mean(one**2)))

    assert 0.6 < np.mean(ratios) < 1.4


def test_order_flow_comes_in_bursts() -> None:
    """Counts of trades in 1 s are more spread out than those of independent arrivals."""
    counts = np.zeros(300)
    for chunk in synthetic_chunks(6, 300, symbols=("ETHUSDT",), predictability=0.0):
        trades = chunk.exchange_ts_ns[chunk.kind == EventKind.TRADE]
        seconds = (trades - 1_763_424_000_000_000_000) // SECOND_NS
        np.add.at(counts, seconds[seconds < 300], 1)

    assert np.var(counts) > 2.0 * np.mean(counts) > 0


def test_pumps_dumps_thin_books_and_volatility_regimes_come_in_a_demo_of_half_an_hour() -> None:
    script = ConditionScript(AI16Z, np.random.default_rng(8))
    rows = np.array([script.next_second() for _ in range(1800)])
    drift, depth, volatility = rows[:, 5], rows[:, 3], rows[:, 0]

    assert (drift > 0).any()
    assert (drift < 0).any()
    assert (depth < 0.2).any()
    assert np.unique(volatility[drift == 0]).size >= 4
    assert {Episode.PUMP, Episode.DUMP, Episode.THIN} == set(Episode)


def test_a_thin_phase_empties_the_book_and_a_pump_lifts_the_price() -> None:
    """Found in the script of the symbol itself, then looked for in what the market did."""
    market = SyntheticMarket(seed=1, symbols=("AI16ZUSDT",), predictability=0.0)
    symbol = market.symbols[0]
    rows = np.array([symbol.conditions.row(second) for second in range(1500)])
    thin = np.flatnonzero(rows[:, 3] < 0.2)
    episode = np.flatnonzero(rows[:, 5] != 0)
    last = int(max(thin[-1] if thin.size else 0, episode[-1] if episode.size else 0)) + 1
    assert thin.size
    assert episode.size
    depth, mid, traded = np.zeros(last), np.zeros(last), np.zeros(last)
    for second in range(last):
        messages = market.step(market.start_ns + (second + 1) * SECOND_NS)
        bids, asks = market.window(0, 50)
        depth[second] = bids[:20, 1].sum() + asks[:20, 1].sum()
        mid[second] = (bids[0, 0] + asks[0, 0]) / 2
        traded[second] = np.count_nonzero(messages.channel == Channel.TRADE)
    calm = np.setdiff1d(np.arange(60, last), np.concatenate([thin, episode]))

    assert np.median(depth[thin]) < 0.5 * np.median(depth[calm])
    assert np.mean(traded[episode]) > 2.0 * np.mean(traded[calm])
    runs = np.split(episode, np.flatnonzero(np.diff(episode) > 1) + 1)
    reach = [(mid[run].max() / mid[run].min() - 1) * 1e4 for run in runs]
    assert max(reach) > 80.0


def test_open_interest_funding_mark_and_index_are_told_and_then_only_their_changes() -> None:
    seen: dict[int, list[int]] = {}
    for chunk in synthetic_chunks(2, 10, symbols=("BTCUSDT",)):
        for i in np.flatnonzero(chunk.kind == EventKind.TICKER):
            for place in range(int(chunk.level_offset[i]), int(chunk.level_offset[i + 1])):
                seen.setdefault(int(chunk.tick[place]), []).append(int(chunk.lot[place]))

    assert set(seen) == {1, 2, 3, 4, 5, 6}
    assert abs(seen[2][-1] / seen[3][-1] - 1) < 1e-3
    assert seen[5] == [seen[5][0]]
    assert all(a != b for values in seen.values() for a, b in itertools.pairwise(values))


def test_symbols_are_named_or_counted_and_unknown_ones_refused() -> None:
    assert symbols_named("2") == ("BTCUSDT", "ETHUSDT")
    assert symbols_named("6")[-1] == "SYN02USDT"
    assert symbols_named(" ETHUSDT, SYN07USDT ") == ("ETHUSDT", "SYN07USDT")
    for bad in ("NOPEUSDT", "0", "1000", "ETHUSDT,ETHUSDT", "SYNxxUSDT"):
        with pytest.raises(UnknownSymbol):
            symbols_named(bad)


def test_every_instrument_states_consistent_rules() -> None:
    for instrument in synthetic_instruments(symbols_named("10")):
        assert instrument.min_qty % instrument.qty_step == 0
        assert instrument.max_qty % instrument.qty_step == 0
        assert instrument.max_market_qty <= instrument.max_qty
        assert instrument.format_price(instrument.price_to_ticks(instrument.min_price))
        assert (BID, ASK) == (0, 1)


def test_what_has_passed_is_forgotten_and_the_market_stays_the_same() -> None:
    """Half an hour in steps of 10 s holds no more seconds than one step, and sends what one step sends."""
    stepped, whole = (SyntheticMarket(seed=3, symbols=("GRIFFAINUSDT",)) for _ in range(2))
    end_ns = stepped.start_ns + 1_800 * 10**9
    parts = [stepped.step(until) for until in range(stepped.start_ns, end_ns + 1, 10**10)]

    assert len(stepped.symbols[0].conditions) <= 10
    assert np.array_equal(np.concatenate([p.tick for p in parts]), whole.step(end_ns).tick)
    with pytest.raises(IndexError, match="second 0 was forgotten"):
        stepped.symbols[0].conditions.row(0)
