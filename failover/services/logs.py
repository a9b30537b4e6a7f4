"""Structured logs: one JSON object per line on stderr, an event name plus fields, never a secret.

    logger = logging.getLogger(__name__)
    logger.info("book_resubscribed", extra={"symbol": "BTCUSDT", "reason": "gap"})

gives `{"ts": …, "level": "INFO", "service": "market", "event": "book_resubscribed", "symbol": …}`.
`log_event(logger, level, name, **fields)` takes any field name, also those `extra` refuses.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

REDACTED = "[redacted]"
_MIN_SECRET_CHARS = 4  # replacing shorter texts would only garble the log
_MAX_KINDS = 500
_URL_PASSWORD = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@\"']*?:)[^\s/\"']+@")
_URL_USERINFO = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/@]*?:(?P<password>[^@/]+)@")


def configure_logging(
    service: str, *, level: str = "info", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send every log record of the process to stderr as JSON, without the given secrets."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(ServiceFormatter(service, Redactor(secrets)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for chatty in ("asyncio", "urllib3", "websockets", "daphne", "kombu", "amqp", "numba"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))


def secrets_of(settings: Any) -> list[str]:
    """Every secret value the Django settings hold: keys, hashes, passwords inside URLs."""
    environment = settings.ENVIRONMENT
    values = [
        settings.SECRET_KEY,
        environment.secret_key,
        environment.bybit_api_key,
        environment.bybit_api_secret,
        environment.admin_password_hash,
    ]
    urls = (environment.redis_url, environment.database_url)
    values += [match["password"] for url in urls if (match := _URL_USERINFO.match(url))]
    return [value for value in values if value and value != "unset"]


class Redactor:
    """Replaces known secrets, in every form a JSON line may show them, and passwords inside URLs."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {
            form
            for secret in secrets
            if len(secret) >= _MIN_SECRET_CHARS
            for form in _forms_of(secret)
        }
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        return _URL_PASSWORD.sub(rf"\g<1>{REDACTED}@", text)

    def clean(self, value: Any) -> Any:
        """The same value for JSON, without secrets at any depth; what JSON lacks becomes text."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, dict):
            return {self(str(name)): self.clean(each) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(each) for each in value]
        if isinstance(value, bytes):
            return self(value.decode("utf-8", "replace"))
        return self(str(value))


def _forms_of(secret: str) -> set[str]:
    plain = {secret, repr(secret)[1:-1], repr(secret.encode("utf-8", "replace"))[2:-1]}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return plain | escaped | {quote(secret.encode("utf-8", "replace"), safe=s) for s in ("", "/")}


class ServiceFormatter(JsonFormatter):
    """Every value is redacted once it is text: message, arguments, fields and traceback alike."""

    def __init__(self, service: str, redactor: Redactor) -> None:
        super().__init__(reserved_attrs=[*RESERVED_ATTRS, "taskName", "fields"])
        self._service = service
        self._redactor = redactor

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        head = {
            "ts": _iso(record.created),
            "level": record.levelname,
            "service": self._service,
            "event": message_dict.pop("message", None) or record.getMessage(),
            "logger": record.name,
        }
        super().add_fields(log_data, record, message_dict)
        log_data.pop("message", None)
        body = {**log_data, **getattr(record, "fields", {})}
        log_data.clear()
        log_data.update(head)
        log_data.update({f"{k}_" if k in head else k: v for k, v in body.items()})

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = self._redactor.clean(log_data)
        return cleaned


def log_event(
    logger: logging.Logger, level: int, event: str, /, *, exc_info: Any = None, **fields: Any
) -> None:
    """Log an event name with fields of any name."""
    logger.log(level, event, exc_info=exc_info, extra={"fields": fields})


class OncePerKind:
    """Counts what happens, by kind, and logs each kind the first time (and at 10, 100, 1,000, … times).

        bad_messages = OncePerKind(logger, "bad_message")
        bad_messages.note("truncated", topic=topic)

    `counts` holds the totals. Kinds beyond `_MAX_KINDS` are counted as `other`: a hostile sender cannot
    grow it.
    """

    def __init__(self, logger: logging.Logger, event: str, *, level: int = logging.WARNING) -> None:
        self.counts: Counter[str] = Counter()
        self._logger = logger
        self._event = event
        self._level = level

    def note(self, kind: str, **fields: Any) -> int:
        """Count one; returns the total of its kind."""
        if kind not in self.counts and len(self.counts) >= _MAX_KINDS:
            kind = "other"
        self.counts[kind] += 1
        count = self.counts[kind]
        if _is_power_of_ten(count):
            fields |= {"kind": kind, "count": count}
            log_event(self._logger, self._level, self._event, **fields)
        return count

    @property
    def total(self) -> int:
        return self.counts.total()


def _is_power_of_ten(number: int) -> bool:
    return str(number).rstrip("0") == "1"


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
