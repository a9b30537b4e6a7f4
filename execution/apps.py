from django.apps import AppConfig

from execution.domain.config import ExecutionConfig as ExecutionSection
from execution.domain.config_checks import (
    entries_outlast_latency,
    fees_agree,
    quotes_outlast_frames,
    some_entry_fits,
    tiers_agree,
)
from failover.domain.config import SECTIONS


class ExecutionConfig(AppConfig):
    name = "execution"

    def ready(self) -> None:
        SECTIONS.register("execution", ExecutionSection, per_symbol=True)
        SECTIONS.add_check(("risk", "execution"), fees_agree)
        SECTIONS.add_check(("risk", "execution"), tiers_agree)
        SECTIONS.add_check(("risk", "execution"), some_entry_fits)
        SECTIONS.add_check(("market", "execution"), quotes_outlast_frames)
        SECTIONS.add_check(("strategy", "execution"), entries_outlast_latency)
