import pickle

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
