"""Logs: one JSON object a line, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.services.logs import (
    OncePerKind,
    Redactor,
    ServiceFormatter,
    configure_logging,
    log_event,
    secrets_of,
)

SECRET = 'k3y"with\\odd/chars é&='


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    out = io.StringIO()
    logger = logging.getLogger("tests.logs")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    handler = logging.StreamHandler(out)
    handler.setFormatter(ServiceFormatter("market", Redactor([SECRET, "hunter22"])))
    logger.addHandler(handler)
    yield logger, out
    logger.removeHandler(handler)


def records(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_record_is_an_event_name_with_fields(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, out = log
    logger.info("book_resubscribed", extra={"symbol": "BTCUSDT", "gapMs": 12})

    (record,) = records(out)
    assert list(record)[:5] == ["ts", "level", "service", "event", "logger"]
    assert record["event"] == "book_resubscribed"
    assert (record["service"], record["symbol"], record["gapMs"]) == ("market", "BTCUSDT", 12)
    assert record["ts"].endswith("Z")


def test_fields_may_have_any_name(log: tuple[logging.Logger, io.StringIO]) -> None:
    """`extra` refuses some; `log_event` does not, and the head of the record stays what it is."""
    logger, out = log
    log_event(logger, logging.INFO, "said", message="m", name="n", args="a", level="x", event="y")

    (record,) = records(out)
    assert (record["event"], record["level"]) == ("said", "INFO")
    assert (record["message"], record["name"], record["args"]) == ("m", "n", "a")
    assert (record["level_"], record["event_"]) == ("x", "y")


def boom(text: str) -> None:
    raise ValueError(f"could not sign with {text}")


def test_a_secret_is_redacted_wherever_it_is(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = log
    logger.info("in the message %s", SECRET)
    logger.info("in an argument %r", {"key": SECRET})
    logger.info("in_a_field", extra={"params": {"apiKey": [SECRET]}})
    logger.info(f"formatted {SECRET}")  # noqa: G004
    logger.info("in a url redis://user:hunter22@host:1/0 and postgres://a:other@b/c")
    log_event(logger, logging.INFO, "bytes", raw=SECRET.encode())
    try:
        boom(SECRET)
    except ValueError:
        logger.exception("failed")

    text = out.getvalue()
    for form in (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], "hunter22", ":other@"):
        assert form not in text
    assert text.count("[redacted]") >= 8
    assert "postgres://a:[redacted]@b/c" in text
    assert len(records(out)) == 7


@given(secret=st.text(min_size=4), around=st.text())
def test_no_text_around_a_secret_brings_it_out(secret: str, around: str) -> None:
    formatter = ServiceFormatter("x", Redactor([secret]))
    record = logging.LogRecord("n", logging.INFO, "p", 1, "said", (), None)
    record.fields = {"text": around + secret + around}

    text = json.loads(formatter.format(record))["text"] if secret not in "[redacted]" else ""

    assert secret not in text.replace("[redacted]", "") or secret in around + around


def test_the_settings_secrets_are_all_known() -> None:
    class Environment:
        secret_key = "s-key-1"
        bybit_api_key = "b-key"
        bybit_api_secret = "b-secret"
        admin_password_hash = "pbkdf2$x"
        redis_url = "redis://:r-pass@host:6379/0"
        database_url = "postgres://me:d-pass@host/db"

    class Settings:
        SECRET_KEY = "s-key-1"
        ENVIRONMENT = Environment

    assert set(secrets_of(Settings)) == {
        "s-key-1",
        "b-key",
        "b-secret",
        "pbkdf2$x",
        "r-pass",
        "d-pass",
    }


def test_each_kind_is_logged_once_and_then_ever_more_rarely(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, out = log
    bad = OncePerKind(logger, "bad_message")
    for _ in range(150):
        bad.note("truncated", topic="trades")
    bad.note("unknown")

    assert bad.counts == {"truncated": 150, "unknown": 1}
    assert [(r["kind"], r["count"]) for r in records(out)] == [
        ("truncated", 1),
        ("truncated", 10),
        ("truncated", 100),
        ("unknown", 1),
    ]


def test_a_flood_of_kinds_does_not_grow_the_counter(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    bad = OncePerKind(log[0], "bad_message")
    for number in range(5000):
        bad.note(f"kind-{number}")

    assert len(bad.counts) <= 501
    assert bad.total == 5000


def test_the_level_comes_from_the_environment() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("x", level="warning", stream=out)
        logging.getLogger("any").info("quiet")
        logging.getLogger("any").warning("loud")
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        logging.captureWarnings(capture=False)

    assert [record["event"] for record in records(out)] == ["loud"]
