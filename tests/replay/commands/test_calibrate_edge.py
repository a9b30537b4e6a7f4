"""`manage.py calibrate_edge`: from a recording to evidence, and to a proposed version where there is any."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from execution.domain.synthetic_instruments import synthetic_instruments
from execution.domain.synthetic_market import synthetic_chunks
from failover.domain.config import load_document
from failover.models import AuditSource, ConfigVersion
from failover.services.audit import Actor
from failover.services.config_store import activate, save_version
from market.domain.raw_events import RawEventEncoder

SYMBOL = "SYN01USDT"
SECONDS = 800
ALMOST_FREE = {
    "market": {"warmupS": 30},
    "strategy": {"takerSlippageBps": 0.0, "feeMultiple": 1.0, "assumedHitRate": 1.0},
    "risk": {"makerFeeBps": 0.05, "takerFeeBps": 0.05},
    "execution": {"makerFeeBps": 0.05, "takerFeeBps": 0.05},
    "symbols": {SYMBOL: {"strategy": {"entryScore": 72.0}}},
}


@pytest.fixture(scope="session")  # tests with a database run first: a module would make it twice
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 minutes of a predictable synthetic symbol, as the recorder writes them."""
    folder = tmp_path_factory.mktemp("market")
    day = folder / "2025-11-18"
    day.mkdir()
    instruments = synthetic_instruments((SYMBOL,))
    (day / "instruments-run1.json").write_bytes(msgspec.json.encode(instruments))
    encoder = RawEventEncoder(instruments, "run1")
    lines: dict[str, list[str]] = {}
    for chunk in synthetic_chunks(5, SECONDS, (SYMBOL,), 2.0, rate_multiplier=0.4):
        for symbol, kind, line in encoder.lines(chunk):
            lines.setdefault(f"{symbol}-{kind}.jsonl", []).append(line + "\n")
    for name, own in lines.items():
        (day / name).write_text("".join(own))
    return folder


@pytest.fixture(scope="module")
def almost_free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "almost-free.json"
    path.write_bytes(msgspec.json.encode(ALMOST_FREE))
    return path


def calibrated(*arguments: object) -> str:
    out = io.StringIO()
    options = ("--horizons", "5", "--resamples", "400")
    call_command("calibrate_edge", *map(str, arguments), *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_an_edge_after_cost_becomes_a_proposed_version_that_carries_its_evidence(
    recording: Path, almost_free: Path, tmp_path: Path
) -> None:
    """Without --config it is made from what is active."""
    out, actor = tmp_path / "found.json", Actor(name="test", source=AuditSource.CLI)
    active = save_version(almost_free.read_bytes(), actor=actor)
    activate(active.pk, actor=actor)

    text = calibrated(recording, "--propose", "--out", out)

    assert f"{SYMBOL}: edge after cost at" in text
    version = ConfigVersion.objects.get(author="calibrate_edge")
    assert version.parent == active
    assert f"proposed as config version {version.pk}" in text
    assert version.status == "PROPOSED"
    document, errors = load_document(version.document.encode())
    assert not errors
    assert document is not None
    own = document.for_symbol(SYMBOL)["strategy"]
    evidence: dict[str, Any] = version.evidence
    (symbol,) = evidence["symbols"]
    assert own.edge_coef == symbol["found"]["edgeCoef"] > 0
    assert own.horizon_s == symbol["found"]["horizonS"]
    assert own.weights.imb20 == symbol["found"]["weights"]["imb20"]
    assert own.entry_score == 72.0
    assert document["strategy"].edge_coef != own.edge_coef
    assert {"path", "bytes", "sha256"} == set(evidence["files"][0])
    assert evidence["settings"]["seed"] == 1
    assert evidence["spans"][SYMBOL]["from"].startswith("2025-11-18T00:00:00")
    horizon = symbol["horizons"][0]
    assert horizon["informationCoefficient"]["low"] > 0
    assert len(horizon["folds"]) == 5
    assert horizon["samples"] > 900
    written = json.loads(out.read_text())
    assert written["proposal"]["symbols"][SYMBOL]["strategy"]["edgeCoef"] == own.edge_coef
    profile, errors = load_document((tmp_path / "found-profile.json").read_bytes())
    assert not errors
    assert profile is not None
    assert profile.version == document.version


@pytest.mark.django_db
def test_without_an_edge_after_cost_nothing_is_proposed(recording: Path, tmp_path: Path) -> None:
    """The same market at real fees: the score tells the move, but the move does not pay."""
    out = tmp_path / "none.json"

    text = calibrated(recording, "--warmup", 30, "--propose", "--out", out)

    assert f"{SYMBOL}: no edge after cost is shown" in text
    assert "nothing is proposed" in text
    written = json.loads(out.read_text())
    assert written["proposal"] is None
    assert written["report"]["symbols"][0]["horizons"][0]["informationCoefficient"]["low"] > 0
    assert not (tmp_path / "none-profile.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-file"], "no such file or folder"),
        (["{recording}", "--symbol", "NOPEUSDT"], "NOPEUSDT"),
        (["{recording}", "--folds", "1"], "folds"),
        (["{recording}", "--embargo", "-1"], "embargoS"),
        (["{recording}", "--horizons", "0.3"], "not a multiple of --step-ms"),
        (["{recording}", "--horizons", "0"], "horizonsS"),
        (["{recording}", "--horizons", "soon"], "no list of different seconds"),
        (["{recording}", "--step-ms", "250", "--horizons", "1"], "not a multiple of the frames'"),
        (["{recording}", "--config", "no-such-profile"], "no-such-profile"),
        (["{recording}", "--warmup", "0"], "--warmup"),
        (["{recording}", "--out", "{recording}"], "exists; name a new file"),
        (["{recording}", "--out", "{recording}/no/report.json"], "no such folder"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(
    recording: Path, arguments: list[str], complaint: str
) -> None:
    """A CommandError is what ends the process with exit code 1 and one line."""
    filled = [argument.format(recording=recording) for argument in arguments]

    with pytest.raises(CommandError) as refused:
        call_command("calibrate_edge", *filled, stdout=io.StringIO())

    assert complaint in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert refused.value.returncode == 1


def test_a_profile_of_an_earlier_calibration_is_not_overwritten(
    recording: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "found-profile.json"
    profile.write_text("{}")

    with pytest.raises(CommandError, match=r"found-profile\.json: exists; name a new file"):
        calibrated(recording, "--out", tmp_path / "found.json")

    assert profile.read_text() == "{}"


@pytest.mark.shared_data
def test_real_recordings_show_no_edge_after_cost_and_are_named_by_their_content(
    shared: Path, tmp_path: Path
) -> None:
    """Eight and a half minutes of BTCUSDT: the next second can be told, but it does not pay."""
    folder, out = shared / "data" / "l2" / "binance_usdm_20230404", tmp_path / "real.json"
    names = ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz")

    call_command(
        "calibrate_edge", *(str(folder / name) for name in names), "--warmup", "60",
        "--horizons", "1", "--config", "default", "--out", str(out), stdout=io.StringIO(),
    )  # fmt: skip

    written = json.loads(out.read_text())
    (symbol,) = written["report"]["symbols"]
    (horizon,) = symbol["horizons"]
    assert written["proposal"] is None
    assert horizon["informationCoefficient"]["low"] > 0.1
    assert horizon["strongest"]["realisedBps"] < horizon["strongest"]["costBps"]
    sums = (shared / "data" / "SHA256SUMS").read_text()
    for file, name in zip(written["report"]["files"], names, strict=True):
        assert file["path"].endswith(name)
        assert file["sha256"] in sums
