from django.apps import AppConfig

from failover.domain.config import SECTIONS
from strategy.domain.config import RiskConfig
from strategy.domain.config import StrategyConfig as StrategySection


class StrategyConfig(AppConfig):
    name = "strategy"

    def ready(self) -> None:
        SECTIONS.register("strategy", StrategySection)
        SECTIONS.register("risk", RiskConfig)
