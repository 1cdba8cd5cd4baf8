"""Headers of many local files are read by all cores: what is found is what one process finds."""

import logging
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import scichunk
from scichunk.errors import DataWarning, FormatError
from tests.formats.test_reduce import write_tiff

DATA = Path(__file__).parents[2] / "test_data"


@pytest.fixture
def names(tmp_path):
    found = []
    for number in range(40):
        values = np.full((1, 32, 32), number, "u2")
        found.append(write_tiff(tmp_path / f"f{number:02d}.tif", values))
    return found


@pytest.fixture
def shared():
    """As many processes as there are cores, for few files."""
    with scichunk.options.set(parallel_headers=10):
        yield


def alone(make):
    with scichunk.options.set(parallel_headers=1_000_000):
        return make()


def test_the_same_array(names, shared):
    together = scichunk.from_files(names, chunks="native")
    assert together.name == alone(lambda: scichunk.from_files(names, chunks="native")).name
    np.testing.assert_array_equal(together[:, 0, 3, 4].compute(), np.arange(40))


def test_what_differs_is_refused(names, shared):
    write_tiff(names[33], np.zeros((1, 40, 32), "u2"))
    with pytest.raises(FormatError, match="does not align") as caught:
        scichunk.from_files(names)
    assert caught.value.url == names[33]


def test_bad_files_and_their_warning(names, shared):
    os.truncate(names[5], 50)
    os.truncate(names[35], 50)
    with pytest.warns(DataWarning, match="2 of 40 files cannot be read"):
        stack = scichunk.from_files(names, errors="warn", fill=7)
    values = stack[:, 0, 0, 0].compute()
    assert values[5] == values[35] == 7
    assert values[36] == 36


def test_limits_hold_in_other_processes(names, shared):
    with (
        scichunk.options.set(max_header_bytes=1, head_bytes=8),
        pytest.raises(scichunk.errors.ScichunkError),
    ):
        scichunk.from_files(names)


def test_a_process_that_cannot_be_started(names, shared, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert scichunk.from_files(names).shape == (40, 1, 32, 32)
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    assert scichunk.from_files(names).shape == (40, 1, 32, 32)


@pytest.mark.parametrize("what", ["packed", "embedded"])
def test_a_program_that_is_no_python_is_not_started_again(names, shared, monkeypatch, what):
    started = []

    def start(arguments, **_keywords):
        started.append(arguments)
        raise OSError

    monkeypatch.setattr("subprocess.run", start)
    monkeypatch.setattr("sys.frozen", what == "packed", raising=False)
    if what == "embedded":
        monkeypatch.setattr("sys.executable", None)
    np.testing.assert_array_equal(scichunk.from_files(names)[:, 0, 3, 4].compute(), np.arange(40))
    assert not started


def test_stacks_of_other_formats_and_names(tmp_path, shared):
    paths = [tmp_path / f"a file {n}.fits" for n in range(20)]
    for path in paths:
        shutil.copy(DATA / "cube.fits", path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = scichunk.open_stack(paths, format="fits")
    assert stack.sizes["file"] == 20


def test_an_index_is_made_by_all_cores(names, shared, tmp_path, caplog):
    caplog.set_level(logging.INFO, "scichunk")
    assert scichunk.save_index(names, tmp_path / "together.parquet") == 40
    assert not caplog.records
    assert alone(lambda: scichunk.save_index(names, tmp_path / "alone.parquet")) == 40
    columns = [pq.read_table(tmp_path / f"{name}.parquet").to_pydict() for name in ("together", "alone")]
    assert columns[0] == columns[1]
    write_tiff(names[38], np.zeros((1, 32, 32), "u2"))
    assert scichunk.save_index(names, tmp_path / "together.parquet", append=True) == 1
    assert not caplog.records
    assert scichunk.open_stack(tmp_path / "together.parquet").band_data[38].max() == 0


def test_a_bad_file_makes_no_index(names, shared, tmp_path):
    os.truncate(names[35], 50)
    with pytest.raises(FormatError) as caught:
        scichunk.save_index(names, tmp_path / "index.parquet")
    assert caught.value.url == names[35]
    assert not (tmp_path / "index.parquet").exists()
