"""What is read of single frames without compiled code is what the compiled scans find."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from execution.domain.frame_rows import FrameRows
from market.domain.frames import FRAME_DTYPE, FrameReason, Frames

# Steps between frames in ns, and whether each is a boundary frame.
Steps = st.lists(
    st.tuples(st.sampled_from((0, 1, 100_000_000, 400_000_000, 1_700_000_000)), st.booleans()),
    max_size=25,
)


def frames_of(steps: list[tuple[int, bool]]) -> Frames:
    frames = np.zeros(len(steps), FRAME_DTYPE)
    frames["ts_ns"] = np.cumsum([step_ns for step_ns, _ in steps], dtype=np.int64) + 700_000_000
    boundary, trigger = FrameReason.BOUNDARY.value, FrameReason.TRIGGER.value
    frames["reason"] = [boundary if is_boundary else trigger for _, is_boundary in steps]
    return frames


@given(steps=Steps, due_s=st.integers(0, 8), cut=st.integers(0, 25))
def test_the_last_second_ends_where_the_scan_of_all_of_them_says(
    steps: list[tuple[int, bool]], due_s: int, cut: int
) -> None:
    """Where nothing is held only the last one counts; it is found without looking at the others."""
    rows, start, due_ns = FrameRows(frames_of(steps)), min(cut, len(steps)), due_s * 1_000_000_000

    ends = rows.ends_of_seconds(start, len(rows), due_ns).tolist()

    assert rows.end_of_last_second(start, len(rows), due_ns) == (ends[-1] if ends else 0)
