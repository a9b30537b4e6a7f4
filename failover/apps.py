from django.apps import AppConfig


class FailoverConfig(AppConfig):
    name = "failover"

    def ready(self) -> None:
        from failover import checks  # noqa: F401  (registers the checks)
