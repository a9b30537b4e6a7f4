"""The venue's clock, through pybit. Source: Bybit V5 documentation, GET /v5/market/time."""

from __future__ import annotations

import time

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from failover.domain.latency import ClockSample
from market.ports import VenueUnreachable

_TIMEOUT_S = 3


class VenueClock:
    """Keeps its connection, so that a sample costs one round trip. Blocks; runs in a thread."""

    def __init__(self, rest_url: str, *, is_local: bool = False) -> None:
        """`is_local` keeps away from a proxy named in the environment."""
        self._url = rest_url
        self._session = HTTP(testnet=False, timeout=_TIMEOUT_S, max_retries=1)
        self._session.endpoint = rest_url
        self._session.client.trust_env = not is_local

    def sample(self) -> ClockSample:
        """Ask once. Raises VenueUnreachable (network, refusal, nonsense): ask again later."""
        sent_ns = time.time_ns()
        try:
            reply = self._session.get_server_time()
            received_ns = time.time_ns()
            return ClockSample(sent_ns, int(reply["result"]["timeNano"]), received_ns)
        except (
            requests.RequestException,
            FailedRequestError,
            InvalidRequestError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise VenueUnreachable(f"{self._url}: {reason}") from error

    def close(self) -> None:
        self._session.client.close()
