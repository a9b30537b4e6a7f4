"""How the kernel's functions are compiled.

They only borrow arrays and make none, so numba need not count references. A division by zero gives
what IEEE 754 says: no input may raise in the middle of a chunk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

kernel_jit = njit(_nrt=False, error_model="numpy")

# For what runs at every message: an array argument is seven machine words, and passing a dozen of them
# to a function that is not inlined costs more than the work inside.
hot_jit = njit(_nrt=False, error_model="numpy", forceinline=True)

# Index of a place known to be inside: an unsigned one spares the check for counting from the end.
at = np.uint64
