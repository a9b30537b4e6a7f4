"""Machine code kept on disk belongs to the text it was made from."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

import execution.domain.synthetic_compile as compile_module
from execution.domain.synthetic_compile import (
    KERNEL_SOURCES,
    compiler,
    digest_of_kernels,
    source_digest,
)
from execution.domain.synthetic_outbox import run_steps

DOMAIN = Path(compile_module.__file__).parent


def modules_behind(name: str) -> set[str]:
    """The synthetic modules that `name` imports."""
    tree = ast.parse((DOMAIN / f"synthetic_{name}.py").read_text())
    found = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    prefix = "execution.domain.synthetic_"
    return {module.removeprefix(prefix) for module in found if module.startswith(prefix)}


def test_every_file_that_a_kernel_is_made_from_is_in_the_digest() -> None:
    compiled = {
        path.stem.removeprefix("synthetic_")
        for path in DOMAIN.glob("synthetic_*.py")
        if "kernel\ndef " in path.read_text()
    }
    reached = set(compiled)
    while more := {m for name in reached for m in modules_behind(name)} - reached:
        reached |= more

    assert compiled <= set(KERNEL_SOURCES)
    assert reached == set(KERNEL_SOURCES)
    assert run_steps.py_func.__qualname__.endswith(digest_of_kernels())


def test_a_changed_text_changes_the_digest_and_moved_text_too() -> None:
    assert source_digest([b"ab", b"c"]) != source_digest([b"ab", b"d"])
    assert source_digest([b"ab", b"c"]) != source_digest([b"a", b"bc"])


def test_an_edit_of_a_called_function_in_another_file_runs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry's own file stays as it is; numba alone would load its old machine code."""
    callee, entry = tmp_path / "stale_callee.py", tmp_path / "stale_entry.py"
    entry.write_text("from stale_callee import inner\n\ndef outer(x):\n    return inner(x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def result(text: str) -> int:
        callee.write_text(text)
        for name in ("stale_callee", "stale_entry"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        called = importlib.import_module("stale_callee")
        calls = importlib.import_module("stale_entry")
        compiled = compiler(source_digest([callee.read_bytes(), entry.read_bytes()]))
        calls.inner = compiled(called.inner)
        return int(compiled(calls.outer)(1))

    assert result("def inner(x):\n    return x + 1\n") == 2
    assert result("def inner(x):\n    return x + 10\n") == 11
    assert list((tmp_path / "__pycache__").glob("stale_entry.outer*.nbi"))
