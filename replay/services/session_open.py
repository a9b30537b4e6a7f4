"""`open_session`: a built session as a market to replay."""

from __future__ import annotations

from market.domain.recordings import MarketData
from replay.ports import SessionFiles


def open_session(
    store: SessionFiles, session_id: str, *, start_ns: int | None = None
) -> MarketData:
    """The session's messages from its columns, which are made anew where events.jsonl is another file
    than they came from. Chunks map the columns: memory does not grow with the session.

    start_ns: a core time to begin at; books and tickers are then stated as they stood.
    Raises: SessionRefused (NOT_FOUND, BROKEN, NO_DATA, STORAGE).
    """
    return store.open(session_id, start_ns)
