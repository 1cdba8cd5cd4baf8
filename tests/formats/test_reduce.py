"""``scichunk.reduce`` and ``scichunk.map_chunks``: the values of dask and xarray, in few tasks."""

import os
import pickle

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

import scichunk
from tests.abilities import needs_reduced_times

NAMES = ["mean", "sum", "min", "max", "std", "var"]


def write_tiff(path, values, **profile):
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", **profile}
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=values.dtype,
        transform=from_origin(0, 0, 1, 1),
        **profile,
    ) as dst:
        dst.write(values)
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Seven small files with gaps: NaN in the fourth, nodata declared in all."""
    found = []
    rng = np.random.default_rng(3)
    for n in range(7):
        values = rng.normal(100, 20, (2, 40, 50)).astype("f4")
        values[0, 0, 0] = -9999
        if n == 3:
            values[1, 3:5] = np.nan
        found.append(write_tiff(tmp_path / f"f{n}.tif", values, nodata=-9999))
    return found


@pytest.fixture
def scene(tmp_path):
    values = np.random.default_rng(1).integers(0, 4000, (3, 70, 90)).astype("u2")
    return write_tiff(tmp_path / "scene.tif", values), values


def tasks_of(array):
    return len(dict(array.__dask_graph__()))


@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize("axis", [None, 0, 1, (1, 2), (0, 2), -1])
@pytest.mark.parametrize("chunks", ["native", "auto"])
def test_as_dask_of_one_file(scene, how, axis, chunks):
    array = scichunk.from_geotiff(scene[0], chunks=chunks)
    expected = getattr(array, how)(axis=axis)
    found = scichunk.reduce(array, how, dim=axis)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.compute(), expected.compute(), rtol=1e-12)
    if how in {"sum", "min", "max"}:
        np.testing.assert_array_equal(found.compute(), expected.compute())


@pytest.mark.parametrize("how", [*NAMES, "count"])
@pytest.mark.parametrize("dim", [None, "file", ["file", "band"], ["y", "x"], "x", ...])
def test_as_xarray_of_a_stack(files, how, dim):
    """Also where values are masked, which the stack does as it reads; NaN is skipped."""
    stack = scichunk.open_stack(files).band_data
    expected = getattr(stack, how)(dim)
    found = scichunk.reduce(stack, how, dim=dim)
    assert found.data.dtype == expected.data.dtype
    xr.testing.assert_allclose(found.load(), expected.load(), rtol=2e-5)
    assert list(found.coords) == list(expected.coords)
    assert found.name == expected.name


@pytest.mark.parametrize("how", NAMES)
def test_nan_is_kept_where_asked_for(files, how):
    stack = scichunk.open_stack(files)
    expected = getattr(stack, how)("file", skipna=False)
    xr.testing.assert_allclose(scichunk.reduce(stack, how, dim="file", skipna=False).load(), expected.load(), rtol=2e-5)
    array = scichunk.from_files(files)
    found = scichunk.reduce(array, how, dim=0).compute()
    np.testing.assert_allclose(found, getattr(array, how)(axis=0).compute(), rtol=2e-4)
    assert np.isnan(found[1, 3]).all()


def test_nothing_but_nan(tmp_path):
    empty = [write_tiff(tmp_path / f"{n}.tif", np.full((1, 20, 20), np.nan, "f4")) for n in range(3)]
    stack = scichunk.open_stack(empty).band_data
    for how in [*NAMES, "count"]:
        with np.errstate(all="ignore"), dask.config.set(scheduler="sync"):
            expected = getattr(stack, how)("file").load()
        xr.testing.assert_equal(scichunk.reduce(stack, how, dim="file").load(), expected)


def test_degrees_of_freedom(files):
    stack = scichunk.open_stack(files).band_data
    expected = stack.std("file", ddof=1).load()
    xr.testing.assert_allclose(scichunk.reduce(stack, "std", dim="file", ddof=1).load(), expected, rtol=2e-5)


def test_engine_arrays(scene):
    """With chunks, without, and the whole dataset."""
    for chunks in ({}, {"x": 10}, None):
        ds = xr.open_dataset(scene[0], engine="geotiff", chunks=chunks)
        expected = ds.mean(["y", "x"]).load()
        found = scichunk.reduce(ds, "mean", dim=["y", "x"])
        assert found.band_data.chunks is not None
        xr.testing.assert_allclose(found.load(), expected)
        assert (found.band_data.attrs == expected.band_data.attrs) and set(found.coords) == set(expected.coords)
        assert tasks_of(scichunk.reduce(ds.band_data, "max").data) <= 80


def test_bands(files, scene):
    picked = scichunk.from_geotiff(scene[0], bands=[2, 0])
    np.testing.assert_array_equal(scichunk.reduce(picked, "max", dim=1).compute(), scene[1][[2, 0]].max(1))
    stacked = scichunk.from_files(files, bands=[1])
    assert stacked.shape == (7, 1, 40, 50)
    found = scichunk.reduce(stacked, "min", dim=(0, 1)).compute()
    np.testing.assert_array_equal(found, stacked.compute().min((0, 1)))


def test_functions(files, scene):
    """All values at once, or parts that are joined."""
    array, values = scichunk.from_geotiff(scene[0], chunks="native"), scene[1]
    np.testing.assert_array_equal(scichunk.reduce(array, np.median, dim=0).compute(), np.median(values, 0))
    np.testing.assert_array_equal(
        scichunk.reduce(array, np.bitwise_or, dim=(0, 2)).compute(), np.bitwise_or.reduce(values, (0, 2))
    )
    above = scichunk.reduce(array, lambda v, axis: (v > 2000).sum(axis), dim=(1, 2), combine=np.add)
    np.testing.assert_array_equal(above.compute(), (values > 2000).sum((1, 2)))
    stack = scichunk.open_stack(files).band_data
    found = scichunk.reduce(stack, np.nanmedian, dim="file")
    xr.testing.assert_equal(found.load(), stack.load().median("file", keep_attrs=found.attrs != {}))


def test_a_mean_of_many_files_is_few_tasks(files):
    many = [files[n % 7] for n in range(5000)]
    for chunks in ("native", "auto"):
        array = scichunk.from_files(many, headers="first", chunks=chunks)
        assert tasks_of(scichunk.reduce(array, "mean", dim=0)) <= 100
    twice = scichunk.map_chunks(lambda v: v * 2, array)
    assert tasks_of(scichunk.reduce(twice, "mean", dim=0)) <= 100


def test_few_tasks_are_enough_or_as_many_as_asked_for(files):
    array = scichunk.from_files(files, chunks="native")
    assert tasks_of(scichunk.reduce(array, "sum", dim=0, tasks=1)) <= 4
    one = scichunk.reduce(array, "sum", dim=0, tasks=1).compute()
    np.testing.assert_allclose(scichunk.reduce(array, "sum", dim=0, tasks=1000).compute(), one)


def test_what_was_computed_is_reduced_by_dask(scene):
    array, values = scichunk.from_geotiff(scene[0]), scene[1]
    np.testing.assert_array_equal(scichunk.reduce(array + 1, "max", dim=0).compute(), (values + 1).max(0))
    np.testing.assert_array_equal(
        scichunk.reduce(array[:, 5:, ::-1], "max", dim=0).compute(), values[:, 5:, ::-1].max(0)
    )
    np.testing.assert_array_equal(scichunk.reduce(array + 1, "count", dim=0).compute(), np.full((70, 90), 3))
    assert scichunk.reduce(da.ones((4, 5)), "sum").compute() == 20
    part = xr.open_dataset(scene[0], engine="geotiff").isel(x=slice(10, 30)).band_data
    np.testing.assert_array_equal(scichunk.reduce(part, "sum", dim="y").load(), part.sum("y"))


def test_wrong_words(scene):
    array = scichunk.from_geotiff(scene[0])
    with pytest.raises(ValueError, match="how must be one of mean, sum"):
        scichunk.reduce(array, "mode")
    with pytest.raises(ValueError, match="tasks must be 1"):
        scichunk.reduce(array, "mean", tasks=0)
    with pytest.raises(ValueError, match="axis 3"):
        scichunk.reduce(array, "mean", dim=3)
    with pytest.raises(TypeError, match="got ndarray"):
        scichunk.reduce(scene[1], "mean")
    with pytest.raises(TypeError, match="computed or cut"):
        scichunk.reduce(array + 1, np.median)
    with pytest.raises(TypeError, match="computed or cut"):
        scichunk.map_chunks(np.sqrt, array + 1)
    with pytest.raises(ValueError, match="takes 1 arguments"):
        scichunk.reduce(array, np.sqrt)
    with pytest.raises(ValueError, match="not among the dimensions"):
        scichunk.reduce(xr.open_dataset(scene[0], engine="geotiff"), "mean", dim="time")
    with pytest.raises(ValueError, match="reduced axes may be left out"):
        scichunk.reduce(array, lambda v, axis: v, dim=0).compute()


def test_map_chunks(scene, files):
    path, values = scene
    array = scichunk.from_geotiff(path, chunks="native")
    seen = []

    def add(chunk, plus):
        seen.append(chunk.shape)
        return chunk.astype("f8") + plus

    found = scichunk.map_chunks(add, array, plus=0.5, dtype="f8")
    assert found.dtype == "f8"
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(found.compute(), values + 0.5)
    assert max(seen)[1:] == (16, 16)
    np.testing.assert_array_equal(found[1, 10:20, ::-3].compute(), (values + 0.5)[1, 10:20, ::-3])
    np.testing.assert_array_equal(found[:, :, [5, 3, 80]].compute(), (values + 0.5)[:, :, [5, 3, 80]])
    ds = xr.open_dataset(path, engine="geotiff", chunks={})
    made = scichunk.map_chunks(np.sqrt, ds.band_data)
    xr.testing.assert_equal(made.load(), np.sqrt(ds.band_data).load())
    assert made.dtype == np.sqrt(ds.band_data).dtype
    with pytest.raises(ValueError, match="they must be equal"):
        scichunk.map_chunks(lambda v: v[:1, :1], array).compute()
    with pytest.raises(ValueError, match="give dtype="):
        scichunk.map_chunks(lambda v: v[:, 15:16] / v[:, 15], array)
    with pytest.raises(ValueError, match="give dtype="):
        scichunk.map_chunks(lambda v: v * 1.5, array, dtype="u2").compute()


def test_graphs_travel(files):
    stack = scichunk.reduce(scichunk.open_stack(files).band_data, "mean", dim="file")
    xr.testing.assert_equal(pickle.loads(pickle.dumps(stack)).load(), stack.load())
    mapped = scichunk.map_chunks(lambda v: v + 1, scichunk.from_files(files))
    np.testing.assert_array_equal(cloudpickle.loads(cloudpickle.dumps(mapped)).compute(), mapped.compute())


def test_names_tell_reductions_apart(files):
    array = scichunk.from_files(files)
    names = {
        scichunk.reduce(array, how, dim=dim, **more).name
        for how in ("mean", "std")
        for dim in (0, 1)
        for more in ({}, {"skipna": True}, {"ddof": 1}, {"tasks": 3})
    }
    assert len(names) == 16
    assert scichunk.reduce(array, "mean", dim=0).name == scichunk.reduce(array, "mean", dim=0).name


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 50), st.integers(1, 50))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=SHAPES,
    dtype=st.sampled_from(["u1", "i2", "u4", "f4", "f8"]),
    how=st.sampled_from([*NAMES, "count"]),
    axes=st.sets(st.sampled_from([0, 1, 2]), min_size=1),
    tasks=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_as_numpy(tmp_path, shape, dtype, how, axes, tasks, seed):
    rng = np.random.default_rng(seed)
    values = (rng.random(shape) * 200).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(shape) < 0.2] = np.nan
    path = write_tiff(tmp_path / "x.tif", values)
    array = scichunk.from_geotiff(path, chunks="native")
    found = scichunk.reduce(array, how, dim=tuple(axes), skipna=True, tasks=tasks).compute(scheduler="sync")
    frame = xr.DataArray(values, dims=("a", "b", "c"))
    with np.errstate(all="ignore"):
        expected = getattr(frame, how)([frame.dims[a] for a in axes]).values
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == expected.dtype


@pytest.fixture
def catalogue(tmp_path):
    """A table with times, which are decoded as they are read, and texts."""
    from astropy.io import fits

    columns = [
        fits.Column("t", "D", unit="s since 2020-01-01", array=np.arange(10) * 3600.0),
        fits.Column("mag", "E", array=np.linspace(10, 20, 10)),
        fits.Column("name", "4A", array=[f"s{n}" for n in range(10)]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "stars.fits")
    return str(tmp_path / "stars.fits")


@needs_reduced_times
@pytest.mark.parametrize("chunks", [{}, {"row": 3}, None])
def test_times_are_reduced_as_times(catalogue, chunks):
    ds = xr.open_dataset(catalogue, engine="fits", chunks=chunks)
    for how in ("min", "max"):
        found = scichunk.reduce(ds.t, how)
        assert found.dtype == ds.t.dtype
        assert found.compute().values == getattr(ds.t, how)().values
    with pytest.raises(TypeError, match="as scichunk has opened it"):
        scichunk.map_chunks(lambda v: v, ds.t)
    if chunks == {}:  # what is read is what the decoded values are made of
        assert scichunk.plan(ds.t).readings[0].decoded == 80


@needs_reduced_times
def test_times_of_a_stack_are_reduced_as_times(catalogue):
    ds = scichunk.open_stack([catalogue, catalogue], hdu=1)
    assert scichunk.reduce(ds.t, "max").compute().values == ds.t.max().values
    assert scichunk.plan(ds.t).readings


def test_names_of_times_tell_versions_apart(catalogue, tmp_path):
    before = xr.open_dataset(catalogue, engine="fits", chunks={}).t.data.name
    times = os.stat(catalogue)
    with open(catalogue, "r+b") as file:
        file.seek(-2880, os.SEEK_END)
        file.write(b"\0")
    os.utime(catalogue, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert xr.open_dataset(catalogue, engine="fits", chunks={}).t.data.name != before


def test_texts_of_a_dataset_have_no_mean(catalogue):
    ds = xr.open_dataset(catalogue, engine="fits", chunks={})[["mag", "name"]]
    for how in ("mean", "sum", "std", "var"):
        xr.testing.assert_allclose(scichunk.reduce(ds, how).compute(), getattr(ds, how)().compute(), rtol=1e-6)


@pytest.mark.parametrize("how", [np.subtract, np.divide, np.power])
def test_functions_whose_order_matters_do_not_reduce_parts(scene, how):
    array = scichunk.from_file(scene[0])
    with pytest.raises(ValueError, match="combine="):
        scichunk.reduce(array, how, 1)
    assert scichunk.reduce(array, np.subtract, 1, combine=lambda a, b: a - b).compute().shape == (3, 90)
