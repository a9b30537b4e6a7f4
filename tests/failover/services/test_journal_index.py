"""The index of the journal: rows that say what the files say, however they were come by."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from failover.adapters.journal import JournalWriter
from failover.adapters.journal_blocks import sealed_block
from failover.adapters.journal_reader import JournalFolder, blocks_after, set_torn_tails_aside
from failover.domain.journal import Begun, Ended, JournalRecord, Made, Missing, Stood, Taken
from failover.models import JournalFile
from failover.services.journal_index import JournalIndexed, index_journals
from failover.services.run_lock import sole_run
from failover.tasks import index_journal_files

pytestmark = pytest.mark.django_db

_DAY_NS = 86_400_000_000_000
_NOON_NS = 20_718 * _DAY_NS + _DAY_NS // 2
_DAY, _NEXT_DAY = "2026-09-22", "2026-09-23"
_S = 1_000_000_000
_BEGUN = Begun(core="strategy", run_id="r1", at_ns=_NOON_NS, format=1, payload=b"")


def _append(data: Path, day: str, first: int, *records: JournalRecord, run: str = "r1") -> Path:
    path = data / "journal" / day / f"strategy-{run}.journal"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(sealed_block(records, first))
    return path


def _index(data: Path, **options: Any) -> JournalIndexed:
    return index_journals(data, JournalFolder(data / "journal"), **options)


def _figures() -> list[dict[str, Any]]:
    hidden = {"id", "indexed_at"}
    return [
        {name: value for name, value in row.items() if name not in hidden}
        for row in JournalFile.objects.order_by("path").values()
    ]


def _two_days(data: Path) -> None:
    _append(data, _DAY, 1, _BEGUN, Stood(_NOON_NS, b"state"))
    _append(data, _DAY, 3, Taken("NEWS", _NOON_NS + _S, b""), Missing(4, "full"), Made(b""))
    at_ns = _NOON_NS + _DAY_NS
    _append(data, _NEXT_DAY, 6, Stood(at_ns, b""), Ended(at_ns))
    _append(data, _DAY, 1, _BEGUN, run="killed")


def test_a_row_says_what_its_file_says(tmp_path: Path) -> None:
    _two_days(tmp_path)

    done = _index(tmp_path)

    assert (done.added, done.errors) == (3, {})
    killed, first, second = JournalFile.objects.order_by("day", "run_id").all()[:3]
    killed, first = sorted((killed, first), key=lambda row: row.run_id == "r1")
    assert first.path == f"journal/{_DAY}/strategy-r1.journal"
    assert (first.core, first.run_id, str(first.day)) == ("strategy", "r1", _DAY)
    assert first.first_at is not None
    assert first.first_at.isoformat() == f"{_DAY}T12:00:00+00:00"
    assert first.last_at is not None
    assert first.last_at.isoformat() == f"{_DAY}T12:00:01+00:00"
    assert (first.records, first.checkpoints, first.missing_records) == (5, 1, 4)
    assert first.bytes == (tmp_path / first.path).stat().st_size == first.read_bytes
    assert (first.is_complete, second.is_complete, killed.is_complete) == (True, True, False)
    assert (second.records, second.missing_records) == (2, 0)


def test_only_what_is_new_is_read_and_the_rows_are_those_of_reading_all(tmp_path: Path) -> None:
    _append(tmp_path, _DAY, 1, _BEGUN, Stood(_NOON_NS, b"state"))
    _index(tmp_path)
    shutil.rmtree(tmp_path / "journal")
    before = JournalFile.objects.get()
    _two_days(tmp_path)
    path = tmp_path / before.path
    content = bytearray(path.read_bytes())
    content[before.read_bytes // 2] ^= 1  # what was read before is not read again
    path.write_bytes(content)

    again = _index(tmp_path)

    sizes = sum(p.stat().st_size for p in (tmp_path / "journal").glob("*/*"))
    assert (again.added, again.changed) == (2, 1)
    assert again.read_bytes == sizes - before.read_bytes
    content[before.read_bytes // 2] ^= 1
    path.write_bytes(content)
    little_by_little = _figures()
    anew = _index(tmp_path, is_anew=True)
    assert (anew.added, anew.changed, anew.unchanged, anew.read_bytes) == (0, 0, 3, sizes)
    assert _figures() == little_by_little


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path) -> None:
    _two_days(tmp_path)
    _index(tmp_path)
    stamps = list(JournalFile.objects.values_list("indexed_at", flat=True))

    done = _index(tmp_path)

    assert (done.added, done.changed, done.unchanged, done.read_bytes) == (0, 0, 3, 0)
    assert list(JournalFile.objects.values_list("indexed_at", flat=True)) == stamps


def test_damage_torn_tails_and_holes_are_counted(tmp_path: Path) -> None:
    path = _append(tmp_path, _DAY, 1, _BEGUN)
    place = path.stat().st_size
    _append(tmp_path, _DAY, 2, Made(b"x"), Made(b"y"))
    end = path.stat().st_size
    _append(tmp_path, _DAY, 4, Made(b"z"))
    _append(tmp_path, _DAY, 10, Made(b"after a hole"))
    content = bytearray(path.read_bytes())
    content[place + 30] ^= 1
    path.write_bytes(bytes(content) + content[:20])

    _index(tmp_path)
    row = JournalFile.objects.get()
    torn = (row.records, row.damaged_bytes, row.torn_bytes, row.missing_records, row.is_complete)
    set_torn_tails_aside(tmp_path / "journal", "strategy")
    _index(tmp_path)

    assert torn == (3, end - place, 20, 2 + 5, False)
    row.refresh_from_db()
    assert (row.torn_bytes, row.bytes) == (20, len(content))


def test_a_half_written_block_of_a_living_run_is_not_torn(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", "strategy", "r1")
    writer.begin(_NOON_NS, b"")
    path = tmp_path / "journal" / _DAY / "strategy-r1.journal"
    while not (path.exists() and path.stat().st_size):
        writer._stopping.wait(0.01)
    whole = path.stat().st_size
    block = sealed_block([Made(b"x")], 2)
    with path.open("ab") as file:
        file.write(block[:20])
    _index(tmp_path)
    living = JournalFile.objects.get()
    with path.open("r+b") as file:
        file.truncate(whole)
    writer.close(_NOON_NS + 1)
    _index(tmp_path)
    ended = JournalFile.objects.get()

    assert (living.is_open, living.is_complete, living.torn_bytes) == (True, False, 0)
    assert (living.records, living.read_bytes) == (1, whole)
    assert (ended.is_open, ended.is_complete, ended.records) == (False, True, 2)


def test_small_windows_find_the_same_blocks(tmp_path: Path) -> None:
    path = _append(tmp_path, _DAY, 1, _BEGUN)
    for number in range(2, 40):
        _append(tmp_path, _DAY, number, Made(bytes([number]) * number))
    content = bytearray(path.read_bytes())
    content[content.find(b"ASJ1", 400) + 30] ^= 1
    path.write_bytes(bytes(content) + b"ASJ1 torn")
    until = path.stat().st_size

    whole = list(blocks_after(path, 0, until))

    assert len(whole) == 38
    assert sum(found.skipped_bytes for found in whole) > 0
    for window in (1, 29, 64, 1000):
        assert list(blocks_after(path, 0, until, window_bytes=window)) == whole
    later = list(blocks_after(path, whole[9].end, until, window_bytes=50))
    assert [found.end for found in later] == [found.end for found in whole[10:]]


def test_a_stopped_run_is_gone_on_with(tmp_path: Path) -> None:
    _two_days(tmp_path)
    answers = iter([False, True])

    stopped = _index(tmp_path, should_stop=lambda: next(answers, True))
    partly = JournalFile.objects.get()
    done = _index(tmp_path)

    assert stopped.is_stopped
    assert partly.bytes == partly.read_bytes > 0
    assert partly.torn_bytes == 0
    assert not done.is_stopped
    together = _figures()
    JournalFile.objects.all().delete()
    _index(tmp_path)
    assert _figures() == together


def test_what_is_no_journal_and_what_cannot_be_read_keeps_nothing_back(tmp_path: Path) -> None:
    _append(tmp_path, _DAY, 1, _BEGUN)
    (tmp_path / "journal" / _DAY / "strategy-folder.journal").mkdir()
    (tmp_path / "journal" / _DAY / "strategy-odd name.journal").write_bytes(b"x")
    (tmp_path / "journal" / "2026-99-99").mkdir()
    (tmp_path / "journal" / "2026-99-99" / "strategy-r1.journal").write_bytes(b"x")

    done = _index(tmp_path)

    assert [row.run_id for row in JournalFile.objects.all()] == ["r1"]
    assert list(done.errors) == [f"journal/{_DAY}/strategy-folder.journal"]


def test_the_command_makes_the_rows_anew(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    _two_days(tmp_path)
    _index(tmp_path)
    JournalFile.objects.filter(run_id="killed").update(records=77, checkpoints=5)
    JournalFile.objects.filter(day=_NEXT_DAY).delete()
    JournalFile.objects.create(
        core="market", run_id="gone", day=_DAY, path="journal/gone", indexed_at="2026-01-01T00:00Z"
    )
    out = io.StringIO()

    call_command("index_journals", "--json", stdout=out)

    said = json.loads(out.getvalue())
    assert (said["added"], said["changed"], said["unchanged"], said["removed"]) == (1, 1, 1, 1)
    assert JournalFile.objects.get(run_id="killed").records == 1
    with (
        sole_run(tmp_path / "run" / "journal_index.lock"),
        pytest.raises(CommandError, match="another one is at it"),
    ):
        call_command("index_journals")


def test_the_worker_does_it_every_five_minutes(tmp_path: Path, settings: Any) -> None:
    from scalper_site.celery import app

    settings.DATA_DIR = tmp_path
    _two_days(tmp_path)
    entry = app.conf.beat_schedule["indexJournals"]

    result = index_journal_files.apply().get()
    with sole_run(tmp_path / "run" / "journal_index.lock"):
        refused = index_journal_files.apply().get()

    assert entry["task"] == index_journal_files.name
    assert entry["schedule"].minute == set(range(0, 60, 5))
    assert (result["added"], JournalFile.objects.count()) == (3, 3)
    assert "another one is at it" in refused["refused"]


def test_the_admin_lists_the_files_and_finds_the_damaged(tmp_path: Path, client: Client) -> None:
    _two_days(tmp_path)
    _index(tmp_path)
    client.force_login(User.objects.create_superuser("admin"))
    page = "/admin/failover/journalfile/"
    pk = JournalFile.objects.get(run_id="killed").pk

    def found(query: str) -> int:
        answer = client.get(page + query)
        assert answer.status_code == 200
        return int(answer.context["cl"].result_count)

    assert found("") == 3
    assert found("?damage=yes") == 1
    assert found("?damage=no&is_complete__exact=0") == 1
    assert found("?core__exact=strategy&q=killed") == 1
    assert client.get(f"{page}{pk}/change/").status_code == 200
    assert client.post(f"{page}{pk}/change/", {"core": "x"}).status_code == 403
    assert client.post(f"{page}{pk}/delete/").status_code == 403
