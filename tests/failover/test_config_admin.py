"""The trading config in the admin: every field in words, a save is a version, errors stand beside fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client

from failover.domain.config_schema import section_fields
from failover.forms import config_form, form_name, help_of
from failover.models import AuditEntry, AuditSource, ConfigVersion
from failover.services import config_store as store
from failover.services.audit import Actor

pytestmark = pytest.mark.django_db

LIST = "/admin/failover/configversion/"
ANNA = Actor(name="anna", source=AuditSource.CLI)
FIELDS = {field.path: field for fields in section_fields().values() for field in fields}


@pytest.fixture(autouse=True)
def _no_bus(settings: Any, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"


@pytest.fixture
def trader() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("trader"))
    return client


@pytest.fixture
def active() -> ConfigVersion:
    document = {"risk": {"maxPositions": 2}, "symbols": {"XRPUSDT": {"strategy": {"armFrames": 5}}}}
    version = store.save_version(msgspec.json.encode(document), actor=ANNA)
    store.activate(version.pk, actor=ANNA)
    return version


def change(version: ConfigVersion) -> str:
    return f"{LIST}{version.pk}/change/"


def posted(form: Any) -> dict[str, Any]:
    """What a browser sends back of a page it has not touched."""
    data: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        if value is None or value is False:
            continue
        data[bound.html_name] = value if isinstance(value, str) else (
            "on" if value is True else bound.field.prepare_value(value)
        )  # fmt: skip
    return data


def untouched(version: ConfigVersion) -> dict[str, Any]:
    """The fields of a version's page as they come."""
    return posted(config_form()(instance=version))


@pytest.mark.parametrize("page", ["add", "change"])
def test_the_form_has_every_field_of_the_schema_with_its_help(
    trader: Client, active: ConfigVersion, page: str
) -> None:
    path = change(active) if page == "change" else f"{LIST}add/"

    answer = trader.get(path)

    html = answer.content.decode()
    for path_of, field in FIELDS.items():
        assert f'name="{form_name(path_of)}"' in html, path_of
        assert field.description, path_of
    assert 'name="note"' in html
    words = re.sub(r"\s+", " ", html)
    assert help_of(FIELDS["risk.maxPositions"]) in words
    assert "Default 3. The same for all symbols." in words
    assert "RUNNING SERVICES KEEP THE OLD VALUE UNTIL A RESTART" in words
    assert answer.context["adminform"].form["risk__maxPositions"].value() == 2


def test_saving_makes_a_new_version_with_only_what_was_chosen(
    trader: Client, active: ConfigVersion
) -> None:
    data = untouched(active)
    data |= {"risk__leverage": "3", "note": "less leverage", "activate": "on"}

    answer = trader.post(change(active), data)

    made = ConfigVersion.objects.get(parent=active)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert msgspec.json.decode(made.document) == {
        "risk": {"leverage": 3.0, "maxPositions": 2},
        "symbols": {"XRPUSDT": {"strategy": {"armFrames": 5}}},
    }
    assert (made.author, made.note) == ("trader", "less leverage")
    assert store.active_version() == made
    actions = [row.action for row in AuditEntry.objects.filter(actor="trader").order_by("id")]
    assert actions == ["CONFIG_SAVE", "CONFIG_ACTIVATE"]


def test_a_new_version_begins_from_the_active_one(trader: Client, active: ConfigVersion) -> None:
    data = untouched(active) | {"strategy__weights__imb5": "0.5"}

    answer = trader.post(f"{LIST}add/", data)

    made = ConfigVersion.objects.get(parent=active)
    assert answer.status_code == 302
    assert msgspec.json.decode(made.document)["strategy"] == {"weights": {"imb5": 0.5}}
    assert store.active_version() == active


def test_errors_stand_beside_their_fields_and_nothing_is_written(
    trader: Client, active: ConfigVersion
) -> None:
    data = untouched(active) | {
        "risk__leverage": "0",
        "risk__makerFeeBps": "1",
        "execution__maxSpreadBps": "-1",
        "symbols": '{"XRPUSDT": {"risk": {"maxPositions": 1}}}',
    }

    form = trader.post(change(active), data).context["adminform"].form

    assert form.errors["risk__leverage"] == ["Expected `float` >= 1.0"]
    assert form.errors["execution__maxSpreadBps"] == ["Expected `float` > 0.0"]
    assert form.errors["symbols"] == [
        "symbols.XRPUSDT.risk.maxPositions: holds for the whole account, not for one symbol"
    ]
    assert ConfigVersion.objects.count() == 1


def test_contradictions_stand_beside_the_field_or_above_the_form(
    trader: Client, active: ConfigVersion
) -> None:
    data = untouched(active)
    data |= {"risk__makerFeeBps": "1", "strategy__watchScore": "80"}

    form = trader.post(change(active), data).context["adminform"].form

    assert "differs from risk.makerFeeBps" not in str(form.non_field_errors())
    assert form.non_field_errors() == ["strategy: watchScore 80.0 is above entryScore 70.0"]
    assert "say the same in both" in form.errors["execution__makerFeeBps"][0]


def test_what_is_no_number_is_said_beside_its_field(trader: Client, active: ConfigVersion) -> None:
    data = untouched(active) | {"risk__leverage": "much"}

    answer = trader.post(change(active), data)

    assert answer.context["adminform"].form.errors["risk__leverage"] == ["Enter a number."]
    assert b"Enter a number." in answer.content


def test_the_json_itself_is_taken_when_filled_in(trader: Client, active: ConfigVersion) -> None:
    data = untouched(active)

    refused = trader.post(change(active), data | {"raw": '{"risk": {"x": 1}, "y": {}}'})
    trader.post(change(active), data | {"raw": '{"risk": {"maxPositions": 1}}'})

    assert refused.context["adminform"].form.errors["raw"] == [
        "risk.x: unknown field",
        (
            "y: unknown section; there are execution, logging, market, profileUpdater, "
            "recording, replay, retention, risk, strategy, symbols"
        ),
    ]
    assert ConfigVersion.objects.first().document == '{"risk":{"maxPositions":1}}'  # type: ignore[union-attr]


def test_a_form_that_changes_nothing_makes_no_version(
    trader: Client, active: ConfigVersion
) -> None:
    form = trader.post(change(active), untouched(active)).context["adminform"].form

    assert "Nothing differs" in form.non_field_errors()[0]
    assert ConfigVersion.objects.count() == 1


def test_the_list_activates_rolls_back_and_declines(trader: Client, active: ConfigVersion) -> None:
    other = store.save_version(b'{"market":{"bookDepth":200}}', actor=ANNA)
    proposal = store.propose({"strategy": {"edgeCoef": 0.2}}, "calibrate_edge", {"ic": 0.02})

    def act(action: str, version: ConfigVersion) -> str:
        data = {"action": action, "_selected_action": [version.pk]}
        return str(trader.post(LIST, data, follow=True).content)

    assert "keep these until a restart: market.bookDepth" in act("activate_version", other)
    assert store.active_version() == other
    assert "is not the active version" in act("roll_back_version", active)
    act("roll_back_version", other)
    assert store.active_version() == active
    act("decline_version", proposal)
    proposal.refresh_from_db()
    assert proposal.status == "DECLINED"
    assert "already" in act("activate_version", active)


def test_a_version_shows_its_differences_evidence_and_what_holds_by_symbol(
    trader: Client, active: ConfigVersion
) -> None:
    proposal = store.propose(
        {"strategy": {"edgeCoef": 0.2}, "symbols": {"XRPUSDT": {"strategy": {"armFrames": 7}}}},
        "calibrate_edge", {"informationCoefficient": 0.031},
    )  # fmt: skip

    html = trader.get(change(proposal)).content.decode()

    assert "strategy.edgeCoef" in html
    assert "informationCoefficient" in html
    assert "strategy.armFrames" in html


def test_staff_without_the_permission_may_look_and_not_write(active: ConfigVersion) -> None:
    client = Client()
    client.force_login(User.objects.create_user("reader", is_staff=True))

    shown = client.get(change(active))

    assert shown.status_code == 200
    assert b"maxPositions" in shown.content
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(change(active), {"raw": "{}"}).status_code == 403
    client.post(LIST, {"action": "roll_back_version", "_selected_action": [active.pk]})
    assert ConfigVersion.objects.count() == 1
    assert store.active_version() == active
