"""The environment is read strictly, once, and what is wrong is said by system checks with stable ids."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from django.core.checks import CheckMessage

from scalper_site.checks import check_environment
from scalper_site.env import Environment, load_environment, read_environment

STRONG_KEY = "k9#" + "aB3$xY7!qW" * 6


def checks_for(settings: object, **variables: str) -> list[CheckMessage]:
    environment, problems = read_environment(variables)
    settings.ENVIRONMENT = environment  # type: ignore[attr-defined]
    settings.ENVIRONMENT_PROBLEMS = problems  # type: ignore[attr-defined]
    return check_environment(None)


def test_an_empty_environment_is_a_working_development_setup(settings: object) -> None:
    assert checks_for(settings) == []
    assert read_environment({})[0] == Environment()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEBUG", "maybe"),
        ("WEB_PORT", "http"),
        ("WEB_PORT", "70000"),
        ("EXECUTION_MODE", "live"),
        ("BYBIT_ENV", "MAINNETT"),
        ("LOG_LEVEL", "chatty"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "postgres://user:hunter2@host:port/name"),
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "redis://:hunter2@host:port"),
    ],
)
def test_a_bad_value_is_e001_and_names_its_variable(
    settings: object, variable: str, value: str
) -> None:
    [error] = checks_for(settings, **{variable: value})

    assert error.id == "scalper_site.E001"
    assert variable in error.msg
    assert value not in error.msg, "the value may be a secret in the wrong place"
    assert error.hint


def test_two_wrong_variables_are_reported_together(settings: object) -> None:
    errors = checks_for(settings, DEBUG="maybe", WEB_PORT="0")

    assert {e.msg.split(":")[0] for e in errors} == {"DEBUG", "WEB_PORT"}


@pytest.mark.parametrize("key", ["", "short", "a" * 80, "django-insecure-" + "aB3$xY7!qW" * 6])
def test_production_refuses_a_weak_secret_key_as_e002(settings: object, key: str) -> None:
    errors = checks_for(settings, SCALPER_ENV="production", SECRET_KEY=key)

    assert [e.id for e in errors] == ["scalper_site.E002"]
    assert not key or key not in f"{errors[0].msg}{errors[0].hint}"


def test_production_with_strong_settings_is_clean(settings: object) -> None:
    assert checks_for(settings, SCALPER_ENV="production", SECRET_KEY=STRONG_KEY) == []


def test_debug_in_production_is_e003(settings: object) -> None:
    errors = checks_for(settings, SCALPER_ENV="production", SECRET_KEY=STRONG_KEY, DEBUG="true")

    assert [e.id for e in errors] == ["scalper_site.E003"]


def test_any_host_in_production_is_e004(settings: object) -> None:
    errors = checks_for(
        settings, SCALPER_ENV="production", SECRET_KEY=STRONG_KEY, ALLOWED_HOSTS="*"
    )

    assert [e.id for e in errors] == ["scalper_site.E004"]


def test_live_orders_never_point_at_the_local_exchange(settings: object) -> None:
    errors = checks_for(
        settings,
        SCALPER_ENV="production",
        SECRET_KEY=STRONG_KEY,
        EXECUTION_MODE="LIVE",
        BYBIT_API_KEY="k",
        BYBIT_API_SECRET="s",
    )

    assert [e.id for e in errors] == ["scalper_site.E005"]


@pytest.mark.parametrize("mode", ["LIVE", "DRY_RUN"])
def test_an_account_mode_without_keys_is_e006(settings: object, mode: str) -> None:
    errors = checks_for(settings, EXECUTION_MODE=mode, BYBIT_ENV="TESTNET")

    assert [e.id for e in errors] == ["scalper_site.E006"]


def test_a_service_from_which_the_keys_are_kept_needs_none(settings: object) -> None:
    assert (
        checks_for(settings, EXECUTION_MODE="LIVE", BYBIT_ENV="TESTNET", HOLDS_ACCOUNT="false")
        == []
    )


def test_the_owners_older_names_are_accepted() -> None:
    environment, problems = read_environment(
        {"BYBIT_NETWORK": "testnet", "EXECUTION_DRY_RUN": "true"}
    )

    assert (environment.bybit_env, environment.execution_mode) == ("TESTNET", "DRY_RUN")
    assert problems == []


@pytest.mark.parametrize(
    "variables",
    [
        {"BYBIT_NETWORK": "testnet", "BYBIT_ENV": "MAINNET"},
        {"EXECUTION_DRY_RUN": "true", "EXECUTION_MODE": "LIVE"},
        {"EXECUTION_DRY_RUN": "false", "EXECUTION_MODE": "DRY_RUN"},
    ],
)
def test_a_contradiction_between_old_and_new_name_is_refused(
    settings: object, variables: dict[str, str]
) -> None:
    errors = checks_for(settings, BYBIT_API_KEY="k", BYBIT_API_SECRET="s", **variables)

    assert [e.id for e in errors] == ["scalper_site.E001"]
    assert "contradicts" in errors[0].msg


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from-a-file\n", encoding="utf-8")

    environment, problems = read_environment({"BYBIT_API_SECRET_FILE": str(path)})

    assert environment.bybit_api_secret == "from-a-file"
    assert problems == []


def test_a_secret_file_that_is_missing_is_said(settings: object, tmp_path: Path) -> None:
    [error] = checks_for(settings, SECRET_KEY_FILE=str(tmp_path / "gone"))

    assert "SECRET_KEY_FILE" in error.msg


def test_the_process_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("WEB_PORT=9000\nLOG_LEVEL=debug\n", encoding="utf-8")

    environment, _ = load_environment({"WEB_PORT": "9001"}, path)

    assert (environment.web_port, environment.log_level) == (9001, "debug")


def test_the_example_file_names_every_variable_and_is_valid() -> None:
    example = Path(__file__).parents[2] / ".env.example"

    environment, problems = load_environment({}, example)

    text = example.read_text(encoding="utf-8")
    named = {line.split("=")[0] for line in text.splitlines() if "=" in line and line[0] != "#"}
    variables = {field.name.upper() for field in msgspec.structs.fields(Environment)}
    assert problems == []
    assert environment == Environment()
    assert named == variables


def test_a_data_folder_that_cannot_be_made_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    variables = {"DATA_DIR": str(tmp_path / "file"), "SECRET_KEY": "", "ENV_FILE": os.devnull}

    end = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert end.returncode == 1
    assert "DATA_DIR: " in end.stderr
    assert "Traceback" not in end.stderr
