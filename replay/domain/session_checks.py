"""Whether a manifest that came from elsewhere can be a session here: every later reader believes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import msgspec

from market.domain.grid import MAX_UNITS, BadNumber, fraction_of_ten
from market.domain.instruments import Instrument
from replay.domain.replay_status import MAX_SPEED, MIN_SPEED
from replay.domain.sessions import (
    CREATORS,
    FILE_OF_TYPE,
    ReplayManifest,
    is_session_id,
    is_symbol,
    parse_instant,
)

_MOST_INSTRUMENTS = 5_000
_MOST_DECIMALS = 18
_MOST_INT = 1 << 62
_MOST_VERSION = 128


def manifest_problem(manifest: ReplayManifest) -> str:
    """What is wrong with it, in words; empty when it can be taken in."""
    checks: tuple[Callable[[ReplayManifest], str], ...] = (
        _bad_times,
        _bad_words,
        _bad_numbers,
        _bad_instruments,
    )
    return next((problem for check in checks if (problem := check(manifest))), "")


def _bad_times(manifest: ReplayManifest) -> str:
    source = manifest.source_date_range
    times = {"createdAt": manifest.created_at, "from": source.from_, "to": source.to}
    for name, text in times.items():
        try:
            parse_instant(text)
            has_zone = datetime.fromisoformat(text).tzinfo is not None
        except (ValueError, OverflowError):
            has_zone = False
        if not has_zone:
            return f"{name} {text[:40]!r} is no ISO-8601 time with its zone"
    return "" if manifest.from_ns < manifest.to_ns else "to is not after from"


def _bad_words(manifest: ReplayManifest) -> str:
    if manifest.created_by not in CREATORS:
        return f"createdBy is not one of {', '.join(CREATORS)}"
    if len(manifest.config_version) > _MOST_VERSION:
        return f"configVersion is longer than {_MOST_VERSION} characters"
    if any(name not in FILE_OF_TYPE for name in manifest.event_types):
        return "eventTypes has an unknown one"
    if any(not is_session_id(each.recorder_run) for each in manifest.recorder_runs):
        return "recorderRuns has a name that is none"
    # A database of text holds every character but this one.
    return "a text holds a NUL" if b"\\u0000" in msgspec.json.encode(manifest) else ""


def _bad_numbers(manifest: ReplayManifest) -> str:
    if not MIN_SPEED <= manifest.speed_factor <= MAX_SPEED:
        return f"speedFactor is not between {MIN_SPEED:g} and {MAX_SPEED:g}"
    if abs(manifest.exchange_ahead_ns) > _MOST_INT:
        return "exchangeAheadNs is out of range"
    return ""


def _bad_instruments(manifest: ReplayManifest) -> str:
    names = [each.symbol for each in manifest.instruments]
    if not 0 < len(names) <= _MOST_INSTRUMENTS:
        return f"it has {len(names)} instruments"
    if len(set(names)) < len(names) or set(names) != set(manifest.symbols):
        return "symbols and instruments are not the same, each once"
    if not all(map(is_symbol, names)):
        return "symbols has a name that is none"
    return next((why for each in manifest.instruments if (why := _bad_rules(each))), "")


def _bad_rules(rules: Instrument) -> str:
    for unit in (rules.tick_size, rules.qty_step):
        try:
            numerator, decimals = fraction_of_ten(unit)
        except (BadNumber, ArithmeticError):
            return f"{rules.symbol}: {unit} is no unit"
        if numerator > MAX_UNITS or decimals > _MOST_DECIMALS:
            return f"{rules.symbol}: {unit} is no unit of a market"
    figures = [getattr(rules, name) for name in Instrument.__struct_fields__]
    if any(isinstance(each, Decimal) and not _is_figure(each) for each in figures):
        return f"{rules.symbol}: a limit is no number of a market"
    if not 0 <= rules.price_scale <= _MOST_DECIMALS or not 0 <= rules.funding_interval_min < 10**6:
        return f"{rules.symbol}: priceScale or fundingIntervalMin is out of range"
    return ""


def _is_figure(value: Decimal) -> bool:
    return value.is_finite() and value >= 0 and value.adjusted() < 40
