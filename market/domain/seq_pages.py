"""Which sequence numbers of a run were seen, at one bit each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_PAGE_BITS = 20  # seqs of a page: a strange number costs 128 KiB, not an array up to it


class SeqPages:
    """A set of positive integers that are dense for the most part."""

    def __init__(self) -> None:
        self._pages: dict[int, NDArray[np.uint8]] = {}

    def add(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Take `seqs`, each at most once; returns those that were there before."""
        again = [
            self._add_to_page(int(page), seqs[seqs >> _PAGE_BITS == page])
            for page in np.unique(seqs >> _PAGE_BITS)
        ]
        return np.concatenate(again) if again else np.zeros(0, np.int64)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of each stretch that is missing between the smallest and the largest."""
        end: int | None = None  # the last number seen so far
        for page in sorted(self._pages):
            seen = np.flatnonzero(self._bits(page)).astype(np.int64) + (page << _PAGE_BITS)
            if not len(seen):
                continue
            if end is not None and seen[0] != end + 1:
                yield end + 1, int(seen[0]) - 1
            for place in np.flatnonzero(np.diff(seen) != 1).tolist():
                yield int(seen[place]) + 1, int(seen[place + 1]) - 1
            end = int(seen[-1])

    def _add_to_page(self, page: int, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        bits = self._pages.setdefault(page, np.zeros(1 << (_PAGE_BITS - 3), np.uint8))
        places = seqs - (page << _PAGE_BITS)
        masks = np.left_shift(1, places & 7).astype(np.uint8)
        again = seqs[(bits[places >> 3] & masks) != 0]
        np.bitwise_or.at(bits, places >> 3, masks)
        return again

    def _bits(self, page: int) -> NDArray[np.uint8]:
        return np.unpackbits(self._pages[page], bitorder="little")
