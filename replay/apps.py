from django.apps import AppConfig

from failover.domain.config import SECTIONS
from replay.domain.config import ReplayConfig as ReplaySection
from replay.domain.profile_rules import ProfileUpdaterConfig


class ReplayConfig(AppConfig):
    name = "replay"

    def ready(self) -> None:
        SECTIONS.register("profileUpdater", ProfileUpdaterConfig)
        SECTIONS.register("replay", ReplaySection)
