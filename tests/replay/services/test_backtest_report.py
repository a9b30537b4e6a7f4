"""The page is one file that needs nothing else, and its charts are right where they can be checked."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.domain.backtest_parts import PartResult, Variant
from replay.domain.curves import Line
from replay.domain.judgement import Trials, judge
from replay.services.backtest_charts import TimeAxis, line_chart, nice_ticks
from replay.services.backtest_report import render_report
from tests.replay.backtest_samples import SECOND, START, a_part, a_report, a_trade

RUN = {
    "runId": "b1", "createdAt": "2026-01-01T00:00:00Z", "profile": "<demo> & co", "configVersion": "demo:1",
    "ledger": "trials.jsonl",
}  # fmt: skip


def page(part: PartResult, trials: int = 3) -> str:
    document: dict[str, Any] = judge({Variant.BASE: [part]}, [], Trials(count=trials), seed=1)
    return render_report({"run": RUN, **document}, [part])


@pytest.fixture(scope="module")
def good_page() -> str:
    return page(a_part([a_trade(n, 3.0 if n % 3 else -2.0) for n in range(40)]))


def test_the_page_reaches_for_nothing(good_page: str) -> None:
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\(|<script|<link|<iframe""", good_page)
    assert "default-src 'none'" in good_page


def test_page_one_states_what_is_assumed(good_page: str) -> None:
    first = good_page[: good_page.index("Equity: profit")]

    for words in (
        "It earned", "ETHUSDT: tick 0.01", "2 bps maker, 5.5 bps taker", "20 ms to the venue", "conservative",
        "demo:1", "2025-11-18T00:00:00.000Z", "3 defects", "2 feed gaps", "What is not modelled",
        "Our orders move nobody", "3 (this one included",
    ):  # fmt: skip
        assert words in first, words


def test_latencies_and_overrides_are_told_as_they_are_configured(good_page: str) -> None:
    report = a_report()
    report["assumptions"] |= {
        "latencyJitterMs": 300.0, "amendLatencyMs": 400.0, "symbolsWithOverrides": ["BTCUSDT", "ETHUSDT"],
    }  # fmt: skip

    text = page(a_part([], report=report))

    assert "20 ms to the venue and as long back, no jitter" in good_page
    assert "Symbols with overrides" not in good_page
    assert "as long back, amends 400 ms to the venue, jitter up to 300 ms more" in text
    assert "BTCUSDT, ETHUSDT: there the config differs" in text


def test_every_section_is_there(good_page: str) -> None:
    for title in (
        "Drawdown", "Where the money went", "How sure is that", "If latency or fees", "Per symbol",
        "Per hour", "Per regime", "How much money it could take", "Price and trades", "Trades",
        "Data: eth.gz", "Runs:",
    ):  # fmt: skip
        assert title in good_page, title


def test_foreign_text_is_escaped(good_page: str) -> None:
    assert "&lt;demo&gt; &amp; co" in good_page
    assert "<x>" not in good_page
    assert "bad line: &lt;x&gt;" in good_page


def test_without_trades_the_page_says_so_and_shows_no_figure() -> None:
    text = page(a_part([]))

    assert "No trade was closed: there is nothing to judge." in text
    assert not re.findall(r"\bnan\b|\binf\b|None", text)


def drawings(text: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_each_trade_is_on_the_price_chart_with_a_tooltip(good_page: str) -> None:
    equity, fall, price = drawings(good_page)
    marks = [one for one in price.iter() if (one.get("class") or "").startswith("mark ")]

    assert len(marks) == 2 * 40
    assert "LONG 0.5 ETHUSDT at 2,000" in (marks[0].findtext("title") or "")
    assert "net +3.0000 USDT" in (marks[3].findtext("title") or "")
    assert {one.tag for one in (equity[0], fall[0])} == {"text"}  # the unit of the value axis


def points_of(svg: str) -> list[tuple[float, float]]:
    (path,) = re.findall(r'<path class="line \w+" d="([^"]*)"', svg)
    return [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", path)]  # type: ignore[misc]


def test_a_line_goes_where_its_values_are() -> None:
    line = Line(ts_ns=START + np.array([0, 50, 100]) * SECOND, value=np.array([0.0, 10.0, 5.0]))

    (x0, y0), (x1, y1), (x2, y2) = points_of(
        line_chart(line, [(START, START + 100 * SECOND)], unit="USDT", kind="profit")
    )

    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.2)


def test_time_without_data_takes_no_room() -> None:
    axis = TimeAxis([(0, 100), (10_000, 10_100)])

    assert axis.x(100) == axis.x(10_000) == axis.breaks()[0]
    assert axis.x(50) - axis.x(0) == pytest.approx(axis.x(10_050) - axis.x(10_000))
    assert axis.at(0.25) == 50
    assert axis.at(0.75) == 10_050


@given(st.floats(-1e9, 1e9), st.floats(0, 1e6))
def test_ticks_are_round_and_cover_the_values(low: float, spread: float) -> None:
    ticks = nice_ticks(low, low + spread)

    assert 2 <= len(ticks) <= 13
    slack = abs(low) * 1e-9 + 1e-8
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + spread - slack
