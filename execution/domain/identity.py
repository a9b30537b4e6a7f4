"""Ids computed from facts, so that the same decision made twice has the same name."""

from __future__ import annotations

import hashlib

MAX_LENGTH = 36  # Bybit orderLinkId
_DIGEST_BYTES = 15
# Base 32 (RFC 4648), two characters at a time; the standard library's is far slower.
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_HALF = 1 << 60


def client_order_id(prefix: str, request_id: str, leg: str, attempt: int) -> str:
    """Bybit-safe id ([A-Za-z0-9_-], at most 36) of one attempt at one leg of one request."""
    facts = f"{request_id}\x1f{leg}\x1f{attempt}".encode()
    digest = hashlib.blake2b(facts, digest_size=_DIGEST_BYTES).digest()
    high, low = divmod(int.from_bytes(digest, "big"), _HALF)
    return f"{prefix}-{_text(high)}{_text(low)}"[:MAX_LENGTH]


def _text(bits: int) -> str:
    """Sixty bits."""
    pairs = _PAIRS
    return (
        pairs[bits >> 50] + pairs[bits >> 40 & 1023] + pairs[bits >> 30 & 1023]
        + pairs[bits >> 20 & 1023] + pairs[bits >> 10 & 1023] + pairs[bits & 1023]
    )  # fmt: skip
