"""The one reader of the process environment.

`read_environment` turns variables into a frozen, typed `Environment` and a list of problems. It never
raises: settings must load even with a wrong variable, so that the system checks (`scalper_site.checks`)
can say what is wrong, where, and what to do. A variable that cannot be read keeps its default, and the
problem makes every command that runs checks stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import dj_database_url
import msgspec
from dotenv import dotenv_values
from redis.asyncio.connection import parse_url

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
ExecutionMode = Literal["SIM", "DRY_RUN", "LIVE", "REPLAY"]
BybitEnv = Literal["LOCAL", "TESTNET", "DEMO", "MAINNET"]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Every variable the system reads. Names in the environment are the upper-case field names."""

    scalper_env: Literal["development", "production"] = "development"
    secret_key: str = ""
    debug: bool = False
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    csrf_trusted_origins: str = ""
    data_dir: str = "data"
    database_url: str = ""
    sqlite_path: str = ""
    redis_url: str = ""
    web_host: str = "127.0.0.1"
    web_port: Port = 8080
    admin_username: str = "admin"
    admin_password_hash: str = ""
    execution_mode: ExecutionMode = "SIM"
    bybit_env: BybitEnv = "LOCAL"
    bybit_api_key: str = ""
    bybit_api_secret: str = ""
    holds_account: bool = True
    exchange_host: str = "127.0.0.1"
    exchange_port: Port = 8899
    symbols: str = ""
    trading_config: str = "demo"
    activate_proposals: bool = False
    scorer_packages: str = "strategy"
    service_cluster_id: str = "scalper-1"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def is_production(self) -> bool:
        return self.scalper_env == "production"


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with the environment: which variable, why, and what to do."""

    variable: str
    reason: str
    hint: str


def read_environment(environ: Mapping[str, str]) -> tuple[Environment, list[Problem]]:
    """Read `environ` strictly; a bad value is reported and its default kept."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    raw = _with_secret_files(_with_aliases(environ, problems), problems)
    for field in msgspec.structs.fields(Environment):
        name = field.name.upper()
        if name not in raw or raw[name] == "":
            continue
        try:
            value = _convert(raw[name], field.type)
            if field.name in _URL_PARSERS:
                _prove_url(field.name, value)
            values[field.name] = value
        except (msgspec.ValidationError, ValueError) as error:
            # The value itself is not shown: it may be a secret put into the wrong variable.
            problems.append(
                Problem(name, _reason(error), f"correct {name} in the environment or .env")
            )
    return Environment(**values), problems


def load_environment(
    environ: Mapping[str, str], env_file: Path
) -> tuple[Environment, list[Problem]]:
    """Read `env_file` first, then let the process environment win over it."""
    from_file = (
        {k: v for k, v in dotenv_values(env_file).items() if v is not None}
        if env_file.is_file()
        else {}
    )
    return read_environment({**from_file, **environ})


def _convert(text: str, expected: Any) -> Any:
    if expected is bool:
        if text.lower() in ("true", "1", "yes", "on"):
            return True
        if text.lower() in ("false", "0", "no", "off"):
            return False
        raise ValueError("expected true or false")
    return msgspec.convert(text, expected, strict=False)


# As the libraries that will use them read them; the shapes are told instead of their errors, which may
# quote the value.
_URL_PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "database_url": (dj_database_url.parse, "postgres://user:password@host/name"),
    "redis_url": (parse_url, "redis://host:port, rediss://host:port or unix:///path"),
}


def _prove_url(name: str, url: str) -> None:
    """Raises: ValueError when the URL cannot be used."""
    parse, shape = _URL_PARSERS[name]
    try:
        parse(url)
    except Exception:  # noqa: BLE001  (the libraries raise their own kinds)
        raise ValueError(f"is no URL such as {shape}") from None


def _reason(error: Exception) -> str:
    text = str(error)
    return "is not one of the allowed values" if "Invalid enum value" in text else text


def _with_aliases(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Accept the owner's older names; a contradiction with the newer one is refused, not guessed."""
    raw = dict(environ)
    if network := raw.get("BYBIT_NETWORK"):
        _alias(raw, problems, "BYBIT_ENV", network.upper(), "BYBIT_NETWORK")
    dry_run = raw.get("EXECUTION_DRY_RUN", "").lower()
    if dry_run in ("true", "1", "yes", "on"):
        _alias(raw, problems, "EXECUTION_MODE", "DRY_RUN", "EXECUTION_DRY_RUN")
    elif dry_run and raw.get("EXECUTION_MODE") == "DRY_RUN":
        problems.append(
            Problem("EXECUTION_DRY_RUN", "contradicts EXECUTION_MODE", "keep only EXECUTION_MODE")
        )
    return raw


def _alias(raw: dict[str, str], problems: list[Problem], name: str, value: str, alias: str) -> None:
    if raw.get(name, value) != value:
        problems.append(Problem(alias, f"contradicts {name}", f"keep only {name}"))
        return
    raw[name] = value


def _with_secret_files(raw: dict[str, str], problems: list[Problem]) -> dict[str, str]:
    """`NAME_FILE` names a file that holds the secret NAME (systemd credentials, Docker secrets)."""
    for name in ("SECRET_KEY", "BYBIT_API_KEY", "BYBIT_API_SECRET", "ADMIN_PASSWORD_HASH"):
        if path := raw.get(f"{name}_FILE"):
            try:
                raw[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "cannot be read as text"
                problems.append(Problem(f"{name}_FILE", reason, "name a readable file"))
    return raw
