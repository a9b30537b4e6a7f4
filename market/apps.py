from django.apps import AppConfig

from failover.domain.config import SECTIONS
from failover.services.known_symbols import register_symbol_source
from market.domain.config import MarketConfig as MarketSection
from market.domain.recording_config import RecordingConfig


class MarketConfig(AppConfig):
    name = "market"

    def ready(self) -> None:
        from django.conf import settings

        from market.adapters.instrument_store import known_names

        SECTIONS.register("market", MarketSection)
        SECTIONS.register("recording", RecordingConfig)
        register_symbol_source("market", lambda: known_names(settings.ENVIRONMENT.bybit_env))
