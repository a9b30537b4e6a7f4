"""System checks over the environment: stable ids, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from scalper_site.env import Environment

MIN_SECRET_KEY_LENGTH = 50


@register()
def check_environment(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    messages: list[CheckMessage] = [
        Error(f"{p.variable}: {p.reason}", hint=p.hint, id="scalper_site.E001")
        for p in settings.ENVIRONMENT_PROBLEMS
    ]
    environment: Environment = settings.ENVIRONMENT
    if environment.is_production:
        messages += _production_problems(environment)
    if environment.execution_mode in ("LIVE", "DRY_RUN"):
        messages += _account_problems(environment)
    return messages


def _production_problems(environment: Environment) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    key = environment.secret_key
    if len(key) < MIN_SECRET_KEY_LENGTH or len(set(key)) < 10 or key.startswith("django-insecure-"):
        messages.append(
            Error(
                "SECRET_KEY is missing or weak",
                hint=f"set {MIN_SECRET_KEY_LENGTH}+ random characters in SECRET_KEY or SECRET_KEY_FILE",
                id="scalper_site.E002",
            )
        )
    if environment.debug:
        messages.append(
            Error(
                "DEBUG is on in production",
                hint="remove DEBUG from the environment",
                id="scalper_site.E003",
            )
        )
    if "*" in environment.allowed_hosts:
        messages.append(
            Error(
                "ALLOWED_HOSTS accepts any host",
                hint="name the dashboard's host",
                id="scalper_site.E004",
            )
        )
    if environment.bybit_env == "LOCAL" and environment.execution_mode == "LIVE":
        messages.append(
            Error(
                "LIVE execution points at the local exchange",
                hint="set BYBIT_ENV to TESTNET, DEMO or MAINNET, or EXECUTION_MODE to SIM",
                id="scalper_site.E005",
            )
        )
    return messages


def _account_problems(environment: Environment) -> list[CheckMessage]:
    if not environment.holds_account or (
        environment.bybit_api_key and environment.bybit_api_secret
    ):
        return []
    return [
        Error(
            f"EXECUTION_MODE={environment.execution_mode} needs an account",
            hint="set BYBIT_API_KEY and BYBIT_API_SECRET, or EXECUTION_MODE=SIM",
            id="scalper_site.E006",
        )
    ]
