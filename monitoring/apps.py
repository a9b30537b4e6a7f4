from django.apps import AppConfig

from failover.domain.config import SECTIONS
from monitoring.domain.retention_config import RetentionConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"

    def ready(self) -> None:
        SECTIONS.register("retention", RetentionConfig)
