from django.apps import AppConfig

from failover.domain.config import SECTIONS
from strategy.domain.config import RiskConfig
from strategy.domain.config import StrategyConfig as StrategySection
from strategy.domain.config_checks import stop_within_the_day, waits_outlast_frames


class StrategyConfig(AppConfig):
    name = "strategy"

    def ready(self) -> None:
        SECTIONS.register("strategy", StrategySection, per_symbol=True)
        SECTIONS.register("risk", RiskConfig, per_symbol=True)
        SECTIONS.add_check(("risk",), stop_within_the_day)
        SECTIONS.add_check(("market", "strategy"), waits_outlast_frames)
