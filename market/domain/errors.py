"""Errors of the market. Each docstring says what the caller does."""

from __future__ import annotations


class BadPayload(ValueError):
    """The message was not taken; the caller counts it under `kind` and goes on."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
