"""Where Bybit is, for each BYBIT_ENV. Source: Bybit V5 documentation, "Guide" (hosts)."""

from __future__ import annotations

from dataclasses import dataclass

PUBLIC_LINEAR = "/v5/public/linear"
PRIVATE = "/v5/private"
TRADE = "/v5/trade"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`rest` and the websocket URLs of one environment; `ws_trade` is None where Bybit has none."""

    rest: str
    ws_public_linear: str
    ws_private: str
    ws_trade: str | None
    is_local: bool = False


def bybit_endpoints(
    bybit_env: str, *, exchange_host: str = "127.0.0.1", exchange_port: int = 8899
) -> Endpoints:
    """Return the hosts of LOCAL, TESTNET, DEMO or MAINNET. Raises ValueError for anything else.

    DEMO has its own private hosts, reads the public feed of the mainnet, and offers no trade websocket.
    """
    match bybit_env:
        case "LOCAL":
            base = f"{exchange_host}:{exchange_port}"
            ws = f"ws://{base}"
            return Endpoints(
                rest=f"http://{base}",
                ws_public_linear=ws + PUBLIC_LINEAR,
                ws_private=ws + PRIVATE,
                ws_trade=ws + TRADE,
                is_local=True,
            )
        case "TESTNET":
            return _hosted("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com")
        case "DEMO":
            return Endpoints(
                rest="https://api-demo.bybit.com",
                ws_public_linear="wss://stream.bybit.com" + PUBLIC_LINEAR,
                ws_private="wss://stream-demo.bybit.com" + PRIVATE,
                ws_trade=None,
            )
        case "MAINNET":
            return _hosted("https://api.bybit.com", "wss://stream.bybit.com")
    raise ValueError(f"BYBIT_ENV {bybit_env!r} is unknown; use LOCAL, TESTNET, DEMO or MAINNET")


def _hosted(rest: str, stream: str) -> Endpoints:
    return Endpoints(
        rest=rest,
        ws_public_linear=stream + PUBLIC_LINEAR,
        ws_private=stream + PRIVATE,
        ws_trade=stream + TRADE,
    )
