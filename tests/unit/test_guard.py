"""Whatever the code of a format raises by mistake becomes an error of the tree, which says so."""

import pickle

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.core.guard import Guarded
from scichunk.errors import FormatError, LimitExceeded, ParserError, guarded
from scichunk.formats.geotiff.file import GeoTIFFFile

pytestmark = pytest.mark.unforeseen


@pytest.fixture
def path(tmp_path):
    import rasterio

    name = tmp_path / "a.tif"
    with rasterio.open(name, "w", driver="GTiff", height=4, width=5, count=1, dtype="uint8") as file:
        file.write(np.arange(20, dtype="u1").reshape(1, 4, 5))
    return str(name)


@pytest.mark.parametrize("method", ["node", "array", "groups", "find_array"])
def test_methods_of_files(monkeypatch, path, method):
    def fail(self, *args, **kwargs):
        raise IndexError(f"in {method}")

    monkeypatch.setattr(GeoTIFFFile, method, fail)
    with pytest.raises(ParserError, match=f"IndexError: in {method}") as caught:
        scichunk.open(path) if method in {"groups", "node"} else scichunk.from_geotiff(path)
    assert isinstance(caught.value, FormatError)
    assert isinstance(caught.value.__cause__, IndexError)
    assert caught.value.url == path
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_opening(monkeypatch, path):
    monkeypatch.setattr(GeoTIFFFile, "__init__", lambda *_: {}["key"])
    with pytest.raises(ParserError, match="KeyError: 'key'"):
        xr.open_dataset(path, engine="geotiff")


def test_reading(monkeypatch, path):
    from scichunk.codecs.raw import RawCodec

    array = scichunk.from_geotiff(path)
    monkeypatch.setattr(RawCodec, "decode", lambda *_, **__: 1 / 0)
    with pytest.raises(ParserError, match="ZeroDivisionError") as caught:
        array.compute()
    assert caught.value.url == path


def test_what_users_say_is_their_error(path):
    with pytest.raises(TypeError, match="no_such_word"):
        xr.open_dataset(path, engine="geotiff", no_such_word=1)


def test_errors_of_memory():
    with pytest.raises(LimitExceeded, match="more memory is needed"), guarded("x"):
        np.empty(1 << 62, np.uint8)


def test_what_goes_on_as_it_is():
    with pytest.raises(UserWarning), guarded("x"):
        raise UserWarning("filters made an error of it")
    with pytest.raises(KeyboardInterrupt), guarded("x"):
        raise KeyboardInterrupt
    with pytest.raises(TypeError), guarded("x", let=(TypeError,)):
        raise TypeError


def test_attributes():
    class Inner:
        value = 3

        def table(self):
            return Inner()

    file = Guarded(Inner(), "x")
    assert (file.value, getattr(file, "missing", None)) == (3, None)
    file.value = 4
    assert file.value == 4
    assert isinstance(file.table(), Guarded)
