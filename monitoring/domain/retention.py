"""What of the data folder may go: a pure decision over a listing (phase 12 §9).

A file is deleted only when its place is known, its age is over, and nothing needs it. What is not understood
stays and is told: odd names, links, a session whose manifest cannot be read, a rule whose needs could not
be asked. Each step of the plan is safe to stop after: the next run goes on where this one ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from failover.domain.days import iso_ms
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_places import (
    DAY_FOLDERS,
    FOLDER_OF,
    FOLDER_UNITS,
    IMPORT_PREFIX,
    REMOVED_PREFIX,
    Place,
    Role,
    Rule,
    day_start_ns,
    place_of,
    unit_of,
)
from monitoring.domain.retention_plan import (
    Found,
    Kept,
    Listing,
    Needs,
    RetentionPlan,
    Step,
)

_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS


class _Unit(Struct):
    """Files that leave together."""

    rule: Rule
    name: str
    files: list[tuple[Found, Place]]
    foreign: list[Found]

    @property
    def is_folder(self) -> bool:
        return self.rule in FOLDER_UNITS or self.base_name.startswith(IMPORT_PREFIX)

    @property
    def base_name(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def newest_ns(self) -> int:
        """Up to when its content goes: by its name's day, and by its last change within that day."""
        return max(_newest_ns(found, place) for found, place in self.files)


def decide(listing: Listing, needs: Needs, config: RetentionConfig, now_ns: int) -> RetentionPlan:
    """Which files go, in which order, and why each of the others stays."""
    return _Decision(listing, needs, config, now_ns).plan()


def _unread_needs(listing: Listing) -> dict[Rule, str]:
    """Rules any file of which a session may need whose manifest does not say which."""
    for session_id, facts in listing.sessions.items():
        if facts is None:
            why = f"what session {session_id} was made of is not known: its manifest cannot be read"
            return dict.fromkeys((Rule.JOURNAL, Rule.RAW_MARKET), why)
    return {}


class _Decision:
    def __init__(
        self, listing: Listing, needs: Needs, config: RetentionConfig, now_ns: int
    ) -> None:
        self._listing = listing
        self._needs = needs
        self._unknown = {**_unread_needs(listing), **needs.unknown}
        self._config = config
        self._now_ns = now_ns
        self._today_ns = now_ns // _DAY_NS * _DAY_NS
        self._steps: list[Step] = []
        self._kept: list[Kept] = []
        self._needed_units = {unit_of(path): who for path, who in needs.paths.items()}
        self._needed_folders = dict(needs.paths)
        self._journal_spans: list[tuple[int, int, str]] = []
        self._kept_journal_days: set[str] = set()
        self._newest_order_log = ""
        self._imported_until_ns = self._imported_days()

    def plan(self) -> RetentionPlan:
        units = self._units()
        logs = [
            unit.name for unit in units[Rule.ORDERS_LOG] if any(f.size_bytes for f, _ in unit.files)
        ]
        self._newest_order_log = max(logs, default="")
        for rule in Rule:  # sessions before journals before recordings: the former need the latter
            rules_of_day: list[_Unit] = []
            for unit in units[rule]:
                if unit.files[0][1].role is Role.RULES:
                    rules_of_day.append(unit)
                else:
                    self._judge(unit)
            for unit in rules_of_day:
                self._judge_rules(unit)
        return RetentionPlan(
            steps=tuple(self._steps),
            kept=tuple(sorted(self._kept, key=lambda kept: kept.path)),
            empty_folders=self._folders_to_remove(),
        )

    # --- units

    def _units(self) -> Mapping[Rule, Sequence[_Unit]]:
        """Units of each rule by name; what is foreign stays at once, or with the folder it lies in."""
        units: dict[str, _Unit] = {}
        homeless: list[Found] = []
        for found in sorted(self._listing.files, key=lambda found: found.path):
            place = None if found.is_link else place_of(found.path, self._listing.archive)
            if place is None:
                homeless.append(found)
                continue
            unit = units.setdefault(
                place.unit, _Unit(rule=place.rule, name=place.unit, files=[], foreign=[])
            )
            unit.files.append((found, place))
        for found in homeless:
            owner = units.get("/".join(found.path.split("/")[:3]))
            if owner is None:
                owner = units.get("/".join(found.path.split("/")[:2]))
            if owner is not None and owner.is_folder:
                owner.foreign.append(found)
            why = "a link or no plain file" if found.is_link else "not one of ours"
            self._keep([found], f"{why}: never touched", is_foreign=True)
        by_rule: dict[Rule, list[_Unit]] = defaultdict(list)
        for unit in units.values():
            by_rule[unit.rule].append(unit)
        return by_rule

    def _judge(self, unit: _Unit) -> None:
        is_leftover = unit.is_folder and unit.base_name.startswith(REMOVED_PREFIX)
        if is_leftover and not unit.foreign:
            self._delete(unit, "what an interrupted removal left")
            return
        reason = self._needed(unit) or self._too_young(unit)
        if not reason:
            self._delete(unit, self._age_text(unit.rule))
            return
        self._keep([found for found, _ in unit.files], reason)
        self._remember_needs_of(unit)

    def _judge_rules(self, unit: _Unit) -> None:
        """Trading rules of a day go when nothing else of the day stays."""
        folder = unit.name.rpartition("/")[0]
        stays = next((k.path for k in self._kept if k.path.startswith(f"{folder}/")), None)
        if stays is not None:
            self._keep([found for found, _ in unit.files], f"{stays} is read with it")
        else:
            self._judge(unit)

    def _imported_days(self) -> Mapping[str, int]:
        """Until when the recordings of a day stay because somebody imported some of them."""
        age_ns, until_ns = self._config.imported_market_data_days * _DAY_NS, dict[str, int]()
        for found in self._listing.files:
            top, _, rest = found.path.partition("/")
            day, _, name = rest.partition("/")
            is_import = name.startswith("import-") or day.startswith(IMPORT_PREFIX)
            if is_import and top == FOLDER_OF[Rule.RAW_MARKET]:
                until_ns[day] = max(until_ns.get(day, 0), found.modified_ns + age_ns)
        return until_ns

    # --- what keeps a unit

    def _needed(self, unit: _Unit) -> str:
        """Why it must stay whatever its age; empty when nothing needs it."""
        if unit.rule in self._unknown:
            return f"kept: {self._unknown[unit.rule]}"
        if any(found.has_writer for found, _ in unit.files):
            return "open for writing"
        if unit.foreign:
            return f"{unit.foreign[0].path} in it is not one of ours"
        if (who := self._who_needs(unit)) is not None:
            return f"needed by {who}"
        if unit.rule is Rule.ORDERS_LOG:
            return self._order_log_need(unit)
        return ""

    def _who_needs(self, unit: _Unit) -> str | None:
        if (who := self._needed_units.get(unit.name)) is not None:
            return who
        for path in [unit.name, *(found.path for found, _ in unit.files)]:
            for folder in _folders_of(path):
                if (who := self._needed_folders.get(folder)) is not None:
                    return who
        # a claim on one file of a unit that is a folder keeps the folder
        if unit.is_folder or unit.rule is Rule.JOURNAL:
            inside = f"{unit.name}/"
            return next((w for p, w in self._needs.paths.items() if p.startswith(inside)), None)
        return None

    def _order_log_need(self, unit: _Unit) -> str:
        """The newest log carries the numbering on; open orders and positions need theirs from the start."""
        since_ns, end_ns = self._needs.order_log_since_ns, unit.files[0][1].end_ns
        if unit.name == self._newest_order_log:
            return "the newest order log: its numbering goes on"
        if since_ns is not None and end_ns is not None and end_ns > since_ns:
            return f"needed by what is open since {iso_ms(since_ns)}"
        return ""

    def _too_young(self, unit: _Unit) -> str:
        """Why its age does not let it go; empty when it is old enough."""
        if unit.rule is Rule.REPLAY_SESSIONS:
            return self._session_too_young(unit)
        end_ns = unit.files[0][1].end_ns
        if end_ns is not None and end_ns > self._today_ns:
            return "of today" if end_ns == self._today_ns + _DAY_NS else "of a day to come"
        if unit.rule is Rule.JOURNAL and (who := self._session_over(unit)):
            return who
        if unit.rule is Rule.RAW_MARKET and unit.name.split("/")[1] in self._kept_journal_days:
            return "needed by the journal of its day"
        until_ns = unit.newest_ns + self._age_ns(unit.rule)
        if unit.rule is Rule.RAW_MARKET and unit.name.split("/")[1] in self._imported_until_ns:
            imported_ns = self._imported_until_ns[unit.name.split("/")[1]]
            if imported_ns > max(until_ns, self._now_ns):
                return f"imported: until {iso_ms(imported_ns)} (importedMarketDataDays)"
        return "" if until_ns <= self._now_ns else f"until {iso_ms(until_ns)} ({unit.rule})"

    def _session_too_young(self, unit: _Unit) -> str:
        session_id = unit.base_name
        facts = self._listing.sessions.get(session_id)
        if facts is not None:
            until_ns = max(
                facts.to_ns + self._age_ns(Rule.REPLAY_SESSIONS),
                facts.created_ns + self._config.new_sessions_days * _DAY_NS,
            )
        elif session_id in self._listing.sessions:
            return "its manifest cannot be read"
        else:  # being built, or left by a build that failed
            until_ns = unit.newest_ns + self._age_ns(Rule.REPLAY_SESSIONS)
        return "" if until_ns <= self._now_ns else f"until {iso_ms(until_ns)} ({unit.rule})"

    def _session_over(self, unit: _Unit) -> str:
        place = unit.files[0][1]
        for from_ns, to_ns, who in self._journal_spans:
            if (place.start_ns or 0) <= to_ns and from_ns < (place.end_ns or 0):
                return f"needed by {who}"
        return ""

    def _remember_needs_of(self, unit: _Unit) -> None:
        if unit.rule is Rule.REPLAY_SESSIONS:
            session_id = unit.base_name
            facts = self._listing.sessions.get(session_id)
            if facts is not None:
                who = f"session {session_id}"
                self._journal_spans.append((facts.from_ns, facts.to_ns, who))
                self._needed_units |= {unit_of(path): who for path in facts.files}
        elif unit.rule is Rule.JOURNAL:  # its frames are of all that was recorded that day
            self._kept_journal_days.add(unit.base_name)

    # --- results

    def _delete(self, unit: _Unit, reason: str) -> None:
        files = [f for f, _ in sorted(unit.files, key=lambda each: (each[1].role, each[0].path))]
        if unit.is_folder:
            self._steps.append(
                Step(rule=unit.rule, reason=reason, files=tuple(files), folder=unit.name)
            )
        else:
            self._steps += [Step(rule=unit.rule, reason=reason, files=(each,)) for each in files]

    def _keep(self, files: Iterable[Found], reason: str, *, is_foreign: bool = False) -> None:
        self._kept += [Kept(path=f.path, reason=reason, is_foreign=is_foreign) for f in files]

    def _folders_to_remove(self) -> tuple[str, ...]:
        """Past days' folders that hold nothing once the steps are done."""
        stays = {folder for kept in self._kept for folder in _folders_of(kept.path)}
        old = (f for f in self._listing.folders if f not in stays and self._is_past_day(f))
        return tuple(sorted(old))

    def _is_past_day(self, folder: str) -> bool:
        parent, _, name = folder.rpartition("/")
        rule = next((rule for rule in DAY_FOLDERS if FOLDER_OF[rule] == parent), None)
        start_ns = day_start_ns(name)
        if rule is None or start_ns is None or rule in self._unknown:
            return False
        return start_ns + _DAY_NS + self._age_ns(rule) <= self._now_ns

    # --- ages

    def _age_ns(self, rule: Rule) -> int:
        number = _ages(self._config)[rule]
        return number * (_HOUR_NS if rule in DAY_FOLDERS else _DAY_NS)

    def _age_text(self, rule: Rule) -> str:
        unit = "hours" if rule in DAY_FOLDERS else "days"
        return f"older than {_ages(self._config)[rule]} {unit} ({rule})"


def _newest_ns(found: Found, place: Place) -> int:
    """A name that says the day is believed: packing or copying a file later makes it no younger."""
    if place.start_ns is None or place.end_ns is None:
        return found.modified_ns
    is_within = place.start_ns <= found.modified_ns < place.end_ns
    return found.modified_ns if is_within else place.end_ns


def _folders_of(path: str) -> Iterator[str]:
    """The path itself and every folder above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _ages(config: RetentionConfig) -> Mapping[Rule, int]:
    return {
        Rule.TRADES_LOG: config.trades_log_days,
        Rule.ORDERS_LOG: config.orders_log_days,
        Rule.EVENTS: config.events_days,
        Rule.QUALITY_LOG: config.quality_log_days,
        Rule.REPLAY_SESSIONS: config.replay_sessions_days,
        Rule.REPLAY_RUNS: config.replay_runs_days,
        Rule.BACKTESTS: config.backtests_days,
        Rule.BENCH: config.bench_days,
        Rule.JOURNAL: config.journal_hours,
        Rule.RAW_MARKET: config.raw_market_data_hours,
    }
