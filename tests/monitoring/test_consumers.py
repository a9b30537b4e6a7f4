"""Websockets: only for staff of this host, honest about gaps, closed to nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from monitoring.services import live
from scalper_site.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = (b"origin", b"http://localhost")


def a_session(name: str = "w", *, is_staff: bool = True, is_active: bool = True) -> bytes:
    user = User.objects.create_user(name, is_staff=is_staff)
    client = Client()
    client.force_login(user)
    if not is_active:
        User.objects.filter(pk=user.pk).update(is_active=False)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


def a_socket(path: str, cookie: bytes = b"", origin: tuple[bytes, bytes] = ORIGIN) -> Any:
    headers = [(b"host", b"localhost"), origin, (b"cookie", cookie)]
    return WebsocketCommunicator(application, path, headers=headers)


@pytest.fixture(autouse=True)
async def _stop_the_view(valkey: str) -> AsyncIterator[None]:
    yield
    await live.stop()


async def test_staff_gets_a_snapshot_and_another_one_when_asking_again() -> None:
    cookie = await sync_to_async(a_session)()
    socket = a_socket("/ws/overview/", cookie)
    assert (await socket.connect())[0]

    first = await socket.receive_json_from(10)
    await socket.send_json_to({"type": "resync"})
    kinds = []
    while "snapshot" not in kinds:
        kinds.append((await socket.receive_json_from(10))["type"])

    assert first["type"] == "snapshot"
    assert first["state"]["system"] == {"mode": "SIM", "bybitEnv": "LOCAL", "runMode": "LIVE"}
    await socket.disconnect()


async def test_a_browser_that_tells_what_it_has_seen_is_heard() -> None:
    cookie = await sync_to_async(a_session)()
    socket = a_socket("/ws/overview/", cookie)
    assert (await socket.connect())[0]
    first = await socket.receive_json_from(10)

    await socket.send_json_to({"type": "seen", "t": first["t"]})
    await socket.send_json_to({"type": "seen", "t": -(2**70)})  # a stamp that was never given
    await socket.send_json_to({"type": "resync"})

    while (await socket.receive_json_from(10))["type"] != "snapshot":
        pass
    await socket.disconnect()


async def test_a_symbol_page_stays_alive_while_its_symbol_is_unknown() -> None:
    cookie = await sync_to_async(a_session)()
    socket = a_socket("/ws/symbol/BTCUSDT/", cookie)
    assert (await socket.connect())[0]

    assert (await socket.receive_json_from(10))["type"] == "tick"
    await socket.disconnect()


async def test_nonsense_from_a_browser_closes_its_socket() -> None:
    cookie = await sync_to_async(a_session)()
    for nonsense in ("?", "[]", "{", '{"type": "buy"}', '{"type": "seen", "t": "x"}', "x" * 5000):
        socket = a_socket("/ws/overview/", cookie)
        assert (await socket.connect())[0]

        await socket.send_to(text_data=nonsense)
        while (event := await socket.receive_output(10))["type"] == "websocket.send":
            pass

        assert event == {"type": "websocket.close", "code": 4400}, nonsense


async def test_only_active_staff_is_let_in() -> None:
    nobody = b""
    customer = await sync_to_async(a_session)("customer", is_staff=False)
    gone = await sync_to_async(a_session)("gone", is_active=False)

    for cookie in (nobody, customer, gone):
        assert (await a_socket("/ws/overview/", cookie).connect())[0] is False


async def test_a_page_of_another_site_is_refused() -> None:
    cookie = await sync_to_async(a_session)()
    socket = a_socket("/ws/overview/", cookie, (b"origin", b"https://evil.example"))

    assert (await socket.connect())[0] is False
