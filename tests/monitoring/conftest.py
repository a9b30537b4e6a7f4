"""A dashboard of its own for every test, and an execution service small enough to read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from execution.domain.operator import OperatorCommand, OperatorResult
from failover.adapters.bus import connect_bus
from failover.adapters.streams import Entry, StreamReader, StreamWriter
from monitoring.services import live


@pytest.fixture(autouse=True)
def _fresh_view() -> Iterator[None]:
    live.fanout.cache_clear()
    live.bus_view.cache_clear()
    yield
    live.fanout.cache_clear()
    live.bus_view.cache_clear()


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition, with a bound, from a test that is not async."""

    def wait(condition: Callable[[], Any], *, within_s: float = 60.0) -> Any:
        deadline = time.monotonic() + within_s
        while not (result := condition()):
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)
        return result

    return wait


@pytest.fixture
def reader(db: None) -> User:
    """Staff that may look and not command."""
    return User.objects.create_user("reader", is_staff=True)


@pytest.fixture
def operator_user(db: None) -> User:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="operate"))
    return user


@pytest.fixture
def reader_client(reader: User) -> Client:
    client = Client()
    client.force_login(reader)
    return client


@pytest.fixture
def operator_client(operator_user: User) -> Client:
    client = Client()
    client.force_login(operator_user)
    return client


class AnsweringExecution:
    """Reads operator commands from the bus in a thread of its own and answers each with `answer`."""

    def __init__(self, answer: Callable[[OperatorCommand], OperatorResult]) -> None:
        self.commands: list[OperatorCommand] = []
        self._answer = answer
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        client = connect_bus(settings.REDIS_URL)
        prefix = settings.BUS_PREFIX
        writer = StreamWriter(client, prefix + "execution.records", 1000)
        reader = StreamReader(client, {prefix + "operator.commands": "$"})
        await reader.open()
        self._ready.set()
        task = asyncio.create_task(self._serve(reader, writer))
        await asyncio.to_thread(self._stop.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await writer.close()
        await client.aclose()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        async for item in reader:
            if isinstance(item, Entry):
                command = msgspec.msgpack.decode(item.payload, type=OperatorCommand)
                self.commands.append(command)
                row = msgspec.to_builtins(self._answer(command))
                writer.append(msgspec.msgpack.encode([{"record": "OPERATOR_RESULT", **row}]))


@pytest.fixture
def answering_execution(valkey: str) -> type[AnsweringExecution]:
    return AnsweringExecution
