"""The peak of resident memory of this program alone."""

from __future__ import annotations

import re
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_mb() -> float:
    """Since the program was started; `ru_maxrss` would begin with the size of whoever started it."""
    (peak_kb,) = _PEAK.findall(Path("/proc/self/status").read_text())
    return int(peak_kb) / 1024
