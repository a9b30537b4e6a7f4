"""Websockets of the dashboard: `/ws/overview/` and `/ws/symbol/<SYMBOL>/`, for staff only.

Server to browser: `{"type": "snapshot" | "increment" | "tick", "t": <server epoch ms>, ...}` as
`monitoring.domain.panel` defines them. Browser to server: `{"type": "resync"}` after a gap, and now and
then `{"type": "seen", "t": <t of a message>}`, by which the way to the browser is measured.
The channel layer is not used: a page must stay alive while the bus is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, cast

import msgspec
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model

from monitoring.domain.view import OVERVIEW
from monitoring.services import live
from monitoring.services.fanout import Watcher

RECHECK_USER_S = 30.0
RESYNC_MIN_GAP_S = 0.2
MAX_CLIENT_BYTES = 1024
NOT_ALLOWED, BAD_MESSAGE = 4403, 4400


class PanelConsumer(AsyncWebsocketConsumer):
    """Sends one panel to one browser."""

    channel_layer_alias = ""  # names no layer: Channels then polls none

    async def connect(self) -> None:
        self._sender: asyncio.Task[None] | None = None
        if not _may_watch(self.scope.get("user")):
            await self.close(NOT_ALLOWED)
            return
        self._fanout = live.ensure_running()
        await self.accept()
        self._watcher = self._fanout.join(self.panel())
        self._resynced_at_s = 0.0
        self._sender = asyncio.create_task(self._send_all(self._watcher))

    def panel(self) -> str:
        kwargs = cast("dict[str, str]", self.scope["url_route"]["kwargs"])
        return kwargs.get("symbol", OVERVIEW)

    async def disconnect(self, code: int) -> None:
        if self._sender is None:
            return
        self._fanout.leave(self._watcher)
        self._sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sender

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        word = _word(text_data)
        if word is None:
            await self.close(BAD_MESSAGE)
            return
        if isinstance(word, Seen):
            self._fanout.on_seen(word.t, time.time_ns())
            return
        now_s = time.monotonic()
        if now_s - self._resynced_at_s >= RESYNC_MIN_GAP_S:
            self._resynced_at_s = now_s
            self._watcher.ask_snapshot()

    async def _send_all(self, watcher: Watcher) -> None:
        """Until the browser leaves, or its user may no longer watch."""
        checked_at_s = time.monotonic()
        while True:
            message = await watcher.next_message()
            if time.monotonic() - checked_at_s > RECHECK_USER_S:
                checked_at_s = time.monotonic()
                if not await _still_allowed(self.scope["user"].pk):
                    await self.close(NOT_ALLOWED)
                    return
            await self.send(text_data=message.decode())


class Resync(msgspec.Struct, tag_field="type", tag="resync"):
    """A message was missed."""


class Seen(msgspec.Struct, tag_field="type", tag="seen"):
    """The message stamped `t` was shown."""

    t: int


_words = msgspec.json.Decoder(Resync | Seen)


def _word(text: str | None) -> Resync | Seen | None:
    """What a browser said; None when it is nonsense."""
    if text is None or len(text) > MAX_CLIENT_BYTES:
        return None
    try:
        return _words.decode(text)
    except msgspec.DecodeError:
        return None


def _may_watch(user: Any) -> bool:
    return bool(user and user.is_authenticated and user.is_active and user.is_staff)


@database_sync_to_async
def _still_allowed(user_id: int) -> bool:
    return bool(get_user_model().objects.filter(pk=user_id, is_active=True, is_staff=True).exists())
