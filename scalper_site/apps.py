from django.apps import AppConfig


class ScalperSiteConfig(AppConfig):
    name = "scalper_site"

    def ready(self) -> None:
        from scalper_site import checks  # noqa: F401  (registers the checks)
