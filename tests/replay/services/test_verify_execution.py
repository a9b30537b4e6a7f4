"""Execution proved from its journal: what was done is done again, and what was tampered with is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution.domain.profile import ExecutionSettings
from execution.domain.remote_venue import RemoteVenue
from execution.domain.sim_memory import StoredVenue
from execution.domain.sim_reports import Deliveries
from execution.domain.simulated_exchange import SimulatedExchange
from execution.domain.tape import (
    MarketRead,
    RequestRead,
    SettingsTaken,
    StepMade,
    TapeInput,
    TimerTicked,
    VenueSpoke,
    pack_inputs,
    pack_outputs,
    unpack_inputs,
    unpack_outputs,
)
from execution.services.account_memory import RunStart
from failover.adapters.journal import JournalWriter
from failover.adapters.journal_reader import JournalReader, journal_runs
from failover.domain.journal import Begun, JournalRecord, Made, Missing, Numbered, Stood, Taken
from market.domain.events import EventChunk
from replay.domain.verify_execution import each_input, input_of
from replay.domain.verify_report import CoreReport, Divergence
from replay.services import verify_execution
from replay.services.verify_execution import ExecutionProofs
from strategy.domain.messages import OrderRequest
from tests.execution.taped_life import MS, Bus, Life, ListJournal, Recorded


def proved(bus: Bus, *journals: Sequence[Numbered], start: int = 1) -> CoreReport:
    proofs = ExecutionProofs(Recorded(bus))
    for journal in journals:
        proofs.prove(journal, start=start)
    return proofs.report


def lived(
    folder: Path, seed: int, steps: int = 150, *, states_every: int = 40
) -> tuple[Bus, ListJournal]:
    bus, journal = Bus(seed), ListJournal(states_every)
    life = Life(folder, bus, journal)
    life.live(steps)
    life.tape.end()
    life.end()
    return bus, journal


@pytest.mark.parametrize("seed", [1, 9, 14])
def test_what_two_lives_of_an_account_did_is_done_again_byte_for_byte(
    tmp_path: Path, seed: int
) -> None:
    """Trades, refusals, faults of the disk, other configs, a kill between, and the market caught up with."""
    bus, first, second = Bus(seed), ListJournal(25), ListJournal(25)
    life = Life(tmp_path, bus, first)
    life.live(100)
    life.checkpoint()
    life.live(100)
    life.tape.end()
    life.end()
    life = Life(tmp_path, bus, second, "e2")
    life.live(100)
    life.tape.end()
    life.end()

    report = proved(bus, first.numbered, second.numbered)

    assert (report.divergences, report.unproved, report.refused) == (0, 0, [])
    assert report.compared == report.outputs > 250
    assert report.inputs > 700
    assert report.states >= 3


def test_how_inputs_are_gathered_does_not_matter(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 6)
    inputs = [item for record in journal.records if isinstance(record, Taken)
              for item in unpack_inputs(record.payload)[1]]  # fmt: skip
    alone = [part for numbered in journal.numbered for part in taken_apart(numbered)]

    report, again = proved(bus, journal.numbered), proved(bus, renumbered(alone))

    assert len(alone) > len(journal.records)
    assert (report.inputs, report.compared) == (len(inputs), again.compared)
    assert (again.inputs, again.divergences, report.divergences) == (len(inputs), 0, 0)


def taken_apart(numbered: Numbered) -> list[JournalRecord]:
    if not isinstance(numbered.record, Taken):
        return [numbered.record]
    first, items = unpack_inputs(numbered.record.payload)
    return [
        Taken("INPUTS", item.now_ns, pack_inputs(first + place, [item]))
        for place, item in enumerate(items)
    ]


def renumbered(records: Sequence[JournalRecord]) -> list[Numbered]:
    return [Numbered(number, record) for number, record in enumerate(records, start=1)]


def test_a_proof_may_begin_at_any_recorded_state(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 9, 200, states_every=4)
    states = [n.number for n in journal.numbered if isinstance(n.record, Stood)]
    assert len(states) > 5

    for start in states[1::4]:
        report = proved(bus, journal.numbered, start=start)
        assert (report.divergences, report.refused) == (0, [])
        assert report.compared > 0


def test_checkpoints_between_inputs_leave_no_trace(tmp_path: Path) -> None:
    """They come once a second, are no input, and go by the same clock."""
    bus, journal = Bus(2), ListJournal(3)
    life = Life(tmp_path, bus, journal, gather_ns=0)
    life.live(150, checkpoint_every=1)
    life.tape.end()
    life.end()

    report = proved(bus, journal.numbered)

    assert (report.divergences, report.refused) == (0, [])
    assert report.states > 50


def test_nothing_is_claimed_from_a_hole_in_the_journal_to_the_next_state(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 9, 200, states_every=5)
    states = [n for n, record in enumerate(journal.records) if isinstance(record, Stood)]
    hole, back = states[1] + 3, states[2]
    records: list[JournalRecord] = list(journal.records)
    records[hole] = Missing(1, "the journal's queue was full")

    whole, report = proved(bus, journal.numbered), proved(bus, renumbered(records))

    (refusal,) = report.refused
    assert (report.divergences, whole.divergences) == (0, 0)
    assert refusal.from_ns is not None
    assert refusal.from_ns < journal.records[back].at_ns == refusal.to_ns  # type: ignore[union-attr]
    assert 0 < report.compared < whole.compared


def test_a_flipped_bit_of_the_market_is_found_where_it_was_read(tmp_path: Path) -> None:
    """Also where no order was concerned, and nothing was decided otherwise for it."""
    bus, journal = lived(tmp_path, 2)
    chunk = Recorded(bus).chunk
    row = len(chunk) // 2
    chunk.lot[int(chunk.level_offset[row])] ^= 1

    first = the_first(proved_on(chunk, bus, journal))

    assert first.what == "INPUT"
    (read,) = [
        each["payload"]
        for each in first.inputs_around
        if each["kind"] == "MarketRead" and holds(each["payload"], int(chunk.seq[row]))
    ]
    assert first.place == f"input {read['input']}: seal is another"


def holds(read: dict[str, Any], seq: int) -> bool:
    return bool(read["number"] <= seq < read["number"] + read["count"])


def proved_on(chunk: EventChunk, bus: Bus, journal: ListJournal) -> CoreReport:
    source = Recorded(bus)
    source.chunk = chunk
    proofs = ExecutionProofs(source)
    proofs.prove(journal.numbered)
    return proofs.report


def the_first(report: CoreReport) -> Divergence:
    assert report.divergences >= 1
    assert report.first is not None
    return report.first


Change = Callable[[list[TapeInput]], list[TapeInput]]


def tampered(journal: ListJournal, place: int, change: Change) -> list[Numbered]:
    """The journal with `change` made to the inputs of record `place`."""
    records = list(journal.records)
    record = records[place]
    assert isinstance(record, Taken)
    first, items = unpack_inputs(record.payload)
    records[place] = Taken(record.kind, record.at_ns, pack_inputs(first, change(items)))
    return renumbered(records)


def place_of(journal: ListJournal, kind: type[Any], *, after: int = 0) -> int:
    """A record whose last input is of a kind."""
    return next(
        place
        for place, record in enumerate(journal.records)
        if place > after
        and isinstance(record, Taken)
        and isinstance(unpack_inputs(record.payload)[1][-1], kind)
    )


def test_two_inputs_that_changed_places_are_found(tmp_path: Path) -> None:
    """Whether or not it would have made a difference."""
    bus, journal = lived(tmp_path, 2)
    place = next(
        place
        for place, record in enumerate(journal.records)
        if isinstance(record, Taken) and len(unpack_inputs(record.payload)[1]) > 12 and place > 10
    )
    first, items = unpack_inputs(journal.records[place].payload)  # type: ignore[union-attr]
    pairs = [n for n in range(1, len(items) - 1) if type(items[n]) is not type(items[n + 1])]

    for pair in pairs[:6]:
        swapped = tampered(
            journal, place, lambda old, n=pair: [*old[:n], old[n + 1], old[n], *old[n + 2 :]]
        )
        found = the_first(proved(bus, swapped))
        assert found.what == "INPUT"
        assert found.number == place + 1
        assert found.place.startswith(f"input {first + pair + 1}: ")


def test_another_config_than_was_taken_is_found(tmp_path: Path) -> None:
    """At the latest in the state recorded next, whatever was decided under it."""
    bus, journal = lived(tmp_path, 12, 200, states_every=5)
    place = place_of(journal, SettingsTaken)

    def change(items: list[TapeInput]) -> list[TapeInput]:
        last = items[-1]
        assert isinstance(last, SettingsTaken)
        settings = msgspec.msgpack.decode(last.payload, type=ExecutionSettings)
        config = msgspec.structs.replace(settings.config, order_timeout_ms=999)
        payload = msgspec.msgpack.encode(msgspec.structs.replace(settings, config=config))
        return [*items[:-1], msgspec.structs.replace(last, payload=payload)]

    found = the_first(proved(bus, tampered(journal, place, change)))

    state = next(
        n for n in range(place, len(journal.records)) if isinstance(journal.records[n], Stood)
    )
    assert place + 1 <= found.number <= state + 1
    assert found.what in ("OUTPUT", "STATE")


def test_a_request_that_was_another_shows_both_sides(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 2)
    place = place_of(journal, RequestRead)

    def change(items: list[TapeInput]) -> list[TapeInput]:
        last = items[-1]
        assert isinstance(last, RequestRead)
        request = msgspec.msgpack.decode(last.payload, type=OrderRequest)
        other = msgspec.structs.replace(request, request_id=f"{request.request_id}x")
        return [*items[:-1], msgspec.structs.replace(last, payload=msgspec.msgpack.encode(other))]

    found = the_first(proved(bus, tampered(journal, place, change)))

    assert found.what == "OUTPUT"
    assert found.number == place + 2  # the record of what it gave
    assert found.recorded is not None
    assert found.recorded != found.replayed
    asked = [
        each["payload"]["payload"] for each in found.inputs_around if each["kind"] == "RequestRead"
    ]
    assert asked[-1]["requestId"].endswith("x")


def test_an_output_that_was_another_is_found_where_it_was_given(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 2)
    records = list(journal.records)
    place = next(n for n, r in enumerate(records) if isinstance(r, Made) and has_step(r))
    outputs = unpack_outputs(records[place].payload)  # type: ignore[union-attr]
    step = next(n for n, output in enumerate(outputs) if isinstance(output, StepMade))
    outputs[step] = msgspec.structs.replace(outputs[step], state_seal=1)
    records[place] = Made(pack_outputs(outputs))

    found = the_first(proved(bus, renumbered(records)))

    assert (found.what, found.number) == ("OUTPUT", place + 1)
    assert found.recorded["stateSeal"] == 1 != found.replayed["stateSeal"]


def has_step(made: Made) -> bool:
    return any(isinstance(output, StepMade) for output in unpack_outputs(made.payload))


def test_what_a_killed_run_had_not_journalled_is_counted(tmp_path: Path) -> None:
    """The next run says how far the account had come: the difference is stated, never passed over."""
    bus, first, second = Bus(2), ListJournal(40), ListJournal(40)
    life = Life(tmp_path, bus, first)
    life.live(150)
    life.tape.end()
    life.end()
    last = max(n for n, r in enumerate(first.records) if isinstance(r, Made) and has_step(r))
    kept = first.numbered[: last - 1]  # the end of the journal never reached the disk
    fed = [item for n in each_input(kept) if isinstance(n.record, Taken)
           for item in [input_of(n.record).item] if isinstance(item, MarketRead)]  # fmt: skip
    Life(tmp_path, bus, second, "e2").end()
    start = msgspec.msgpack.decode(second.records[0].payload, type=RunStart)  # type: ignore[union-attr]
    steps = [output for n in kept if isinstance(n.record, Made)
             for output in unpack_outputs(n.record.payload) if isinstance(output, StepMade)]  # fmt: skip
    newest = start.recovered.newest
    assert newest is not None
    read = newest.positions["t:market.raw"].next_number - fed[-1].number - fed[-1].count

    report = proved(bus, kept, second.numbered)

    assert newest.number > steps[-1].number
    assert report.unproved == newest.number - steps[-1].number + read > 0
    assert report.divergences == 0


def test_a_run_that_had_come_much_further_than_its_journal_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill takes a last moment; more of it is a journal that is gone."""
    monkeypatch.setattr(verify_execution, "LONGEST_AWAY_NS", 5_000 * MS)
    bus, first, second = Bus(2), ListJournal(40), ListJournal(40)
    life = Life(tmp_path, bus, first)
    life.live(600)
    life.tape.end()
    life.end()
    Life(tmp_path, bus, second, "e2").end()
    end = next(place for place, n in enumerate(first.numbered) if isinstance(n.record, Taken)
               and n.record.at_ns > bus.now_ns - 7_000 * MS)  # fmt: skip
    some = first.numbered[:end]
    assert 10 < len(some) < len(first.numbered)

    whole = proved(bus, first.numbered, second.numbered)
    report = proved(bus, some, second.numbered)

    assert whole.refused == []
    assert [(refusal.run_id, report.divergences) for refusal in report.refused] == [("e2", 0)]


def test_a_run_that_begins_with_another_state_than_was_left_is_found(tmp_path: Path) -> None:
    bus, journal = lived(tmp_path, 2)
    second = ListJournal()
    Life(tmp_path, bus, second, "e2").end()
    begun = second.records[0]
    assert isinstance(begun, Begun)
    start = msgspec.msgpack.decode(begun.payload, type=RunStart)
    newest = start.recovered.newest
    assert newest is not None
    venue = msgspec.msgpack.decode(newest.venue, type=StoredVenue)
    venue.memory.numbers += 1  # not what was left
    newest.venue = msgspec.msgpack.encode(venue)
    second.records[0] = msgspec.structs.replace(begun, payload=msgspec.msgpack.encode(start))

    assert proved(bus, journal.numbered).divergences == 0
    found = the_first(proved(bus, journal.numbered, second.numbered))

    assert (found.what, found.run_id) == ("STATE", "e2")


def test_the_journal_on_disk_proves_the_same_also_with_its_end_torn_off(tmp_path: Path) -> None:
    bus = Bus(6)
    journal = JournalWriter(tmp_path / "journal", "execution", "e1")
    life = Life(tmp_path, bus, journal)
    life.live(150)
    life.tape.end()
    life.end()
    assert journal.close(bus.now_ns)
    (run,) = journal_runs(tmp_path / "journal", "execution")

    whole = proved(bus, list(JournalReader(run).records()))
    (path,) = run.paths
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    torn = JournalReader(run)
    report = proved(bus, list(torn.records()))

    assert (whole.divergences, whole.refused, whole.unproved) == (0, [], 0)
    assert whole.inputs > 300
    assert torn.torn
    assert report.divergences == 0
    assert report.inputs < whole.inputs


def test_an_account_on_a_real_venue_is_proved_from_the_words_it_heard(tmp_path: Path) -> None:
    """The venue is outside: its updates are inputs, and no command leaves a second time."""
    bus, journal = Bus(4), ListJournal(30)
    life = Life(tmp_path, bus, journal, is_simulated=False)
    venue = SimulatedExchange(list(life.start.facts.instruments), life.account.settings.config)
    life.account.venue = life.account.desk.venue = RemoteVenue(venue.submit)
    deliveries, heard = Deliveries(), 0
    for step in range(250):
        bus.now_ns += 10 * MS
        entry = bus.market()
        deliveries.push(venue.process(bus.chunks[-1]))
        life.read(entry)
        while (update := deliveries.pop_due(bus.now_ns)) is not None:
            life.account.on_venue(update, bus.next_ns())
            heard += 1
        life.pass_time()
        if step % 10 == 0:
            life.read(bus.frames())
        if step % 23 == 5:
            life.read(bus.request())
    life.tape.end()
    life.end()
    inputs = [
        input_of(n.record).item for n in each_input(journal.numbered) if isinstance(n.record, Taken)
    ]

    report = proved(bus, journal.numbered)

    assert heard == sum(isinstance(item, VenueSpoke) for item in inputs) > 20
    assert any(isinstance(item, TimerTicked) for item in inputs)
    assert (report.divergences, report.refused) == (0, [])
    assert report.compared == report.outputs > 60
    assert report.states >= 2


def test_a_word_of_a_real_venue_that_was_another_is_found(tmp_path: Path) -> None:
    bus, journal = Bus(4), ListJournal(30)
    life = Life(tmp_path, bus, journal, is_simulated=False)
    venue = SimulatedExchange(list(life.start.facts.instruments), life.account.settings.config)
    life.account.venue = life.account.desk.venue = RemoteVenue(venue.submit)
    life.read(bus.market())
    venue.process(bus.chunks[-1])
    life.read(bus.frames())
    while not life.account.core.orders:
        life.read(bus.request())
        bus.now_ns += MS
    updates = venue.advance(bus.now_ns + 500 * MS)
    assert updates
    for update in updates:
        bus.now_ns += MS
        life.account.on_venue(update, bus.now_ns)
    life.tape.end()
    life.end()
    place = place_of(journal, VenueSpoke)

    def change(items: list[TapeInput]) -> list[TapeInput]:
        last = items[-1]
        assert isinstance(last, VenueSpoke)
        word = msgspec.msgpack.decode(last.payload)
        word["client_order_id"] = "nobody's"
        return [*items[:-1], msgspec.structs.replace(last, payload=msgspec.msgpack.encode(word))]

    found = the_first(proved(bus, tampered(journal, place, change)))

    assert found.what in ("OUTPUT", "INPUT")
    assert found.number in (place + 1, place + 2)
