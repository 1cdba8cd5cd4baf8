"""What serves small GeoTIFF files of floats, and the kernel, against imagecodecs."""

import imagecodecs
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scichunk.codecs import float_predictor
from scichunk.codecs.predictors import predictor_constants
from scichunk.codecs.small.float_predictor import undo_predictor


def spread(shape, word, strided):
    """An array for the result: contiguous, or band by band as readers want it."""
    rows, columns, samples = shape
    return np.zeros((samples, rows, columns), word).transpose(1, 2, 0) if strided else np.zeros(shape, word)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 4)),
    st.sampled_from(["f2", "f4", "f8"]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_floats_of_any_bits(shape, kind, strided, seed):
    word = np.dtype(kind.replace("f", "u"))
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, word.itemsize), np.uint8).view(word)[..., 0]
    stored = imagecodecs.floatpred_encode(pixels.view(kind), axis=1)
    rows = np.ascontiguousarray(stored).view(np.uint8).reshape(shape[0], -1)
    small, compiled = spread(shape, word, strided), spread(shape, word, strided)
    undo_predictor(rows, small)
    scratch = np.zeros(shape[1] * shape[2], word)
    float_predictor.undo_predictor(rows, scratch, predictor_constants(word), compiled)
    np.testing.assert_array_equal(small, pixels)
    np.testing.assert_array_equal(compiled, pixels)
