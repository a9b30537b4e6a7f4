"""Versions of the trading config by REST: who may, what is told, what is refused and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client

from failover.models import AuditEntry, ConfigVersion
from failover.services import config_store as store

pytestmark = pytest.mark.django_db

VERSIONS = "/api/config/versions"


@pytest.fixture(autouse=True)
def _alone(settings: Any, tmp_path: Path) -> None:
    cache.clear()
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"


def client_of(name: str, *, may_edit: bool) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    if may_edit:
        user.user_permissions.add(Permission.objects.get(codename="edit_config"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def editor() -> Client:
    return client_of("editor", may_edit=True)


@pytest.fixture
def reader() -> Client:
    return client_of("reader", may_edit=False)


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def test_strangers_get_nothing_and_readers_cannot_write(reader: Client) -> None:
    assert Client().get(VERSIONS).status_code in (401, 403)
    assert reader.get(VERSIONS).status_code == 200
    answer = post(reader, VERSIONS, document={})
    assert answer.status_code == 403
    assert "failover.edit_config" in answer.json()["error"]["message"]
    assert not ConfigVersion.objects.exists()


def test_a_version_is_written_activated_compared_and_rolled_back(editor: Client) -> None:
    first = post(editor, VERSIONS, document={}, note="base", activate=True).json()["number"]
    made = post(
        editor, VERSIONS, document={"risk": {"maxPositions": 2}, "market": {"bookDepth": 200}}
    )
    second = made.json()["number"]

    diff = editor.get(f"{VERSIONS}/{second}/diff").json()
    activated = post(editor, f"{VERSIONS}/{second}/activate", reason="fewer positions").json()
    active = editor.get("/api/config/active").json()
    back = post(editor, "/api/config/rollback", reason="too few").json()
    listed = editor.get(VERSIONS).json()

    assert made.status_code == 201
    assert (diff["base"], [each["path"] for each in diff["differences"]]) == (
        first, ["market.bookDepth", "risk.maxPositions"],
    )  # fmt: skip
    assert activated["needsRestart"] == ["market.bookDepth"]
    assert (active["number"], active["resolved"]["risk"]["maxPositions"]) == (second, 2)
    assert back["number"] == first
    assert [(row["number"], row["isActive"]) for row in listed["versions"]] == [
        (second, False), (first, True),
    ]  # fmt: skip
    assert AuditEntry.objects.filter(actor="editor", source="DASHBOARD").count() == 5


def test_an_override_is_shown_as_written_and_as_it_resolves(editor: Client) -> None:
    document = {
        "strategy": {"entryScore": 75},
        "symbols": {"XRPUSDT": {"strategy": {"armFrames": 5}}},
    }

    made = post(editor, VERSIONS, document=document).json()

    own = made["resolved"]["symbols"]["XRPUSDT"]["strategy"]
    assert made["document"] == document
    assert (own["entryScore"], own["armFrames"]) == (75, 5)
    assert made["resolved"]["strategy"]["armFrames"] == 3


def test_every_error_of_a_document_comes_with_its_path(editor: Client) -> None:
    document = {"risk": {"leverage": 0, "makerFeeBps": 1}, "x": {}, "symbols": {"a b": {}}}

    refused = post(editor, VERSIONS, document=document)
    judged = post(editor, "/api/config/validate", document=document).json()

    assert refused.status_code == 400
    paths = ["execution.makerFeeBps", "risk.leverage", "symbols.a b", "x"]
    assert sorted(refused.json()["error"]["fields"]) == paths
    assert [each["path"] for each in judged["problems"]] == paths
    assert judged["valid"] is False
    assert not ConfigVersion.objects.exists()


@pytest.mark.parametrize("path", [VERSIONS, "/api/config/validate"])
@pytest.mark.parametrize(
    ("body", "at"),
    [
        ('{"document": {"\\ud800": 1}}', "document.\\ud800"),
        ('{"document": {"strategy": {"scorer": "\\ud800.a"}}}', "document.strategy.scorer"),
        ('{"document": {"risk": {"leverage": 2, "leverage": 9}}}', "document.risk.leverage"),
        ('{"document": {}, "document": {}}', "document"),
        ('"\\udfff"', "body"),
    ],
)
def test_a_body_with_names_given_twice_or_half_characters_is_a_bad_request(
    editor: Client, path: str, body: str, at: str
) -> None:
    answer = editor.post(path, body, content_type="application/json")

    assert answer.status_code == 400
    assert [*answer.json()["error"]["fields"]] == [at]
    assert not ConfigVersion.objects.exists()


def test_a_body_that_is_no_json_is_a_bad_request(editor: Client) -> None:
    for body in (b"{", b"\xff", b'{"document": NaN}', b"[" * 100_000, b"9" * 5000):
        answer = editor.post(VERSIONS, body, content_type="application/json")
        assert answer.status_code == 400


def test_a_symbol_no_instrument_is_known_of_is_refused(editor: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "known_symbols", lambda: frozenset({"BTCUSDT", "ETHUSDT"}))

    answer = post(editor, VERSIONS, document={"symbols": {"BTCUSD": {}}})

    assert answer.json()["error"]["fields"] == {
        "symbols.BTCUSD": ["unknown symbol; known are BTCUSDT"]
    }


def test_what_is_not_there_or_not_possible_is_said(editor: Client) -> None:
    number = post(editor, VERSIONS, document={}, activate=True).json()["number"]

    assert editor.get(f"{VERSIONS}/999").status_code == 404
    again = post(editor, f"{VERSIONS}/{number}/activate", reason="again")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CONFLICT")
    assert post(editor, "/api/config/rollback", reason="undo it").status_code == 409
    assert post(editor, VERSIONS, documnt={}).status_code == 400


def test_a_proposal_can_be_listed_with_its_evidence_and_declined(editor: Client) -> None:
    proposed = store.propose({"strategy": {"edgeCoef": 0.2}}, "calibrate_edge", {"ic": 0.02})

    listed = editor.get(VERSIONS, {"status": "PROPOSED"}).json()
    detail = editor.get(f"{VERSIONS}/{proposed.pk}").json()
    declined = post(editor, f"{VERSIONS}/{proposed.pk}/decline", reason="too thin").json()

    assert [row["number"] for row in listed["versions"]] == [proposed.pk]
    assert detail["evidence"] == {"ic": 0.02}
    assert declined["status"] == "DECLINED"


def test_an_invalid_active_version_is_told(editor: Client) -> None:
    number = post(editor, VERSIONS, document={}, activate=True).json()["number"]
    ConfigVersion.objects.filter(pk=number).update(document="{")

    active = editor.get("/api/config/active").json()

    assert active["isInvalid"] is True
    assert active["problem"].startswith("CONFIG_INVALID")
    assert active["resolved"]["risk"]["maxPositions"] == 3


def test_the_schema_names_every_field_with_unit_range_and_restart(reader: Client) -> None:
    sections = reader.get("/api/config/schema").json()["sections"]

    fields = {field["path"]: field for rows in sections.values() for field in rows}
    depth = fields["market.bookDepth"]
    assert (depth["kind"], depth["minimum"], depth["maximum"], depth["restartOnly"]) == (
        "INTEGER", 1, 1000, True,
    )  # fmt: skip
    assert fields["market.staleBookMs"]["unit"] == "ms"
    assert fields["strategy.weights.imb5"]["perSymbol"] is True
    assert all(field["description"] for field in fields.values())


def test_the_openapi_document_has_the_config_addresses(reader: Client) -> None:
    text = reader.get("/api/schema/").content.decode()

    assert "/api/config/versions/{number}/activate" in text
