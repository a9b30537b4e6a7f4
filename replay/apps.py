from django.apps import AppConfig

from failover.domain.config import SECTIONS
from failover.services.run_mode import register_run_mode_store
from replay.domain.config import ReplayConfig as ReplaySection
from replay.domain.profile_rules import ProfileUpdaterConfig


class ReplayConfig(AppConfig):
    name = "replay"

    def ready(self) -> None:
        SECTIONS.register("profileUpdater", ProfileUpdaterConfig)
        SECTIONS.register("replay", ReplaySection)
        from replay.services.run_mode_rows import RunModeRows  # its models are loaded now

        register_run_mode_store(RunModeRows())
