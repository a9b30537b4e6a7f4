"""How the kernels of the synthetic market are compiled, and when their machine code is made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba

# numba's type stubs do not name the wrapper options.
_njit: Callable[..., Any] = numba.njit

# Every file whose text goes into a kernel: functions, and the constants they take in.
KERNEL_SOURCES = ("book", "compile", "flow", "outbox", "profile", "replica", "rules", "window")


def source_digest(texts: Iterable[bytes]) -> str:
    """Twelve hex digits that any change of any text changes."""
    digest = blake2b(digest_size=6)
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def digest_of_kernels() -> str:
    """Of the kernels' files as they lie on the disk."""
    here = Path(__file__)
    return source_digest(
        here.with_name(f"synthetic_{name}.py").read_bytes() for name in KERNEL_SOURCES
    )


def compiler(digest: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles with `options` and keeps the machine code on disk under `digest`.

    numba's cache looks at a function's own file only, so an edit of a function it calls in another file
    would run stale code. The cache's file is named after the qualified name: the digest goes in there.
    """

    def compile_it(function: Callable[..., Any]) -> Any:
        function.__qualname__ = f"{function.__qualname__}_{digest}"
        return _njit(cache=True, no_cfunc_wrapper=True, **options)(function)

    return compile_it


_DIGEST = digest_of_kernels()

# Called from other kernels only: without the wrapper that unpacks its arguments from Python objects,
# which for tuples of arrays takes longer to compile than the function itself.
inner_kernel: Callable[..., Any] = compiler(_DIGEST, no_cpython_wrapper=True)
kernel: Callable[..., Any] = compiler(_DIGEST)
