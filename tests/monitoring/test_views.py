"""Pages: for staff only, whole without a live system, and strict about scripts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db

PAGES = ("/", "/symbol/BTCUSDT/", "/orders/", "/trades/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_staff_only(path: str) -> None:
    customer = Client()
    customer.force_login(User.objects.create_user("customer"))

    for client in (Client(), customer):
        assert client.get(path)["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_mode_and_forbids_foreign_scripts(
    reader_client: Client, path: str
) -> None:
    answer = reader_client.get(path)

    assert answer.status_code == 200
    assert b'id="mode-badge"' in answer.content
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert b"<script>" not in answer.content


def test_the_panic_button_of_a_reader_is_dead(
    reader_client: Client, operator_client: Client
) -> None:
    dead = b'id="panic-all" disabled'

    assert dead in reader_client.get("/").content
    assert dead not in operator_client.get("/").content


def test_an_icon_is_found_where_browsers_look_for_it() -> None:
    assert Client().get("/favicon.ico")["Location"] == "/static/dashboard/icon.svg"


def test_orders_come_as_csv_too(reader_client: Client) -> None:
    answer = reader_client.get("/orders/", {"format": "csv"})

    assert answer["Content-Type"] == "text/csv"
    assert answer.content.startswith(b"created_at,symbol,side,leg,type,price")
