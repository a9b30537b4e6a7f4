"""Ids computed from facts, so that the same decision made twice has the same name."""

from __future__ import annotations

import base64
import hashlib

MAX_LENGTH = 36  # Bybit orderLinkId


def client_order_id(prefix: str, request_id: str, leg: str, attempt: int) -> str:
    """Bybit-safe id ([A-Za-z0-9_-], at most 36) of one attempt at one leg of one request."""
    facts = f"{request_id}\x1f{leg}\x1f{attempt}".encode()
    digest = base64.b32encode(hashlib.blake2b(facts, digest_size=15).digest()).decode("ascii")
    return f"{prefix}-{digest}"[:MAX_LENGTH]
