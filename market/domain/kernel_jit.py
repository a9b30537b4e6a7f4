"""How the kernel's functions are compiled.

They only borrow arrays and make none, so numba need not count references. A division by zero gives
what IEEE 754 says: no input may raise in the middle of a chunk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from hashlib import blake2b
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.cpython.unsafe import numbers
from numba.extending import intrinsic

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}

Bits = Any  # a uint64 in numba; numpy has no static arithmetic with it that fits

# Index of a place known to be inside: an unsigned one spares the check for counting from the end.
at = np.uint64


def kernel_jit(function: _Function) -> _Function:
    return cast("_Function", njit(**_OPTIONS)(function))


def hot_jit(function: _Function) -> _Function:
    """For what runs at every message.

    An array argument is seven machine words, and passing a dozen of them to a function that is not
    inlined costs more than the work inside.
    """
    return cast("_Function", njit(forceinline=True, **_OPTIONS)(function))


def flat_jit(function: _Function) -> _Function:
    """For a step of the loop with one caller: its text becomes part of the caller's.

    Compiled apart, each layer of the loop would be optimised again with all the layers below it.
    """
    return cast("_Function", njit(inline="always", **_OPTIONS)(function))


def entry_jit(function: _Function) -> _Function:
    """For what Python calls: the machine code is kept on disk."""
    return cast("_Function", njit(cache=True, **_OPTIONS)(function))


def source_digest(*modules: ModuleType) -> int:
    """Of the text of the modules that an entry calls into.

    numba's cache knows when the entry's own file changes, not those: what the entry closes over is part
    of its key.
    """
    text = "".join(inspect.getsource(module) for module in modules)
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big")


@hot_jit
def whole(value: Any) -> Any:
    """`value` as a signed 64-bit integer: beside an unsigned one numba would turn to floats."""
    return np.int64(value)


def _popcount(typing_context: Any, word: Any) -> Any:
    """One instruction that Python has no word for."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


ones: Any = intrinsic(_popcount)  # how many bits of a uint64 are set
_leading_zeros: Any = numbers.leading_zeros
_trailing_zeros: Any = numbers.trailing_zeros


@hot_jit
def highest_bit(word: Bits) -> Any:
    """Place of the highest set bit of a uint64 that is not 0."""
    return np.int64(63) - np.int64(_leading_zeros(word))


@hot_jit
def lowest_bit(word: Bits) -> Any:
    """Place of the lowest set bit of a uint64 that is not 0."""
    return np.int64(_trailing_zeros(word))
