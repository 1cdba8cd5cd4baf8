"""Fixtures of several files of tests of formats."""

import importlib
import sys
from pathlib import Path

import pytest
from xarray.backends.plugins import refresh_engines

import scichunk

ENVI = Path(__file__).parents[1] / "plugins" / "envi"


@pytest.fixture
def envi():
    """A format of another package, which is there during the test only."""

    def look_again():
        importlib.invalidate_caches()
        scichunk.clear_caches()
        refresh_engines()

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ENVI)
        look_again()
        yield
    for name in ("envi_scichunk", "envi_scichunk_engine"):
        sys.modules.pop(name, None)
    look_again()
