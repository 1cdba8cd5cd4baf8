"""What graphs weigh: the number of chunks, and of files, must not show in the pickle of a window."""

import os
import pickle

import cloudpickle
import dask
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import scichunk
from tests.formats.test_reduce import write_tiff


@pytest.fixture
def image(tmp_path):
    values = np.arange(16 * 16, dtype="u2").reshape(1, 16, 16)
    return write_tiff(tmp_path / "f_000000.tif", values), values


def linked(tmp_path, image, count, form="f_{:06d}.tif"):
    """Names that count up; the first ten are there."""
    names = [str(tmp_path / form.format(n)) for n in range(count)]
    for n in range(1, 10):
        write_tiff(names[n], image[1] + np.uint16(n))
    return names


def test_a_window_of_a_stack(tmp_path, image):
    names = linked(tmp_path, image, 100_000)
    array = scichunk.from_files(names, headers="first", chunks="native")
    window = array[3:7]
    packed = cloudpickle.dumps(window)
    assert len(packed) < 50_000
    with dask.config.set(scheduler="sync"):
        found = pickle.loads(packed).compute()
    np.testing.assert_array_equal(found, [image[1] + np.uint16(n) for n in range(3, 7)])
    assert len(pickle.dumps(scichunk.open_stack(names, headers="first", chunks="native").band_data.data)) < 500_000


def test_a_window_of_a_cube(tmp_path):
    cube = np.arange(20_000 * 4, dtype="i2").reshape(20_000, 2, 2)
    fits.PrimaryHDU(cube).writeto(tmp_path / "cube.fits")
    array = scichunk.from_fits(tmp_path / "cube.fits", chunks={0: 1})
    window = array[100:104]
    assert len(cloudpickle.dumps(window)) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(window)), cube[100:104])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array[::5000])), cube[::5000])


@pytest.mark.parametrize("chunks", ["native", {0: 3}, (1, 1, 16, 7)])
def test_what_travelled_reads_the_same(tmp_path, image, chunks):
    array = scichunk.from_files(linked(tmp_path, image, 10), chunks=chunks)
    again = pickle.loads(pickle.dumps(array))
    assert again.chunks == array.chunks
    assert again.name == array.name
    np.testing.assert_array_equal(again.compute(), array.compute())
    np.testing.assert_array_equal((again[::2] + 1)[:, 0, 3:9].compute(), (array.compute()[::2] + 1)[:, 0, 3:9])
    assert "svg" in array._repr_html_()
    assert again.dask._repr_html_()


NAMES = st.lists(st.text("ab09/%_\n\0\udcff", min_size=1, max_size=8), min_size=1, max_size=6)


@given(st.one_of(NAMES, st.lists(st.integers(0, 10**20), min_size=1).map(lambda n: [f"x{i}_{i % 7}" for i in n])))
def test_names_survive(names):
    from scichunk.adapters.names import pack_names, unpack_names

    assert unpack_names(pack_names(names)) == names


@pytest.mark.parametrize("form", [b"\xff%d.fits", b"\xff%d/%d.fits", b"a\n%d.fits", b"\n%s.fits"])
def test_names_that_are_no_text(tmp_path, form):
    """Names of local files are bytes: any but NUL."""
    paths = []
    for n in range(3):
        text = (b"x", b"yy", b"zzz")[n] if b"%s" in form else n
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + form % ((text,) * form.count(b"%")))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        rows = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[n])])
        fits.HDUList([fits.PrimaryHDU(np.full((4, 4), n, "i4")), rows]).writeto(path)
        paths.append(path)
    assert scichunk.from_files(paths).compute()[:, 0, 0].tolist() == [0, 1, 2]
    stack = pickle.loads(pickle.dumps(scichunk.open_stack(paths, dim="n")))
    assert stack.data.values[:, 0, 0].tolist() == [0, 1, 2]
    assert scichunk.read_table(paths).compute().a.tolist() == [0, 1, 2]
    index = tmp_path / "x.parquet"
    assert scichunk.save_index(paths[:2], index) == 2
    assert scichunk.save_index(paths, index, append=True) == 1
    stored = pickle.loads(pickle.dumps(scichunk.from_files(index)))
    assert stored.compute()[:, 0, 0].tolist() == [0, 1, 2]


def test_odd_names(tmp_path, image):
    """Numbers of different widths, zeros in front, and signs of formats."""
    for form in ("%d_{}.tif", "{}.tif", "0{}%.tif", "{:03d}_{}.tif"):
        names = []
        for n in (1, 9, 10, 123):
            name = tmp_path / form.format(n, n)
            write_tiff(name, image[1] + np.uint16(n))
            names.append(str(name))
        found = scichunk.from_files(names, chunks="native").compute()
        np.testing.assert_array_equal(found[:, 0, 0, 0], [1, 9, 10, 123])
