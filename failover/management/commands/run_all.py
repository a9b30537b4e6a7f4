"""`manage.py run_all`: the whole system as supervised child processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from failover.domain.config_versions import use_stored
from failover.domain.supervision import ServiceSpec, SupervisionPlan
from failover.management.base import ProvenCommand
from failover.services.admin_user import BadPasswordHash, ensure_admin
from failover.services.config_files import load_named
from failover.services.config_store import ensure_first_version
from failover.services.first_compile import forget_locks, start_compiling
from failover.services.run_lock import AlreadyRunning, PortTaken, require_free_port, sole_run
from failover.services.supervision import ReadyWatch, supervise
from failover.services.valkey import ValkeyFailed, guarded, make_private_folder, valkey_command


class Command(ProvenCommand):
    help = "Run every service as a supervised child process until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only", default="", help="comma-separated services instead of all of them"
        )

    def handle(self, *, only: str, **options: Any) -> None:
        services = self._chosen(only)
        try:
            make_private_folder(settings.RUN_DIR)
        except ValkeyFailed as error:
            raise CommandError(str(error)) from error
        try:
            with sole_run(settings.RUN_DIR / "run_all.lock"), self._compiling(services):
                self.prove_environment()
                self._run(services)
        except AlreadyRunning as error:
            raise CommandError(
                f"run_all already runs on {settings.DATA_DIR} (pid {error}): stop it first, or set DATA_DIR"
            ) from error

    @contextlib.contextmanager
    def _compiling(self, services: dict[str, tuple[int, str]]) -> Iterator[None]:
        """At a first start the kernels are compiled from the first moment on, each once."""
        lines = [
            {name: function for name, function in line.items() if name in services}
            for line in settings.FIRST_COMPILES
        ]
        compilers = start_compiling(settings.RUN_DIR, lines, settings.BASE_DIR)
        try:
            yield
        finally:
            for compiler in compilers:
                compiler.terminate()
                compiler.wait()
            for line in lines:
                forget_locks(settings.RUN_DIR, line)

    def _run(self, services: dict[str, tuple[int, str]]) -> None:
        self._require_ports(services)
        self._prepare_database()
        plan = SupervisionPlan(
            services=(*_valkey(), *(_service(name, *each) for name, each in services.items())),
            run_dir=settings.RUN_DIR,
            log_dir=settings.DATA_DIR / "logs",
            project_dir=settings.BASE_DIR,
        )
        self._say(f"Starting {', '.join(each.name for each in plan.services)}")
        environment = settings.ENVIRONMENT
        page = ReadyWatch(environment.web_host, environment.web_port, "/healthz", self._ready)
        try:
            supervise(
                plan, say=self._say, on_turn=page.check if "dashboard" in services else _nothing
            )
        finally:
            # Only what this run started: a refused second run must not cut the first one's bus.
            settings.VALKEY_SOCKET.unlink(missing_ok=True)
        self._say("Stopped")

    def _chosen(self, only: str) -> dict[str, tuple[int, str]]:
        services: dict[str, tuple[int, str]] = settings.SUPERVISED_SERVICES
        names = [name.strip() for name in only.split(",") if name.strip()]
        if unknown := [name for name in names if name not in services]:
            raise CommandError(
                f"--only: {', '.join(unknown)} is no service here; there are {', '.join(services)}"
            )
        chosen = {name: each for name, each in services.items() if not names or name in names}
        if missing := [command for _, command in chosen.values() if command not in get_commands()]:
            raise CommandError(f"no such command: {', '.join(missing)}")
        return chosen

    def _require_ports(self, services: dict[str, tuple[int, str]]) -> None:
        listeners = {"WEB": "dashboard", "EXCHANGE": "exchange"}
        for variable, (host, port) in settings.LISTENING_PORTS.items():
            if listeners.get(variable) not in services:
                continue
            try:
                require_free_port(host, port)
            except PortTaken as error:
                raise CommandError(
                    f"{host}:{port} cannot be used ({error}): stop what listens there, "
                    f"or set {variable}_HOST and {variable}_PORT"
                ) from error

    def _prepare_database(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        environment = settings.ENVIRONMENT
        try:
            password = ensure_admin(environment.admin_username, environment.admin_password_hash)
        except BadPasswordHash as error:
            raise CommandError(f"ADMIN_PASSWORD_HASH: {error}") from error
        if password is not None:
            self._say(
                f"Administrator {environment.admin_username}, password {password}\n"
                "  (shown this once; `manage.py changepassword` sets another)"
            )
        self._prepare_config()
        connections.close_all()

    def _prepare_config(self) -> None:
        """Before the services start, so that all of them start on the same version."""
        name = settings.ENVIRONMENT.trading_config
        stored = ensure_first_version(name, settings.TRADING_PROFILES_DIR)
        active = use_stored(stored)
        self._say(f"Trading config: version {stored.number}")
        if active.is_invalid:
            self._say(active.problem)
        elif load_named(name, settings.TRADING_PROFILES_DIR).version != active.document.version:
            self._say(
                f"  TRADING_CONFIG={name} says something else and is read at the first start only; "
                f"`manage.py import_config {name} --activate` would make it active"
            )

    def _ready(self) -> None:
        environment = settings.ENVIRONMENT
        host = "localhost" if environment.web_host in ("0.0.0.0", "::") else environment.web_host  # noqa: S104
        self._say(f"Dashboard: http://{host}:{environment.web_port}/")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _service(name: str, tier: int, command: str) -> ServiceSpec:
    manage = str(settings.BASE_DIR / "manage.py")
    return ServiceSpec(
        name=name,
        tier=tier,
        command=tuple(guarded([sys.executable, manage, command])),
        environment={} if name in settings.ACCOUNT_SERVICES else settings.WITHOUT_ACCOUNT,
    )


def _valkey() -> tuple[ServiceSpec, ...]:
    if settings.ENVIRONMENT.redis_url:
        return ()
    server = valkey_command(settings.VALKEY_SOCKET, max_memory=settings.VALKEY_MAX_MEMORY)
    return (ServiceSpec(name="valkey", tier=0, command=tuple(guarded(server)), settle_s=1),)


def _nothing() -> None:
    """No dashboard to wait for."""
