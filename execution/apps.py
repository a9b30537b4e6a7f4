from django.apps import AppConfig

from execution.domain.config import ExecutionConfig as ExecutionSection
from failover.domain.config import SECTIONS


class ExecutionConfig(AppConfig):
    name = "execution"

    def ready(self) -> None:
        SECTIONS.register("execution", ExecutionSection)
