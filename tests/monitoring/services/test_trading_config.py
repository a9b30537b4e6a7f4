"""The pages measure against the config the strategy decides with, or against none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from failover.models import AuditSource
from failover.services.audit import Actor
from failover.services.config_reader import load_config
from failover.services.config_store import activate, save_version
from monitoring.services.trading_config import limits_in_force

ME = Actor(name="tester", source=AuditSource.CLI)


@pytest.mark.django_db
def test_the_active_version_is_found_by_the_name_of_its_content() -> None:
    document: dict[str, Any] = {
        "risk": {"maxHeatPct": 1.5},
        "execution": {"quality": {"qualityBlock": 33}},
        "symbols": {"BTCUSDT": {"strategy": {"entryScore": 81}}},
    }
    version = save_version(json.dumps(document).encode(), actor=ME)
    activate(version.pk, actor=ME)

    limits = limits_in_force(load_config("active").version)

    assert limits is not None
    assert limits.base is not None
    assert (limits.base["maxHeatPct"], limits.base["qualityBlock"]) == (1.5, 33.0)
    assert limits.of("BTCUSDT") == {**limits.base, "entryScore": 81.0}
    assert limits.of("ETHUSDT") == limits.base


@pytest.mark.django_db
def test_a_version_that_is_not_active_is_found_too() -> None:
    old = save_version(b'{"strategy": {"entryScore": 81}}', actor=ME)
    activate(save_version(b'{"strategy": {"entryScore": 82}}', actor=ME).pk, actor=ME)

    limits = limits_in_force(load_config(f"v{old.pk}").version)

    assert limits is not None
    assert limits.base is not None
    assert limits.base["entryScore"] == 81.0


@pytest.mark.django_db
def test_a_built_in_document_is_found_before_any_version_is_active() -> None:
    limits = limits_in_force(load_config("demo").version)

    assert limits is not None
    assert limits.base is not None
    assert limits.base["entryScore"] == 70.0


@pytest.mark.django_db
def test_of_a_document_that_is_not_at_hand_nothing_is_said() -> None:
    assert limits_in_force("000000000000") is None
