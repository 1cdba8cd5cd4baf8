"""Scaling of FITS: operation by operation and in one pass. The matrix of formats compares with astropy."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scichunk.codecs import integer_scaling
from scichunk.codecs.scaling import Scaling, choose_scaling

INTEGERS = st.sampled_from([8, 16, 32, 64])
NUMBERS = st.sampled_from(
    [0, 1, -1, 0.1, -2.5, 1e300, 1e-300, float("inf"), float("nan"), 128, -128, 2**15, 2**31, 2**63]
)


def stored(bitpix: int, seed: int, n: int = 301) -> np.ndarray:
    kind = np.dtype("u1" if bitpix == 8 else f">i{bitpix // 8}")
    info = np.iinfo(kind)
    found = np.random.default_rng(seed).integers(info.min, info.max, n, kind.newbyteorder("="), endpoint=True)
    found[::7], found[1::11], found[2::13], found[3::17] = 0, info.min, info.max, 77
    return found.astype(kind)


@settings(deadline=None, max_examples=200)
@given(INTEGERS, NUMBERS, NUMBERS, st.sampled_from([None, 0, 77, -32768, 255, 1 << 40, -(1 << 70)]), st.integers(0, 99))
def test_one_pass_gives_what_the_steps_give_bit_for_bit(bitpix, scale, zero, blank, seed):
    scaling, values = choose_scaling(bitpix, scale, zero, blank), stored(bitpix, seed)
    if scaling.plain:
        return
    one, steps = np.zeros(values.shape, scaling.dtype), np.zeros(values.shape, scaling.dtype)
    scaling.apply_compiled(integer_scaling, values, one)
    scaling.apply_in_steps(values, steps)
    np.testing.assert_array_equal(one, steps)
    if one.dtype.kind == "f":
        known = ~np.isnan(one)
        np.testing.assert_array_equal(np.signbit(one[known]), np.signbit(steps[known]))


@pytest.mark.parametrize(("bitpix", "zero"), [(8, -128), (16, 2**15), (32, 2**31), (64, 2**63)])
def test_the_convention_of_unsigned_integers_is_exact(bitpix, zero):
    values = stored(bitpix, 1)
    scaling = choose_scaling(bitpix, 1, zero, None)
    wanted = [int(v) + zero for v in values]
    for apply in (partial(scaling.apply_compiled, integer_scaling), scaling.apply_in_steps):
        out = np.zeros(values.shape, scaling.dtype)
        apply(values, out)
        assert out.tolist() == wanted


def test_strided_windows_are_scaled_too():
    values = stored(16, 2, 4000).reshape(50, 80)[3:40:2, 7:60]
    scaling = choose_scaling(16, 0.5, 3, 77)
    wide = np.zeros((40, 200), "f4")
    scaling.apply(values, wide[1:20, 5:58])
    expected = values.astype("f4") * np.float32(0.5) + np.float32(3)
    expected[values == 77] = np.nan
    np.testing.assert_array_equal(wide[1:20, 5:58], expected)
    assert not wide[0].any()


def test_numba_is_not_loaded_for_a_few_values(tmp_path):
    code = """
import sys
import numpy as np
from scichunk.codecs.scaling import choose_scaling
out = np.empty(1000, "u2")
choose_scaling(16, 1, 2**15, None).apply(np.zeros(1000, ">i2"), out)
assert (out == 2**15).all()
assert "numba" not in sys.modules
from scichunk.codecs import ways
much = np.zeros(1 << 24, ">i2"), np.empty(1 << 24, "u2")
while not ways.wants_kernels("scaling"):
    choose_scaling(16, 1, 2**15, None).apply(*much)
choose_scaling(16, 1, 2**15, None).apply(np.zeros(1000, ">i2"), out)
assert (out == 2**15).all()
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "SCICHUNK_CACHE_DIR": str(tmp_path)})


def test_adding_nothing_keeps_the_sign_of_zero():
    assert np.signbit(np.float32(-0.0) + np.float32(Scaling(np.dtype("f4")).offset))
