import contextlib
import pickle
import re
import traceback

import numpy as np
import pytest

import scichunk
from scichunk import errors, options


@pytest.mark.parametrize(
    "cls", [errors.FormatError, errors.UnsupportedFeature, errors.SourceError, errors.MissingFile, errors.LimitExceeded]
)
def test_errors_survive_pickling(cls):
    error = cls("broken", url="s3://b/k", part="page 0, tile 3", tried="indexed")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error) == "broken [s3://b/k, page 0, tile 3] (tried: indexed)"
    assert isinstance(error, errors.ScichunkError)


def test_builtin_bases():
    assert issubclass(errors.FormatError, ValueError)
    assert issubclass(errors.UnsupportedFeature, NotImplementedError)
    assert issubclass(errors.SourceError, OSError)
    assert issubclass(errors.MissingFile, FileNotFoundError)
    assert issubclass(errors.LimitExceeded, ValueError)


def test_options_change_and_come_back():
    before = options.get()
    with options.set(retries=1) as now:
        assert now.retries == options.get().retries == 1
    assert options.get() == before
    with pytest.raises(TypeError):
        options.set(nonsense=1)


def test_unknown_attribute():
    with pytest.raises(AttributeError):
        scichunk.nonsense


class Unwilling(Exception):
    """An error that cannot be pickled."""

    def __reduce__(self):
        msg = "not me"
        raise TypeError(msg)


def _raised(*places, error=None):
    """Raise an error within several places, the outermost first; return it as it arrives."""
    with pytest.raises(errors.ScichunkError) as caught, contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(errors.located(**place))
        try:
            raise Unwilling("inner")
        except Unwilling as cause:
            raise (error or errors.FormatError("broken")) from cause
    return caught.value


def test_places_are_joined_and_the_cause_stays():
    error = _raised({"url": "a.fits", "part": "HDU 1"}, {"part": lambda: "row 3"}, {"tried": "indexed"})
    assert str(error) == "broken [a.fits, HDU 1, row 3] (tried: indexed)"
    assert isinstance(error.__cause__, Unwilling)
    assert "_raised" in [entry.name for entry in traceback.extract_tb(error.__traceback__)]


def test_what_the_raiser_knows_is_kept_and_not_said_twice():
    own = errors.UnsupportedFeature("no", url="a.fits", part="HDU 1, row 3", tried="indexed")
    error = _raised({"url": "a.fits", "part": "HDU 1", "tried": "all"}, {"part": "row 3"}, error=own)
    assert error is own
    assert str(error) == "no [a.fits, HDU 1, row 3] (tried: indexed)"


def test_an_error_of_another_file_stays_as_it_is():
    error = _raised({"url": "a.vot", "part": "table 0"}, error=errors.FormatError("no", url="b.fits", part="HDU 1"))
    assert str(error) == "no [b.fits, HDU 1]"


def test_other_errors_pass():
    with pytest.raises(KeyError), errors.located(url="a", part="b"):
        raise KeyError("x")


def test_errors_travel_whatever_their_cause():
    error = _raised({"url": "a.tif"})
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "broken [a.tif]"
    assert "Unwilling: inner" in str(error.__cause__)  # what distributed sends along


def test_a_corrupt_tile_names_file_hdu_tile_and_cause(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    path = tmp_path / "a.fits"
    image = fits.CompImageHDU(
        np.arange(64.0 * 64).reshape(64, 64).astype("i4"), compression_type="GZIP_1", tile_shape=(16, 64)
    )
    image.writeto(path)
    data = bytearray(path.read_bytes())
    third = [m.start() for m in re.finditer(b"\x1f\x8b\x08", data)][2]
    data[third + 10 : third + 40] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(errors.FormatError) as caught:
        scichunk.from_fits(path).compute()
    assert (caught.value.url, caught.value.part) == (str(path), "HDU 1, tile 2")
    assert caught.value.__cause__ is not None
