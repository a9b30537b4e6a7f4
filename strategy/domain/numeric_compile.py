"""When the machine code of the numeric path is made anew.

numba's cache looks at a function's own file only: an edit of a function it calls, or of a constant it takes
in, would run stale code. The cache's file is named after the qualified name, so the text of all of them
goes in there as a digest.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from market.domain import frames, kernel_jit
from market.domain.kernel_jit import entry_jit

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Every file whose text goes into machine code: functions, and the constants they take in.
OWN_SOURCES = ("attention", "numeric_kernel", "numeric_layout")


def _digest() -> str:
    own = [Path(__file__).with_name(f"{name}.py") for name in OWN_SOURCES]
    digest = blake2b(digest_size=6)
    for path in (*own, Path(frames.__file__), Path(kernel_jit.__file__)):
        text = path.read_bytes()
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


DIGEST = _digest()


def numeric_entry(function: _Function) -> _Function:
    """For what Python calls: the machine code is kept on disk until any of the texts changes."""
    function.__qualname__ = f"{function.__qualname__}_{DIGEST}"
    return entry_jit(function)
