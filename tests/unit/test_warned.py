"""Warnings name the line of the user that led to them, whatever lies between."""

import warnings
from pathlib import Path

import pytest
import xarray as xr

import scichunk
from scichunk.errors import DataWarning
from tests.votable_docs import doc

DATA = Path(__file__).resolve().parents[2] / "test_data"
OVERFLOW = str(DATA / "stars.vot")


def cut_open():
    return xr.open_dataset(OVERFLOW, engine="votable")


def cut_generic():
    return xr.open_dataset(OVERFLOW, engine="scichunk", chunks={})


def cut_tree():
    return scichunk.open(OVERFLOW)


def cut_frame():
    return scichunk.read_votable(OVERFLOW)


def cut_array():
    return scichunk.from_votable(OVERFLOW, "ra")


@pytest.mark.parametrize("function", [cut_open, cut_generic, cut_tree, cut_frame, cut_array], ids=lambda f: f.__name__)
def test_the_line_that_opens(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    found = [(w.filename, w.lineno) for w in caught if w.category is DataWarning]
    assert found
    assert set(found) == {(__file__, function.__code__.co_firstlineno + 1)}


def test_the_line_that_computes():
    frame = scichunk.read_votable(doc("<TR><TD>x</TD><TD>y</TD></TR>").encode(), on_error="null")
    with pytest.warns(DataWarning) as caught:
        frame.compute(scheduler="synchronous")
    assert {Path(w.filename).name for w in caught} == {"test_warned.py"}


def test_it_can_be_made_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        with pytest.raises(DataWarning, match="OVERFLOW"):
            xr.open_dataset(OVERFLOW, engine="votable")
