"""Compiled code without a place to keep it."""

import numpy as np
import pytest

from scichunk.codecs import jit
from scichunk.errors import PerformanceWarning


def test_kernels_work_where_nothing_can_be_written(monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(
        caching.CacheImpl if hasattr(caching, "CacheImpl") else caching._CacheImpl, "_locator_classes", []
    )
    with pytest.warns(PerformanceWarning, match="NUMBA_CACHE_DIR"):

        @jit.kernel
        def double(values, out):
            for i in range(values.size):
                out[i] = 2 * values[i]

    out = np.zeros(3, int)
    double(np.arange(3), out)
    assert out.tolist() == [0, 2, 4]
