"""The horizontal predictor (TIFF 6.0, section 14): the loop in vectors and imagecodecs against plain sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scichunk
from scichunk.codecs import ways
from scichunk.codecs.predictors import undo_horizontal


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 40])
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 70) | st.integers(250, 270), st.sampled_from([1, 1, 1, 3])),
    kind=st.sampled_from(["u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]),
    skipped=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    step=st.integers(1, 2),
    by_bands=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_sums_of_any_values(kernel_bytes, shape, kind, skipped, step, by_bands, seed):
    dtype, (rows, columns, samples) = np.dtype(kind), shape
    whole = np.random.default_rng(seed).integers(
        0, 256, (rows * step + skipped[0], columns + skipped[1], samples, dtype.itemsize), np.uint8
    )
    stored = whole.view(dtype)[..., 0][skipped[0] :: step, skipped[1] :][:rows]
    stored.flags.writeable = seed % 2 == 0
    big = np.full((samples, rows + 2, columns + 3), 7, dtype)
    out = big[:, 1:-1, 2:-1].transpose(1, 2, 0) if by_bands else np.zeros(shape, dtype)
    word = np.dtype(f"u{dtype.itemsize}")
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        undo_horizontal(stored, out)
        if kernel_bytes == 0 and samples == 1 and dtype.itemsize <= 4:
            again = np.zeros(shape, word)
            assert ways.find_kernels("differences").undo_differences(stored.view(word), again)
            np.testing.assert_array_equal(again, out.view(word))
    np.testing.assert_array_equal(out.view(word), stored.view(word).cumsum(axis=1, dtype=word))
    border = big.copy()
    border[:, 1:-1, 2:-1] = 7
    assert (border == 7).all()
