"""Day files of trades and of orders' quality: a crash that is completed writes no line twice."""

from __future__ import annotations

import json
from pathlib import Path

from execution.adapters.order_log import QualityLog, TradeLog
from failover.adapters.archive import Archive

DAY_NS = 86_400 * 10**9
AT_NS = 20_000 * DAY_NS  # 2024-10-04


def test_each_kind_is_known_by_its_own_key(tmp_path: Path) -> None:
    row = {"clientOrderId": "o-1", "planId": "p-1"}
    archive = Archive(tmp_path)
    quality, trades = QualityLog(archive), TradeLog(archive)

    quality.append(row, ts_ns=AT_NS)
    trades.append(row, ts_ns=AT_NS)

    assert (quality.has("o-1"), quality.has("p-1")) == (True, False)
    assert (trades.has("p-1"), trades.has("o-1")) == (True, False)
    path = tmp_path / "execution" / "quality" / "day-2024-10-04.jsonl"
    assert json.loads(path.read_text()) == row


def test_what_was_written_before_midnight_is_still_known_after_it(tmp_path: Path) -> None:
    """The last step of a day may be completed by a process of the next."""
    log = QualityLog(Archive(tmp_path))
    log.append({"clientOrderId": "late"}, ts_ns=AT_NS + DAY_NS - 1)
    log.append({"clientOrderId": "early"}, ts_ns=AT_NS + DAY_NS)

    again = QualityLog(Archive(tmp_path))

    assert again.has("late")
    assert again.has("early")
    assert not again.has("never")
