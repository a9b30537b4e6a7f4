from django.apps import AppConfig


class FailoverConfig(AppConfig):
    name = "failover"

    def ready(self) -> None:
        from django.conf import settings

        from failover import checks  # noqa: F401  (registers the checks)
        from failover.adapters.config_bus import publish_activation
        from failover.domain.config import SECTIONS
        from failover.domain.logging_config import LoggingConfig
        from failover.services.config_store import on_activation

        SECTIONS.register("logging", LoggingConfig)
        on_activation(
            "bus",
            lambda stored: publish_activation(settings.REDIS_URL, settings.BUS_PREFIX, stored),
        )
