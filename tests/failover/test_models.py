"""The audit trail."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from failover.models import AuditEntry, AuditSource

pytestmark = pytest.mark.django_db


def an_entry() -> AuditEntry:
    return AuditEntry.objects.create(
        timestamp=timezone.now(),
        actor="admin",
        source=AuditSource.CLI,
        action="PANIC",
        target="BTCUSDT",
        reason="drill",
        before={"positions": 1},
        after={"positions": 0},
        result="OK",
    )


def test_an_entry_is_never_changed() -> None:
    entry = an_entry()
    entry.actor = "somebody else"

    with pytest.raises(TypeError, match="never changed"):
        entry.save()


def test_the_admin_shows_entries_and_offers_no_change(client: Client) -> None:
    entry = an_entry()
    client.force_login(User.objects.create_superuser("admin"))
    page = f"/admin/failover/auditentry/{entry.pk}/change/"

    assert b"PANIC" in client.get("/admin/failover/auditentry/").content
    assert client.get(page).status_code == 200
    assert client.post(page, {"actor": "x"}).status_code == 403
    assert client.get("/admin/failover/auditentry/add/").status_code == 403
    assert client.post(f"/admin/failover/auditentry/{entry.pk}/delete/").status_code == 403
