"""The comparison of two runs by API and page: what it shows, and that nonsense is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.cache import cache
from django.test import Client

pytestmark = pytest.mark.django_db

ORDER = {
    "kind": "INTENT", "symbol": "BTCUSDT", "clientOrderId": "x", "command": "PLACE", "leg": "ENTRY",
    "side": "BUY", "type": "LIMIT", "price": 100.5, "qty": 2.0,
}  # fmt: skip
TRADE = {
    "symbol": "BTCUSDT", "side": "LONG", "openedAt": "2025-11-18T00:00:10Z",
    "timestamp": "2025-11-18T00:01:00Z", "entryPrice": 100.5, "closePrice": 101.5, "qty": 2.0,
    "fees": 0.1, "funding": 0.0, "realizedPnl": 1.9, "exitReason": "<b>TP1</b>",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_throttle_left_over() -> None:
    cache.clear()


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def two_runs(data_dir: Path) -> None:
    write_run(data_dir, "r1", orders=120, trade=TRADE)
    write_run(
        data_dir,
        "r2",
        orders=120,
        trade=TRADE | {"closePrice": 100.0, "realizedPnl": -1.1},
        price=99.5,
    )


def write_run(
    data_dir: Path, run_id: str, *, orders: int, trade: dict[str, Any], price: float = 100.5
) -> None:
    folder = data_dir / "replay" / "runs" / run_id
    folder.mkdir(parents=True)
    report = {
        "runId": run_id, "mode": "FULL_DECISION", "symbols": ["BTCUSDT"], "digest": "d",
        "from": "2025-11-18T00:00:00Z", "to": "2025-11-18T00:10:00Z", "assumptions": {},
    }  # fmt: skip
    lines = [
        ORDER | {"timestamp": f"2025-11-18T00:00:{n // 2:02d}.{n % 2 * 500:03d}Z", "price": price}
        for n in range(orders)
    ]
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "orders.jsonl").write_bytes(b"".join(msgspec.json.encode(x) + b"\n" for x in lines))
    (folder / "events.jsonl").write_bytes(b"")
    (folder / "trades.jsonl").write_bytes(msgspec.json.encode(trade) + b"\n")


@pytest.mark.usefixtures("two_runs")
def test_the_api_gives_divergence_rows_and_exact_attribution(reader_client: Client) -> None:
    answer = reader_client.get("/api/replay/compare?a=r1&b=r2&pageSize=50&page=3")
    body = answer.json()

    assert body["equal"] is False
    assert (body["count"], len(body["rows"])) == (121, 21)
    assert body["firstDivergence"]["differing"] == ["price"]
    assert body["counts"]["ORDER"] == {"equal": 0, "different": 120, "onlyA": 0, "onlyB": 0}
    assert body["attribution"]["parts"]["exit"] == -3
    assert body["attribution"]["differenceUsdt"] == -3
    assert body["a"]["equity"][-1][1] == 1.9
    assert b'"pnlAUsdt":1.9,' in answer.content  # a number with the digits of the record


@pytest.mark.usefixtures("two_runs")
def test_the_page_shows_the_first_divergence_above_all_and_pages_the_rest(
    reader_client: Client,
) -> None:
    answer = reader_client.get("/replay/compare/?a=r1&b=r2&page=2")
    text = answer.content.decode()

    assert text.index("First divergence: BTCUSDT") < text.index("What differs")
    assert "Page 2 of 2" in text
    assert len(answer.context["rows"]) == 21
    assert "&lt;b&gt;TP1" in text
    assert "<b>TP1" not in text
    assert [part.label for part in answer.context["parts"]] == ["Exit price"]


@pytest.mark.usefixtures("two_runs")
def test_equal_runs_are_said_to_be_equal(reader_client: Client) -> None:
    assert b"No divergence" in reader_client.get("/replay/compare/?a=r1&b=r1").content
    assert reader_client.get("/api/replay/compare?a=r1&b=r1&show=all").json()["count"] == 121


@pytest.mark.usefixtures("two_runs")
def test_against_live_what_was_not_decided_live_is_on_one_side(reader_client: Client) -> None:
    body = reader_client.get("/api/replay/compare?a=r1&b=live").json()

    assert body["counts"]["ORDER"]["onlyA"] == 120
    assert body["attribution"]["parts"]["onlyA"] == -1.9


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("a=r1", 400, "INVALID"),
        ("a=r1&b=r2&page=0", 400, "INVALID"),
        ("a=r1&b=r9", 404, "NOT_FOUND"),
        ("a=live&b=live", 422, "BOTH_LIVE"),
        ("a=r1&b=..%2F..%2Fetc", 422, "BAD_ID"),
        ("a=r1&b=%00", 400, "INVALID"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_reason(
    reader_client: Client, query: str, status: int, code: str
) -> None:
    answer = reader_client.get(f"/api/replay/compare?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert reader_client.get(f"/replay/compare/?{query}").status_code in (200, 404, 422)


def test_without_two_names_the_page_asks_for_them(reader_client: Client, data_dir: Path) -> None:
    write_run(data_dir, "r7", orders=1, trade=TRADE)

    answer = reader_client.get("/replay/compare/")

    assert b'<option value="r7">' in answer.content
