"""Sends one operator command to execution and waits, bounded, for what it says."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Literal

import msgspec
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from execution.domain.operator import OperatorAction, OperatorCommand, OperatorResult
from failover.adapters.bus import connect_bus
from failover.adapters.streams import Entry, StreamReader, StreamWriter

ANSWER_TIMEOUT_S = 3.0
SEND_TIMEOUT_S = 2.0
COMMANDS_KEPT = 1000


class CommandNotSent(RuntimeError):
    """The bus did not take the command: nothing was ordered."""


class CommandUnanswered(RuntimeError):
    """The bus has the command and execution has not answered: its outcome is unknown."""


def make_command(
    action: OperatorAction,
    *,
    reason: str,
    actor: str,
    source: Literal["API", "DASHBOARD", "CLI", "SOCKET"],
    symbol: str = "",
    side: Literal["LONG", "SHORT", "BOTH"] = "BOTH",
) -> OperatorCommand:
    return OperatorCommand(
        command_id=uuid.uuid4().hex,
        action=action,
        reason=reason,
        actor=actor,
        source=source,
        ts_ns=time.time_ns(),
        symbol=symbol,
        side=side,
    )


async def send(command: OperatorCommand) -> OperatorResult:
    """Raises: CommandNotSent, CommandUnanswered."""
    client = connect_bus(settings.REDIS_URL)
    try:
        return await _send(client, command)
    finally:
        await client.aclose()


async def _send(client: Redis, command: OperatorCommand) -> OperatorResult:
    reader = StreamReader(client, {settings.BUS_PREFIX + "execution.records": "$"})
    writer = StreamWriter(client, settings.BUS_PREFIX + "operator.commands", maxlen=COMMANDS_KEPT)
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await reader.open()  # before the command leaves: no answer can be missed
        writer.append(msgspec.msgpack.encode(command))
        is_sent = await writer.close(SEND_TIMEOUT_S)
    except (RedisError, OSError, TimeoutError) as error:
        raise CommandNotSent(str(error)) from error
    if not is_sent:
        raise CommandNotSent("the bus did not take the command in time")
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await _answer(reader, command.command_id)
    except TimeoutError as error:
        raise CommandUnanswered(command.command_id) from error


async def _answer(reader: StreamReader, command_id: str) -> OperatorResult:
    async for item in reader:
        if isinstance(item, Entry) and (row := _result_row(item.payload, command_id)):
            return msgspec.convert(row, OperatorResult)
    raise CommandUnanswered(command_id)


def _result_row(payload: bytes, command_id: str) -> dict[str, Any] | None:
    for row in msgspec.msgpack.decode(payload, type=list[dict[str, Any]]):
        if row.get("record") == "OPERATOR_RESULT" and row.get("commandId") == command_id:
            return {"kind": "OperatorResult", **row}
    return None
