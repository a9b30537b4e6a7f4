"""What run_all supervises, as data."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One child process. Ending within `settle_s` of its start counts as a failure to start.

    Tiers stop one after the other, the highest first; the services of one tier stop together. Its
    `environment` wins over ours and over `.env`; values without quotes or line ends.
    """

    name: str
    command: tuple[str, ...]
    tier: int = 1
    settle_s: int = 15
    stop_wait_s: int = 11
    environment: dict[str, str] = {}


class SupervisionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The services; all start side by side."""

    services: tuple[ServiceSpec, ...]
    run_dir: Path
    log_dir: Path
    project_dir: Path
    log_bytes: int = 20_000_000
    log_backups: int = 5


def supervisor_config(plan: SupervisionPlan) -> str:
    """The supervisor library's configuration: no control port, a log file per service, rotated.

    A service that ends is started again whatever its exit code, first at once, then after 1, 2, 3, … s.
    """
    parts = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"directory={_literal(plan.project_dir)}",
        f"logfile={_literal(plan.log_dir / 'supervisor.log')}",
        f"logfile_maxbytes={plan.log_bytes}",
        f"logfile_backups={plan.log_backups}",
        f"pidfile={_literal(plan.run_dir / 'supervisor.pid')}",
        f"childlogdir={_literal(plan.log_dir)}",
    ]
    for service in plan.services:
        parts += ["", *_program(plan, service)]
    for tier in sorted({service.tier for service in plan.services}):
        names = [service.name for service in plan.services if service.tier == tier]
        parts += ["", f"[group:tier{tier}]", f"programs={','.join(names)}", f"priority={tier}"]
    return "\n".join(parts) + "\n"


def _program(plan: SupervisionPlan, service: ServiceSpec) -> list[str]:
    own = ",".join(f'{name}="{_literal(value)}"' for name, value in service.environment.items())
    return [
        f"[program:{service.name}]",
        f"command={_command(service.command)}",
        *([f"environment={own}"] if own else []),
        "autorestart=true",
        f"startsecs={service.settle_s}",
        "startretries=1000000000",
        "stopsignal=TERM",
        f"stopwaitsecs={service.stop_wait_s}",
        "killasgroup=true",
        "redirect_stderr=true",
        # this one is expanded twice
        f"stdout_logfile={_literal(_literal(plan.log_dir / (service.name + '.log')))}",
        f"stdout_logfile_maxbytes={plan.log_bytes}",
        f"stdout_logfile_backups={plan.log_backups}",
    ]


def _command(parts: tuple[str, ...]) -> str:
    """Quoted for the library's shell-like splitting; an empty argument stays an argument."""
    return " ".join(
        '"' + _literal(part).replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts
    )


def _literal(value: Path | str) -> str:
    """The library expands %(…)s in values."""
    return str(value).replace("%", "%%")
