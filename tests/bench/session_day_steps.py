"""`python -m tests.bench.session_day_steps build|replay DATA_DIR SESSION SYMBOLS [SYMBOL …]`.

One step of the day of `bench_session_day`. Each runs as a process of its own, since a peak of memory is that
of a process. Prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from failover.domain.days import iso_ms
from replay.adapters.session_paths import open_market_data
from replay.adapters.session_store import SessionStore
from replay.domain.sessions import BuildReplayOptions, SessionFacts
from replay.services.run import ReplayOptions, run_replay
from replay.services.session_build import build_session
from tests.bench.peak_memory import peak_mb
from tests.bench.replay_load import DECISION, EXECUTION
from tests.bench.session_load import DAY_START_NS, HOUR_NS, symbols_of

FACTS = SessionFacts(created_at="2026-01-01T00:00:00.000Z", speed_factor=4.0)


def build(store: SessionStore, session_id: str, symbols: int) -> dict[str, object]:
    manifest = build_session(
        BuildReplayOptions(
            from_=iso_ms(DAY_START_NS),
            to=iso_ms(DAY_START_NS + 24 * HOUR_NS),
            symbols=[instrument.symbol for instrument in symbols_of(symbols)],
            session_id=session_id,
        ),
        store,
        facts=FACTS,
    )
    return {"messages": manifest.total_events, "digest": manifest.digest}


def replay(store: SessionStore, session_id: str, only: list[str]) -> dict[str, object]:
    data = open_market_data([store.folder(session_id)], symbols=only or None)
    done = run_replay(data, DECISION, EXECUTION, ReplayOptions(run_id="day"))
    counts = done.report["counts"]
    return {"messages": counts["messages"], "trades": counts["trades"], "digest": done.digest}


def main(step: str, data_dir: str, session_id: str, symbols: int, only: list[str]) -> None:
    store, began = SessionStore(Path(data_dir)), time.perf_counter()
    is_build = step == "build"
    found = build(store, session_id, symbols) if is_build else replay(store, session_id, only)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found |= {
        "cpuS": round(used.ru_utime + used.ru_stime, 2),
        "wallS": round(time.perf_counter() - began, 2),
        "peakMb": round(peak_mb(), 1),
        "majorFaults": used.ru_majflt,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:])
