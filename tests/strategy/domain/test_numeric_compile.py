"""Machine code is made anew when any text it was made from changes."""

from __future__ import annotations

from pathlib import Path

from market.domain.frames import pack_frames, unpack_frames
from strategy.domain import attention, numeric_compile, numeric_kernel
from strategy.domain.core import StrategyCore
from strategy.domain.numeric_compile import DIGEST, OWN_SOURCES
from tests.strategy.builders import START_NS, Feed, S, a_config, an_instrument

DOMAIN = Path(numeric_compile.__file__).parent


def test_every_file_with_compiled_functions_counts_for_the_digest() -> None:
    compiled = {
        path.stem
        for path in DOMAIN.glob("*.py")
        if "@numeric_entry\n" in path.read_text() or "@kernel_jit\n" in path.read_text()
    }

    assert compiled == {"attention", "numeric_kernel"}
    assert compiled | {"numeric_layout"} == set(OWN_SOURCES)


def test_the_kept_machine_code_is_named_after_the_digest() -> None:
    for entry in (numeric_kernel.observe_rows, numeric_kernel.score_rows, attention.first_row):
        assert entry.py_func.__qualname__.endswith(DIGEST)  # type: ignore[attr-defined]


def test_frames_fresh_from_the_bus_are_compiled_for_no_second_time() -> None:
    """They are read-only bytes, which compiled code would take for another type of array."""
    core = StrategyCore([an_instrument()], a_config(), "s1")
    core.on_frames(Feed().frames(1))
    compiled = len(numeric_kernel.observe_rows.signatures)  # type: ignore[attr-defined]

    core.on_frames(unpack_frames(pack_frames(Feed(start_ns=START_NS + S).frames(1))))

    assert len(numeric_kernel.observe_rows.signatures) == compiled == 1  # type: ignore[attr-defined]
    assert core.dropped_frames == 0
