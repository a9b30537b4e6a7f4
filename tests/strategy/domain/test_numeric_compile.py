"""Machine code is made anew when any text it was made from changes."""

from __future__ import annotations

from pathlib import Path

from strategy.domain import attention, numeric_compile, numeric_kernel
from strategy.domain.numeric_compile import DIGEST, OWN_SOURCES

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
