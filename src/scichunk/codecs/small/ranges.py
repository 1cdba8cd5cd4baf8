"""Ranges of bytes, copied one behind the other by NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["copy_ranges"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def copy_ranges(data: Bytes, starts: Ints, sizes: Ints, out: Bytes) -> bool:
    """Copy ``sizes[i]`` bytes from ``starts[i]`` on; whether they are all there, and fill the output."""
    if ((sizes < 0) | (sizes > data.size) | (starts < 0)).any() or (starts > data.size - sizes).any():
        return False
    if sum(sizes.tolist()) != out.size:
        return False
    view = memoryview(np.ascontiguousarray(data))
    pieces = [view[at : at + size] for at, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
    out[:] = np.frombuffer(b"".join(pieces), np.uint8)
    return True
