"""A real local exchange in a thread of its own, on a free port: clients with threads can use it too."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from execution.exchange.server import ExchangeServer

START_S = 120.0  # the first run compiles the kernels


class RunningExchange:
    """A served exchange; `call` runs a function in its event loop's thread."""

    def __init__(self, server: ExchangeServer) -> None:
        self.server = server
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="exchange")

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def public(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v5/public/linear"

    def start(self) -> None:
        self._thread.start()
        self.port = self._started.result(START_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], object]) -> object:
        async def run() -> object:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        try:
            self._started.set_result(await self.server.start("127.0.0.1", 0))
        except BaseException as error:
            self._started.set_exception(error)
            raise
        try:
            await self.server.run(self._stopping)
        finally:
            await self.server.close()


@contextlib.contextmanager
def running(server: ExchangeServer) -> Iterator[RunningExchange]:
    exchange = RunningExchange(server)
    exchange.start()
    try:
        yield exchange
    finally:
        exchange.stop()
