"""``chunks`` in all its forms, wherever it is taken: names of dimensions, sizes in bytes, numbers, words."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 1000, (3, 200, 300)).astype("u2")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunks")
    size = {"count": 3, "height": 200, "width": 300, "dtype": "uint16"}
    for name in ("a.tif", "b.tif"):
        with rasterio.open(
            folder / name, "w", driver="GTiff", **size, tiled=True, blockxsize=64, blockysize=64, interleave="band"
        ) as ds:
            ds.write(PIXELS)
    with rasterio.open(
        folder / "a.jp2", "w", driver="JP2OpenJPEG", **size, QUALITY=100, REVERSIBLE="YES", BLOCKXSIZE=64, BLOCKYSIZE=64
    ) as ds:
        ds.write(PIXELS)
    cube = fits.PrimaryHDU(PIXELS)
    cube.header["CTYPE3"] = "FREQ"
    for name in ("a.fits", "b.fits"):
        cube.writeto(folder / name)
    Table({"a": np.arange(100), "v": RNG.random((100, 4))}).write(folder / "t.vot", format="votable")
    return folder


def arrays(files):
    """Every function that gives an array, with the names of its axes and its values."""
    rows = [np.arange(100), None]
    return {
        "from_geotiff": (lambda **k: scichunk.from_geotiff(files / "a.tif", **k), ("band", "y", "x"), PIXELS),
        "from_jpeg2000": (lambda **k: scichunk.from_jpeg2000(files / "a.jp2", **k), ("band", "y", "x"), PIXELS),
        "from_fits": (lambda **k: scichunk.from_fits(files / "a.fits", **k), ("frequency", "y", "x"), PIXELS),
        "from_votable": (lambda **k: scichunk.from_votable(files / "t.vot", "a", **k), ("row",), rows[0]),
        "from_file": (lambda **k: scichunk.from_file(files / "a.tif", **k), ("band", "y", "x"), PIXELS),
        "from_geotiffs": (
            lambda **k: scichunk.from_geotiffs(str(files / "*.tif"), **k),
            ("file", "band", "y", "x"),
            [PIXELS] * 2,
        ),
        "from_fits_files": (
            lambda **k: scichunk.from_fits_files(str(files / "*.fits"), **k),
            ("file", "frequency", "y", "x"),
            [PIXELS] * 2,
        ),
        "from_files": (
            lambda **k: scichunk.from_files(str(files / "*.tif"), **k),
            ("file", "band", "y", "x"),
            [PIXELS] * 2,
        ),
        "open_stack": (
            lambda **k: scichunk.open_stack(str(files / "*.tif"), **k).band_data.data,
            ("file", "band", "y", "x"),
            [PIXELS] * 2,
        ),
    }


NAMES = [
    "from_geotiff",
    "from_jpeg2000",
    "from_fits",
    "from_votable",
    "from_file",
    "from_geotiffs",
    "from_fits_files",
    "from_files",
    "open_stack",
]


@pytest.mark.filterwarnings("ignore::scichunk.errors.PerformanceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_names_of_dimensions(files, name):
    read, dims, want = arrays(files)[name]
    for axis, dim in enumerate(dims):
        array = read(chunks={dim: 1})
        assert set(array.chunks[axis]) == {1}
        assert array.shape == np.shape(want)
    last = read(chunks={dims[-1]: 50})
    assert set(last.chunks[-1]) == {50}
    np.testing.assert_array_equal(last.compute(), want)
    assert read(chunks={dims[-1]: -1}).numblocks[-1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_unknown_names_are_errors_that_list_the_known(files, name):
    read, dims, _ = arrays(files)[name]
    with pytest.raises(ValueError, match="tiem") as caught:
        read(chunks={"tiem": 1})
    assert all(dim in str(caught.value) for dim in dims)
    with pytest.raises(ValueError, match="7"):
        read(chunks={7: 1})


@pytest.mark.parametrize("name", NAMES)
def test_sizes_in_bytes(files, name):
    read, _, want = arrays(files)[name]
    small, large = read(chunks="40 kB"), read(chunks="64 MiB")
    assert small.npartitions >= large.npartitions
    native = np.prod(read(chunks="native").chunksize)  # which are never cut
    assert np.prod(small.chunksize) * small.dtype.itemsize <= max(40_000, native * small.dtype.itemsize)
    np.testing.assert_array_equal(small.compute(), want)
    with pytest.raises(ValueError, match="chunks must be"):
        read(chunks="many")


@pytest.mark.parametrize("name", NAMES)
def test_none_and_true_are_auto(files, name):
    read, _, _ = arrays(files)[name]
    assert read(chunks=None).chunks == read(chunks=True).chunks == read(chunks="auto").chunks


@pytest.mark.filterwarnings("ignore::scichunk.errors.PerformanceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_tuples(files, name):
    read, dims, want = arrays(files)[name]
    number = read(chunks=64)
    assert number.chunksize == tuple(min(64, n) for n in np.shape(want))
    assert read(chunks=tuple([-1] * len(dims))).npartitions == 1
    np.testing.assert_array_equal(number.compute(), want)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("chunks", [{}, {"x": 64}, {"band": 1, "y": -1}, {"x": "auto"}, "auto", 64, None])
def test_engines_take_what_xarray_takes(files, chunks):
    for name in ("a.tif", "a.jp2"):
        ds = xr.open_dataset(files / name, engine="scichunk", chunks=chunks)
        assert (ds.band_data.chunks is None) == (chunks is None)
        np.testing.assert_array_equal(ds.band_data.values, PIXELS)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_hold_for_reduced_images_and_picked_bands(tmp_path):
    path = tmp_path / "a.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=3, height=200, width=300, dtype="uint16", QUALITY=100, REVERSIBLE="YES"
    ) as ds:
        ds.write(PIXELS)
    array = scichunk.from_jpeg2000(path, reduce=1, bands=[2, 0], chunks={"band": 1})
    assert array.chunks[0] == (1, 1)
    np.testing.assert_array_equal(array.compute(), scichunk.from_jpeg2000(path, reduce=1).compute()[[2, 0]])
