"""The meter follows an order by wall time; the watch gathers all services and says what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execution.domain.quality_config import LatencyConfig
from execution.services.latency import LatencyWatch, OrderMeter
from failover.domain.heartbeat import Heartbeat

MS = 1_000_000


class Wall:
    def __init__(self) -> None:
        self.now_ns = 1_760_000_000_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def pass_ms(self, ms: float) -> None:
        self.now_ns += int(ms * MS)


def an_order(state: str, leg: str = "ENTRY") -> dict[str, Any]:
    return {"record": "ORDER", "clientOrderId": "o-1", "state": state, "leg": leg}


def maxima(meter: OrderMeter, wall: Wall) -> dict[str, float | int | None]:
    return {stage: spans["minute"]["maxMs"] for stage, spans in meter.table.summary(wall()).items()}


def test_each_stage_of_an_order_is_measured_once() -> None:
    wall = Wall()
    meter = OrderMeter(wall)

    meter.request_written(wall() // MS)
    wall.pass_ms(2)
    meter.journalled()
    wall.pass_ms(1)
    meter.request_done()
    meter.row(an_order("SENT"))
    wall.pass_ms(40)
    meter.row(an_order("ACKNOWLEDGED"))
    meter.row(an_order("OPEN"))
    wall.pass_ms(700)
    meter.row({"record": "FILL", "clientOrderId": "o-1"})
    wall.pass_ms(90)
    meter.row({"record": "FILL", "clientOrderId": "o-1"})

    assert maxima(meter, wall) == {
        "decisionToJournalled": 2.0, "journalledToSent": 1.0, "sentToAck": 40.0, "ackToFill": 700.0,
    }  # fmt: skip


def test_a_step_without_a_request_is_no_decision() -> None:
    """Fills and timers journal too; nobody waited for them."""
    wall = Wall()
    meter = OrderMeter(wall)

    meter.journalled()
    meter.request_done()

    assert set(maxima(meter, wall).values()) == {None}


def test_a_take_profit_waits_for_its_price_not_for_the_venue() -> None:
    wall = Wall()
    meter = OrderMeter(wall)

    meter.row(an_order("SENT", "TP1"))
    meter.row(an_order("OPEN", "TP1"))
    wall.pass_ms(60_000)
    meter.row({"record": "FILL", "clientOrderId": "o-1"})

    assert maxima(meter, wall)["ackToFill"] is None


async def test_the_watch_hears_the_other_services_and_survives_a_lost_bus() -> None:
    said: list[str] = []
    slow = {"latency": {"frameToDecision": {"window": {"n": 9, "p90Ms": 900.0}}}}
    beats: list[Mapping[str, Heartbeat] | Exception] = [
        *[{"strategy": a_beat(slow)}] * 3, ConnectionError("bus away"), {"strategy": a_beat({})},
    ]  # fmt: skip

    async def read() -> Mapping[str, Heartbeat]:
        found = beats.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    watch = LatencyWatch(
        OrderMeter(),
        read,
        lambda: LatencyConfig(latency_max_ms=500, latency_windows=2),
        lambda text, _: said.append(text),
    )
    for _ in range(5):
        await watch.look()

    assert [bool(text) for text in said] == [False, True, True, True, False]
    assert said[1].startswith("frameToDecision took 900 ms")


def a_beat(details: dict[str, Any]) -> Heartbeat:
    return Heartbeat(
        service="strategy", boot_id="b", pid=1, phase="RUNNING", lag_ms=0.0, message="",
        details=details, ts="",
    )  # fmt: skip
