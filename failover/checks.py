"""System checks of the floor: stable ids, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from failover.services.config_files import BadConfigDocument, built_in_names, load_configured


@register()
def check_trading_config(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    """failover.E001: each error of the configured trading document."""
    try:
        load_configured(settings)
    except BadConfigDocument as bad:
        names = ", ".join(built_in_names(settings.TRADING_PROFILES_DIR))
        return [
            Error(
                f"TRADING_CONFIG={settings.ENVIRONMENT.trading_config}: {error}",
                hint=f"correct the document, or name a built-in one ({names}) or a JSON file",
                id="failover.E001",
            )
            for error in bad.errors
        ]
    return []
