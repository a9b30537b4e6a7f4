from django.apps import AppConfig
from django.conf import settings

from failover.domain.config import SECTIONS
from strategy.domain.config import RiskConfig
from strategy.domain.config import StrategyConfig as StrategySection
from strategy.domain.config_checks import (
    scorer_is_to_be_had,
    stop_within_the_day,
    waits_outlast_frames,
)
from strategy.domain.plan_checks import ladder_fits_risk, ladder_pays_its_fees
from strategy.domain.scorer import SCORERS
from strategy.services.scorers import AllowedScorers


class StrategyConfig(AppConfig):
    name = "strategy"

    def ready(self) -> None:
        from strategy import checks  # noqa: F401  (registers the system checks)

        SCORERS.use(AllowedScorers(settings.SCORER_PACKAGES))
        SECTIONS.register("strategy", StrategySection, per_symbol=True)
        SECTIONS.register("risk", RiskConfig, per_symbol=True)
        SECTIONS.add_check(("risk",), stop_within_the_day)
        SECTIONS.add_check(("strategy", "risk"), ladder_fits_risk)
        SECTIONS.add_check(("strategy", "risk"), ladder_pays_its_fees)
        SECTIONS.add_check(("strategy",), scorer_is_to_be_had)
        SECTIONS.add_check(("market", "strategy"), waits_outlast_frames)
