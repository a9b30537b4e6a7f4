"""Versions of the trading config: immutable, activated one after the other, never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async

from failover.adapters.config_bus import CONFIG_CODEC, CONFIG_STREAM
from failover.domain.config import BadConfigDocument
from failover.domain.config_versions import text_digest
from failover.models import AuditEntry, AuditSource, ConfigActivation, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor

pytestmark = pytest.mark.django_db

ANNA = Actor(name="anna", source=AuditSource.DASHBOARD, ip="10.0.0.1")


@pytest.fixture(autouse=True)
def _no_bus(settings: Any, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"


def text(**sections: Any) -> bytes:
    return msgspec.json.encode(sections)


def test_a_version_keeps_author_note_parent_and_its_text_in_one_spelling() -> None:
    first = store.save_version(text(risk={"maxPositions": 2}), actor=ANNA, note="careful")
    store.activate(first.pk, actor=ANNA)
    second = store.save_version(b'{ "risk": {"maxPositions":2,\n "leverage": 3}}', actor=ANNA)

    assert (first.author, first.note, first.parent) == ("anna", "careful", None)
    assert second.parent == first
    assert second.document == '{"risk":{"leverage":3,"maxPositions":2}}'


def test_all_that_is_wrong_is_refused_together_and_nothing_is_written() -> None:
    with pytest.raises(BadConfigDocument) as refused:
        store.save_version(
            text(risk={"leverage": 0, "x": 1}, strategy={"entryScore": "a"}), actor=ANNA
        )

    assert [error.path for error in refused.value.errors] == [
        "risk.leverage", "risk.x", "strategy.entryScore",
    ]  # fmt: skip
    assert not ConfigVersion.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_version_is_never_changed_nor_deleted() -> None:
    version = store.save_version(b"{}", actor=ANNA)

    version.note = "other"
    with pytest.raises(TypeError, match="never changed"):
        version.save()
    with pytest.raises(TypeError, match="never deleted"):
        version.delete()


def test_the_newest_activation_tells_what_is_active() -> None:
    assert store.read_active() is None
    first = store.save_version(text(risk={"maxPositions": 1}), actor=ANNA)
    second = store.save_version(text(risk={"maxPositions": 2}), actor=ANNA)
    store.activate(first.pk, actor=ANNA)
    store.activate(second.pk, actor=ANNA)

    active = store.read_active()

    assert active is not None
    assert (active.number, active.sequence, active.is_invalid) == (second.pk, 2, False)
    assert active.document["risk"].max_positions == 2
    assert active.document.version == second.content


def test_rolling_back_activates_what_was_active_before() -> None:
    first = store.save_version(b"{}", actor=ANNA)
    second = store.save_version(text(risk={"maxPositions": 2}), actor=ANNA)
    store.activate(first.pk, actor=ANNA)
    with pytest.raises(store.NotActivated, match="no other version"):
        store.roll_back(actor=ANNA)
    store.activate(second.pk, actor=ANNA)

    store.roll_back(actor=ANNA, reason="worse")

    assert store.active_version() == first
    assert ConfigActivation.objects.count() == 3


def test_what_cannot_be_activated_changes_nothing() -> None:
    version = store.save_version(b"{}", actor=ANNA)
    store.activate(version.pk, actor=ANNA)

    with pytest.raises(store.NotActivated, match="already"):
        store.activate(version.pk, actor=ANNA)
    with pytest.raises(store.NoSuchVersion, match="version 999"):
        store.activate(999, actor=ANNA)

    assert ConfigActivation.objects.count() == 1


def test_every_change_leaves_an_audit_row_with_who_what_and_why() -> None:
    first = store.save_version(b"{}", actor=ANNA)
    store.activate(first.pk, actor=ANNA)
    second = store.save_version(text(risk={"maxPositions": 2}), actor=ANNA, note="fewer")
    store.activate(second.pk, actor=ANNA, reason="night")
    store.roll_back(actor=ANNA, reason="day")

    rows = [*AuditEntry.objects.order_by("id")]

    assert [row.action for row in rows] == [
        "CONFIG_SAVE", "CONFIG_ACTIVATE", "CONFIG_SAVE", "CONFIG_ACTIVATE", "CONFIG_ROLLBACK",
    ]  # fmt: skip
    assert rows[2].after == [{"path": "risk.maxPositions", "before": 3, "after": 2}]
    assert (rows[3].before, rows[3].after, rows[3].reason) == (
        f"v{first.pk}",
        f"v{second.pk}",
        "night",
    )
    assert {(row.actor, row.source, row.ip) for row in rows} == {("anna", "DASHBOARD", "10.0.0.1")}


def test_a_document_changed_in_the_database_is_invalid_and_defaults_hold() -> None:
    version = store.save_version(text(risk={"maxPositions": 2}), actor=ANNA)
    store.activate(version.pk, actor=ANNA)
    ConfigVersion.objects.filter(pk=version.pk).update(document='{"risk":{"maxPositions":0}}')

    active = store.read_active()

    assert active is not None
    assert active.is_invalid
    assert [error.path for error in active.errors] == ["", "risk.maxPositions"]
    assert active.document["risk"].max_positions == 3
    assert active.problem.startswith("CONFIG_INVALID: version")
    with pytest.raises(BadConfigDocument, match="changed after it was saved"):
        store.activate(version.pk, actor=ANNA)


def test_a_document_of_an_older_build_is_invalid() -> None:
    """Its text is as it was saved, but this build knows a field of it no more."""
    version = store.save_version(b"{}", actor=ANNA)
    store.activate(version.pk, actor=ANNA)
    old = '{"risk":{"aFieldOfOld":1}}'
    ConfigVersion.objects.filter(pk=version.pk).update(document=old, digest=text_digest(old))

    active = store.read_active()

    assert active is not None
    assert [str(error) for error in active.errors] == ["risk.aFieldOfOld: unknown field"]


def test_a_proposal_waits_with_its_evidence_until_it_is_decided() -> None:
    base = store.save_version(b"{}", actor=ANNA)
    store.activate(base.pk, actor=ANNA)
    evidence = {"ic": 0.03, "trials": 4}

    one = store.propose({"strategy": {"edgeCoef": 0.2}}, "calibrate_edge", evidence, note="BTC")
    other = store.propose({"strategy": {"edgeCoef": 0.3}}, "calibrate_edge", evidence)
    store.decline(other.pk, actor=ANNA, reason="too few trades")
    store.activate(one.pk, actor=ANNA)
    one.refresh_from_db()
    other.refresh_from_db()

    assert (one.status, one.evidence, one.author) == ("ACCEPTED", evidence, "calibrate_edge")
    assert other.status == "DECLINED"
    with pytest.raises(store.NotActivated, match="declined"):
        store.activate(other.pk, actor=ANNA)
    with pytest.raises(store.NotActivated, match="no decision"):
        store.decline(one.pk, actor=ANNA)


def test_a_proposal_is_activated_at_once_where_that_is_configured(settings: Any) -> None:
    settings.ENVIRONMENT = msgspec.structs.replace(settings.ENVIRONMENT, activate_proposals=True)

    version = store.propose({"strategy": {"edgeCoef": 0.2}}, "profileUpdater", {"days": 3})

    assert version.status == "ACCEPTED"
    assert store.active_version() == version


def test_a_proposal_that_is_no_sound_document_is_refused() -> None:
    with pytest.raises(BadConfigDocument, match=r"strategy\.edgeCoef"):
        store.propose({"strategy": {"edgeCoef": -1}}, "calibrate_edge", {})


def test_the_first_start_makes_the_configured_document_version_one(settings: Any) -> None:
    stored = store.ensure_first_version("demo", settings.TRADING_PROFILES_DIR)
    again = store.ensure_first_version("default", settings.TRADING_PROFILES_DIR)

    active = store.read_active()

    assert stored == again
    assert active is not None
    assert active.document["market"].warmup_s == 30
    assert "TRADING_CONFIG=demo" in ConfigVersion.objects.get().note


def test_of_services_that_start_together_one_writes_the_first_version(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one has seen an empty database, and finds the other's version when it writes its own."""
    first = store.ensure_first_version("demo", settings.TRADING_PROFILES_DIR)
    looks = iter([None, first])
    monkeypatch.setattr(store, "read_stored", lambda: next(looks))

    second = store.ensure_first_version("default", settings.TRADING_PROFILES_DIR)

    assert second == first
    assert ConfigActivation.objects.count() == ConfigVersion.objects.count() == 1


@pytest.mark.django_db(transaction=True)
async def test_an_activation_is_told_on_the_bus(
    redis_client: Any, settings: Any, valkey: str
) -> None:
    settings.REDIS_URL = valkey
    version = await sync_to_async(store.save_version)(b"{}", actor=ANNA)
    await sync_to_async(store.activate)(version.pk, actor=ANNA)

    entries = await redis_client.xrange(settings.BUS_PREFIX + CONFIG_STREAM)
    told = CONFIG_CODEC.decode(entries[-1][1][b"d"])

    assert (told.number, told.sequence, told.document) == (version.pk, 1, "{}")
