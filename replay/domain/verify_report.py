"""What a verification found: counts per core, the first difference, what could not be proved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from failover.domain.days import iso_ms

MARKET, STRATEGY, EXECUTION = "market", "strategy", "execution"


class Divergence(msgspec.Struct, kw_only=True, rename="camel"):
    """Where the replayed core gave something else than the one that was recorded.

    `number` is the journal record's number within the run, `what` INPUT (what the core was fed is not what
    it had consumed), OUTPUT, FRAME or STATE. `recorded` and `replayed` are ready for JSON.
    """

    core: str
    run_id: str
    number: int
    at: str
    at_ns: int
    what: str
    place: str
    recorded: Any
    replayed: Any
    inputs_around: list[dict[str, Any]]


class Refusal(msgspec.Struct, kw_only=True, rename="camel"):
    """A stretch that proves nothing, and why. `from_ns` and `to_ns` are core times; None where open."""

    core: str
    run_id: str
    reason: str
    from_ns: int | None = None
    to_ns: int | None = None


class CoreReport(msgspec.Struct, kw_only=True, rename="camel"):
    """One core over all its runs.

    `inputs` were fed to it; `outputs` were recorded, `compared` of them were set against replayed ones;
    `states` whole states were compared on the way. `unproved` are the records of a killed run whose
    inputs nobody kept: what was under way in its last moment. `from_ns` and `to_ns` are the core times of the
    first and last input fed, `digest` blake2b of the outputs that were compared, as they were recorded.
    """

    core: str
    runs: int = 0
    inputs: int = 0
    outputs: int = 0
    compared: int = 0
    states: int = 0
    divergences: int = 0
    unproved: int = 0
    from_ns: int | None = None
    to_ns: int | None = None
    digest: str = ""
    first: Divergence | None = None
    refused: list[Refusal] = msgspec.field(default_factory=list)

    def note(self, divergence: Divergence) -> None:
        self.divergences += 1
        if self.first is None or divergence.at_ns < self.first.at_ns:
            self.first = divergence

    def add(self, other: CoreReport) -> None:
        """Take in what another run of the same core came to."""
        self.from_ns = _best(min, self.from_ns, other.from_ns)
        self.to_ns = _best(max, self.to_ns, other.to_ns)
        self.digest = joined_digest(self.digest, other.digest)
        for name in ("runs", "inputs", "outputs", "compared", "states", "divergences", "unproved"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.first is not None and (self.first is None or other.first.at_ns < self.first.at_ns):
            self.first = other.first
        self.refused += other.refused


def joined_digest(one: str, other: str) -> str:
    """A digest of both in this order; of nothing and something it is the something."""
    if not one or not other:
        return one or other
    return hashlib.blake2b(f"{one}{other}".encode(), digest_size=16).hexdigest()


def _best(which: Callable[[list[int]], int], one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return which(known) if known else None


class VerifyReport(msgspec.Struct, kw_only=True, rename="camel"):
    """All cores. `first_divergence` is the earliest by core time, market before strategy before execution."""

    run_id: str
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    cores: dict[str, CoreReport] = msgspec.field(default_factory=dict)
    first_divergence: Divergence | None = None
    refused: list[Refusal] = msgspec.field(default_factory=list)
    elapsed_s: float = 0.0

    def __post_init__(self) -> None:
        starts = [core.from_ns for core in self.cores.values() if core.from_ns is not None]
        ends = [core.to_ns for core in self.cores.values() if core.to_ns is not None]
        self.from_ = iso_ms(min(starts)) if starts else None
        self.to = iso_ms(max(ends)) if ends else None

    @property
    def digest(self) -> str:
        """Of everything that was compared, as it was recorded."""
        whole = ""
        for core in self.cores.values():
            whole = joined_digest(whole, core.digest)
        return whole

    @property
    def is_equal(self) -> bool:
        """Something was compared, all of it was the same, and nothing was refused."""
        compared = sum(core.compared for core in self.cores.values())
        return compared > 0 and self.first_divergence is None and not self.refused

    @classmethod
    def of(cls, run_id: str, cores: list[CoreReport], elapsed_s: float = 0.0) -> VerifyReport:
        """Put the cores together, in the order of the pipeline."""
        found = [core.first for core in cores if core.first is not None]
        return cls(
            run_id=run_id,
            cores={core.core: core for core in cores},
            first_divergence=min(found, key=lambda each: each.at_ns, default=None),
            refused=[refusal for core in cores for refusal in core.refused],
            elapsed_s=elapsed_s,
        )
