"""How the kernels of the synthetic market are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# numba's type stubs do not name the wrapper options.
_njit: Callable[..., Any] = numba.njit

# Called from other kernels only: without the wrapper that unpacks its arguments from Python objects,
# which for tuples of arrays takes longer to compile than the function itself.
inner_kernel: Callable[..., Any] = _njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
kernel: Callable[..., Any] = _njit(cache=True, no_cfunc_wrapper=True)
