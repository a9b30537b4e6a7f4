"""A document that is accepted must run: a service that dies of one dies again at each restart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from execution.domain.core import ExecutionCore
from execution.domain.profile import execution_settings_of
from execution.domain.simulated_exchange import SimulatedExchange
from failover.domain.config import SECTIONS, ConfigDocument, load_document
from failover.domain.config_schema import FieldSchema, section_fields
from market.domain.events import ASK, BID, ChunkBuilder, EventKind
from market.domain.kernel import MarketKernel
from strategy.domain.core import StrategyCore
from strategy.domain.profile import decision_config_of
from tests.strategy.builders import START_NS, STRONG_LONG, Feed, S, a_snapshot, an_instrument


def fields() -> list[FieldSchema]:
    every = [field for section in section_fields().values() for field in section]
    return [field for field in every if field.kind in ("INTEGER", "NUMBER")]


def unbounded(described: inspect.Type, path: str) -> Iterator[str]:
    """Numbers, lists and objects inside `described` that have no end."""
    if isinstance(described, inspect.Metadata):
        yield from unbounded(described.type, path)
    elif isinstance(described, inspect.StructType):
        for field in described.fields:
            yield from unbounded(field.type, f"{path}.{field.encode_name}")
    elif isinstance(described, inspect.IntType | inspect.FloatType):
        if described.le is None and described.lt is None:
            yield f"{path} has no maximum"
        if described.ge is None and described.gt is None:
            yield f"{path} has no minimum"
    elif isinstance(described, inspect.VarTupleType):
        if described.max_length is None:
            yield f"{path} has no greatest length"
        yield from unbounded(described.item_type, f"{path}[]")
    elif isinstance(described, inspect.DictType):
        if described.max_length is None:
            yield f"{path} has no greatest length"
        yield from unbounded(described.value_type, f"{path}{{}}")


def test_every_number_of_the_schema_has_a_minimum_and_a_maximum() -> None:
    found = [
        fault
        for name, struct_type in SECTIONS.types().items()
        for fault in unbounded(inspect.type_info(struct_type), name)
    ]

    assert found == []


def extremes(field: FieldSchema) -> tuple[float, float]:
    low, high = field.minimum, field.maximum
    if low is None:
        assert field.above is not None
        low = math.nextafter(field.above, math.inf)
    if high is None:
        assert field.below is not None
        high = math.nextafter(field.below, -math.inf)
    as_kind = int if field.kind == "INTEGER" else float
    return as_kind(low), as_kind(high)


def put(document: dict[str, Any], path: str, value: float) -> dict[str, Any]:
    """`document` with `value` at `path`, on its own branches."""
    name, _, rest = path.partition(".")
    return {**document, name: put(document.get(name, {}), rest, value) if rest else value}


def loaded(document: dict[str, Any]) -> ConfigDocument | None:
    return load_document(msgspec.json.encode(document))[0]


def a_market(kernel: MarketKernel, exchange: SimulatedExchange) -> None:
    builder = ChunkBuilder()
    levels = [
        (side, 10_000 + way * (1 + i), 5) for side, way in ((BID, -1), (ASK, 1)) for i in range(3)
    ]
    for second in range(3):
        now_ns = START_NS + second * S
        kind = EventKind.BOOK_DELTA if second else EventKind.BOOK_SNAPSHOT
        builder.add(
            kind, symbol=0, seq=second + 1, core_ts_ns=now_ns, exchange_ts_ns=now_ns, levels=levels
        )  # fmt: skip
    chunk = builder.take()
    kernel.process(chunk)
    exchange.process(chunk)


def run_once(document: ConfigDocument) -> None:
    """Build every core of every service on it, and let each take a step."""
    instruments = [an_instrument()]
    a_market(
        MarketKernel(instruments, document["market"]),
        SimulatedExchange(instruments, document["execution"]),
    )
    strategy, feed = StrategyCore(instruments, decision_config_of(document), "r"), Feed()
    for _ in range(2):
        strategy.on_frames(feed.frames(15, **STRONG_LONG))
        strategy.on_execution(a_snapshot(feed.now_ns), feed.now_ns)
    known = execution_settings_of(document)
    ExecutionCore(
        instruments, known.config, "SIM", "r", known.limits, known.symbols, known.version,
        symbol_limits=known.symbol_limits,
    ).on_timer(START_NS)  # fmt: skip


def why_not(document: ConfigDocument) -> str:
    try:
        run_once(document)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return repr(error)
    return ""


def test_each_field_can_be_taken_to_either_end_of_its_range() -> None:
    """A warm-up of a second and a high edge let frames reach the sizing and the plan."""
    base = {"market": {"warmupS": 1}, "strategy": {"edgeCoef": 5.0, "scaleHalfLifeS": 1.0}}
    died = []
    for field in fields():
        for value in extremes(field):
            document = loaded(put(base, field.path, value))
            if document is not None and (reason := why_not(document)):
                died.append(f"{field.path} = {value}: {reason}")

    assert died == []


@pytest.mark.parametrize("end", [0, 1])
def test_all_fields_can_be_taken_there_at_once_as_far_as_they_agree(end: int) -> None:
    document: dict[str, Any] = {}
    for field in fields():
        further = put(document, field.path, extremes(field)[end])
        document = document if loaded(further) is None else further

    whole = loaded(document)

    assert whole is not None
    assert why_not(whole) == ""
