"""What the oldest versions of other packages that serve cannot do, however they are asked: tests of it are skipped there, with the reason."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

__all__ = ["needs_reduced_times", "needs_stored_complex_fill"]


def _reduces_times() -> bool:
    try:
        da.zeros(2, chunks=1, dtype="M8[ns]").min()
    except TypeError:
        return False
    return True


def _stores_complex_fill() -> bool:
    from xarray.backends.zarr import FillValueCoder

    try:
        FillValueCoder.encode(np.complex64(1), np.dtype("c8"))
    except ValueError:
        return False
    return True


needs_reduced_times = pytest.mark.skipif(not _reduces_times(), reason="this dask has no minimum, nor maximum, of times")
needs_stored_complex_fill = pytest.mark.skipif(
    not _stores_complex_fill(), reason="this xarray stores no complex fill value in Zarr"
)
