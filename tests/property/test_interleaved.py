"""Pixels whose samples lie together, to bands: the loop and NumPy against a plain transposed copy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scichunk
from scichunk.codecs.interleaved import place_bands


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 40])
@given(
    shape=st.tuples(st.integers(0, 9), st.integers(0, 70), st.integers(1, 5)),
    kind=st.sampled_from(["u1", "i1", "<u2", ">u2", "<i2", "<f2", "<u4", "<f4", "<c8"]),
    skipped=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    step=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
def test_as_a_transposed_copy(kernel_bytes, shape, kind, skipped, step, seed):
    dtype, (rows, columns, samples) = np.dtype(kind), shape
    whole = np.random.default_rng(seed).integers(
        0, 256, (rows * step + skipped[0], columns + skipped[1], samples, dtype.itemsize), np.uint8
    )
    pixels = whole.view(dtype)[..., 0][skipped[0] :: step, skipped[1] :][:rows]
    pixels.flags.writeable = False
    big = np.full((samples, rows + 2, columns + 3), 7, dtype.newbyteorder("="))
    expected = big.copy()
    expected[:, 1:-1, 2:-1] = pixels.transpose(2, 0, 1)
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        place_bands(pixels, big[:, 1:-1, 2:-1])
    assert big.tobytes() == expected.tobytes()
