from django.apps import AppConfig

from failover.domain.config import SECTIONS
from market.domain.config import MarketConfig as MarketSection


class MarketConfig(AppConfig):
    name = "market"

    def ready(self) -> None:
        SECTIONS.register("market", MarketSection)
