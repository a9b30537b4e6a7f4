"""System checks of the strategy: stable ids, each with what to do about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_scorer_packages(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    """strategy.E001: a name in SCORER_PACKAGES is none; strategy.E002: there is no such package."""
    messages: list[CheckMessage] = []
    for name in settings.SCORER_PACKAGES:
        if not all(part.isidentifier() for part in name.split(".")):
            messages.append(
                Error(
                    f"SCORER_PACKAGES: {name!r} is no package name",
                    hint="name Python packages or modules, comma-separated: strategy,my_scorers",
                    id="strategy.E001",
                )
            )
        elif not _exists(name):
            messages.append(
                Error(
                    f"SCORER_PACKAGES: there is no package {name}",
                    hint="install it, or put the module beside manage.py, or take it off the list",
                    id="strategy.E002",
                )
            )
    return messages


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
