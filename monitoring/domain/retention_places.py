"""What a file under the data folder is, told by its path alone.

A place says under which rule the file falls, which files leave together with it (its unit), in which order
the files of a unit leave, and up to when its content goes where the name says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from msgspec import Struct

_DAY_NS = 86_400_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DAY = r"(?P<day>\d{4}-\d{2}-\d{2})"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,160}"
# A line file, packed or not; its index; a tail that a crash cut off; a half-written file of ours.
_FORM = (
    r"(?:(?P<data>\.jsonl(?:\.zst|\.gz)?)|(?P<index>\.index\.json)"
    r"|(?P<aside>\.jsonl(?:\.zst|\.gz)?\.torn-\d+))"
)
_TEMPORARY = re.compile(r"\.(?P<name>.+?)(?:\.[a-z0-9_]{8})?\.(?:tmp|import)")


class Rule(StrEnum):
    """One age of the config each; in the order in which things are deleted."""

    TRADES_LOG = "tradesLogDays"
    ORDERS_LOG = "ordersLogDays"
    EVENTS = "eventsDays"
    QUALITY_LOG = "qualityLogDays"
    REPLAY_SESSIONS = "replaySessionsDays"
    REPLAY_RUNS = "replayRunsDays"
    BACKTESTS = "backtestsDays"
    BENCH = "benchDays"
    JOURNAL = "journalHours"
    RAW_MARKET = "rawMarketDataHours"


FOLDER_OF = {
    Rule.TRADES_LOG: "trades_log",
    Rule.ORDERS_LOG: "orders",
    Rule.EVENTS: "events",
    Rule.QUALITY_LOG: "execution/quality",
    Rule.REPLAY_SESSIONS: "replay/sessions",
    Rule.REPLAY_RUNS: "replay/runs",
    Rule.BACKTESTS: "backtests",
    Rule.BENCH: "bench",
    Rule.JOURNAL: "journal",
    Rule.RAW_MARKET: "market",
}
ARCHIVE_RULES = (Rule.TRADES_LOG, Rule.ORDERS_LOG, Rule.EVENTS, Rule.QUALITY_LOG)
FOLDER_UNITS = (Rule.REPLAY_SESSIONS, Rule.REPLAY_RUNS, Rule.BACKTESTS)
DAY_FOLDERS = (Rule.JOURNAL, Rule.RAW_MARKET)
IMPORT_PREFIX = ".import-"  # of the name of the folder in which an import grows
REMOVED_PREFIX = ".deleted-"  # of the name of a folder that is on its way out


class Role(IntEnum):
    """In the order of leaving: a reader that comes between two steps finds no data without its rules."""

    DATA = 0
    INDEX = 1
    LEFTOVER = 2
    RULES = 3  # of a recorder run: the units of its numbers, and for an import where it came from


class Place(Struct, frozen=True, kw_only=True):
    """`unit`: path without endings, of files that leave together. `end_ns`: None = no day in the name."""

    rule: Rule
    unit: str
    role: Role = Role.DATA
    start_ns: int | None = None
    end_ns: int | None = None


def day_start_ns(day: str) -> int | None:
    """Midnight UTC of `YYYY-MM-DD`, None when there is no such day."""
    try:
        moment = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    if len(day) != len("2026-01-31"):  # strptime also takes 2026-1-31
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def unit_of(path: str) -> str:
    """The path without what packing, indexing and tearing add: what a manifest may name differently."""
    folder, _, name = path.rpartition("/")
    stem = re.sub(rf"{_FORM}$", "", name)
    return f"{folder}/{stem}" if folder else stem


def folder_of(rule: Rule, archive: str = "") -> str:
    """Where its files are. `archive`: folder of the archive in the data folder, empty for the latter."""
    folder = FOLDER_OF[rule]
    return f"{archive}/{folder}" if archive and rule in ARCHIVE_RULES else folder


def place_of(path: str, archive: str = "") -> Place | None:
    """The place of a file by its path relative to the data folder, None for what is not ours."""
    for rule in Rule:
        folder = folder_of(rule, archive)
        if path.startswith(f"{folder}/"):
            return _PLACES[rule](rule, folder, path[len(folder) + 1 :])
    return None


def _day_file(rule: Rule, folder: str, rest: str) -> Place | None:
    return _line_file(rule, folder, rest, rf"day-{_DAY}")


def _event_file(rule: Rule, folder: str, rest: str) -> Place | None:
    return _line_file(rule, folder, rest, rf"[A-Za-z0-9_-]{{1,40}}?(?:-{_DAY})?")


def _market_file(rule: Rule, folder: str, rest: str) -> Place | None:
    day, slash, name = rest.partition("/")
    if re.fullmatch(rf"{re.escape(IMPORT_PREFIX)}{_NAME}", day):
        return Place(rule=rule, unit=f"{folder}/{day}")
    if not slash or "/" in name or (start_ns := day_start_ns(day)) is None:
        return None
    inside, name = f"{folder}/{day}", _final_name(name)
    span = {"start_ns": start_ns, "end_ns": start_ns + _DAY_NS}
    if found := re.fullmatch(rf"(?P<kind>instruments|import)-{_NAME}\.json", name):
        return Place(rule=rule, unit=f"{inside}/{found['kind']}", role=Role.RULES, **span)
    found = re.fullmatch(rf"(?P<stem>[A-Z0-9_-]{{1,40}}-(?:trades|orderbook|ticker)){_FORM}", name)
    if found is None:
        return None
    return Place(rule=rule, unit=f"{inside}/{found['stem']}", role=_role(rest, found), **span)


def _journal_file(rule: Rule, folder: str, rest: str) -> Place | None:
    """Every file of a journal's day: they are read together."""
    day, slash, name = rest.partition("/")
    if not slash or "/" in name or (start_ns := day_start_ns(day)) is None:
        return None
    if not re.fullmatch(rf"(?:market|strategy|execution)-{_NAME}", _final_name(name)):
        return None
    unit = f"{folder}/{day}"
    return Place(rule=rule, unit=unit, start_ns=start_ns, end_ns=start_ns + _DAY_NS)


def _session_file(rule: Rule, folder: str, rest: str) -> Place | None:
    """Columns are made anew beside the old ones; who was killed there leaves them under a hidden name."""
    columns = r"(?:columns|\.columns-[0-9a-f]{8}(?:-old)?)/.+"
    return _folder_file(rule, folder, rest, rf"manifest\.json|events\.(?:jsonl|index).*|{columns}")


def _run_file(rule: Rule, folder: str, rest: str) -> Place | None:
    return _folder_file(rule, folder, rest, r"[a-z_]+\.jsonl(?:\.zst|\.gz)?|[a-z_]+\.json")


def _backtest_file(rule: Rule, folder: str, rest: str) -> Place | None:
    """`trials.jsonl` beside the reports counts what was ever tried and is nobody's to delete."""
    return _folder_file(rule, folder, rest, r"report\.(?:html|json)")


def _bench_file(rule: Rule, folder: str, rest: str) -> Place | None:
    if not re.fullmatch(rf"{_NAME}\.json", rest) or rest == "latest.json":
        return None
    return Place(rule=rule, unit=f"{folder}/{rest}")


def _line_file(rule: Rule, folder: str, rest: str, stem: str) -> Place | None:
    found = re.fullmatch(rf"(?P<stem>{stem}){_FORM}", _final_name(rest))
    if found is None:
        return None
    day, unit = found["day"], f"{folder}/{found['stem']}"
    if day is None:
        return Place(rule=rule, unit=unit, role=_role(rest, found))
    start_ns = day_start_ns(day)
    if start_ns is None:
        return None
    role, end_ns = _role(rest, found), start_ns + _DAY_NS
    return Place(rule=rule, unit=unit, role=role, start_ns=start_ns, end_ns=end_ns)


def _folder_file(rule: Rule, folder: str, rest: str, inside: str) -> Place | None:
    name, slash, inner = rest.partition("/")
    is_named = re.fullmatch(rf"{_NAME}|\.{_NAME}", name) is not None
    head, _, tail = inner.rpartition("/")
    final = f"{head}/{_final_name(tail)}" if head else _final_name(inner)
    if not slash or not is_named or not re.fullmatch(inside, final):
        return None
    return Place(rule=rule, unit=f"{folder}/{name}")


def _final_name(name: str) -> str:
    """The name that a half-written file was to get; other names as they are."""
    found = _TEMPORARY.fullmatch(name)
    return found["name"] if found else name


def _role(name: str, found: re.Match[str]) -> Role:
    if _TEMPORARY.fullmatch(name.rpartition("/")[2]) or found["aside"]:
        return Role.LEFTOVER
    return Role.INDEX if found["index"] else Role.DATA


_PLACES: dict[Rule, Callable[[Rule, str, str], Place | None]] = {
    Rule.TRADES_LOG: _day_file,
    Rule.ORDERS_LOG: _day_file,
    Rule.EVENTS: _event_file,
    Rule.QUALITY_LOG: _day_file,
    Rule.REPLAY_SESSIONS: _session_file,
    Rule.REPLAY_RUNS: _run_file,
    Rule.BACKTESTS: _backtest_file,
    Rule.BENCH: _bench_file,
    Rule.JOURNAL: _journal_file,
    Rule.RAW_MARKET: _market_file,
}
