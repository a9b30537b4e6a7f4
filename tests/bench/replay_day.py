"""`python -m tests.bench.replay_day HOURS MESSAGES_AN_HOUR`: replay a day, say what memory it took.

Runs as a process of its own, since a peak of memory is that of a process. Prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys

from replay.services.simulate import simulate
from tests.bench.replay_load import DECISION, EXECUTION, day_chunks
from tests.bench.stream import bench_instrument


def main(hours: int, messages_an_hour: int) -> None:
    chunks = day_chunks(hours, messages_an_hour)
    done = simulate([bench_instrument()], chunks, DECISION, EXECUTION)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "messages": done.pipeline.messages,
                "trades": len(done.figures.trades),
                "peakMb": round(peak_mb, 1),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
