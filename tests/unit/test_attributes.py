"""Attributes in a form that netCDF and Zarr take."""

import json

import numpy as np
import pytest

from scichunk.adapters.xarray.attributes import make_storable


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("text", "text"), ("a\0b", "a b"), (True, 1), (np.True_, 1), (3, 3), (1 << 70, str(1 << 70)), (-(1 << 63), -(1 << 63)), (1.5, 1.5),
        (np.float32(2), np.float32(2)), (1 + 2j, "(1+2j)"), ({"a": 1}, '{"a": 1}'), ([1, 2], [1, 2]), (("a", "b"), ("a", "b")),
        ([True, False], [1, 0]), ([1, "a"], '["1", "a"]'), ([[1, 2], [3]], "[[1, 2], [3]]"), ([], "[]"),
        (np.datetime64("2020-01-01"), "2020-01-01"),
    ],
)  # fmt: skip
def test_values(value, want):
    found = make_storable({"a": value})["a"]
    assert type(found) is type(want)
    assert found == want


def test_names():
    found = make_storable({"CLASS": 1, "NAME": 2, "a/b": 3, "-x": 4, "none": None, "ünder": 5, "ESO DET CHIP": 6})
    assert found == {"CLASS_": 1, "NAME_": 2, "a_b": 3, "_-x": 4, "ünder": 5, "ESO DET CHIP": 6}


def test_arrays():
    np.testing.assert_array_equal(make_storable({"a": np.arange(3)})["a"], [0, 1, 2])
    assert json.loads(make_storable({"a": np.arange(4).reshape(2, 2)})["a"]) == [[0, 1], [2, 3]]
    assert make_storable({"a": np.array([True, False])})["a"].dtype == np.int8
