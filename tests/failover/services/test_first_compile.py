"""The first compile of a kernel: done once, by whoever comes first."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings

from failover.services.first_compile import compile_once, main, start_compiling

_DONE: list[str] = []


def note_a() -> bool:
    _DONE.append("a")
    return True


def note_b() -> bool:
    _DONE.append("b")
    return True


def test_work_is_done_in_the_given_order_and_lets_go_of_each_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kernels_of_a_test", sys.modules[__name__])
    _DONE.clear()
    main([str(tmp_path), "b=kernels_of_a_test:note_b", "a=kernels_of_a_test:note_a"])
    assert _DONE == ["b", "a"]
    assert compile_once(tmp_path, "a", note_a)
    assert compile_once(tmp_path, "b", note_b)


def test_a_second_one_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    is_compiling, may_end = threading.Event(), threading.Event()

    def first() -> bool:
        is_compiling.set()
        order.append("first")
        return may_end.wait(10)

    def second() -> bool:
        order.append("second")
        return True

    threads = [
        threading.Thread(target=compile_once, args=(tmp_path, "market", work))
        for work in (first, second)
    ]
    threads[0].start()
    assert is_compiling.wait(10)
    threads[1].start()
    assert order == ["first"]
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def test_a_compiler_that_fails_lets_go_of_what_it_held(tmp_path: Path) -> None:
    work = {"market": "time:sleep"}  # fails: sleep wants an argument
    (compiler,) = start_compiling(tmp_path, [work, {}], settings.BASE_DIR)
    assert compiler.wait(30) != 0
    assert compile_once(tmp_path, "market", note_a)


def test_every_first_compile_of_the_settings_is_there() -> None:
    for line in settings.FIRST_COMPILES:
        for name, function in line.items():
            assert name in {"market", "strategy", "exchange", "execution"}
            assert callable(pkgutil.resolve_name(function))


def test_the_compilers_import_no_django() -> None:
    modules = {
        function.split(":")[0] for line in settings.FIRST_COMPILES for function in line.values()
    }
    code = f"import sys; import {', '.join(sorted(modules))}; sys.exit('django' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, check=False).returncode
        == 0
    )
