# ruff: noqa: PD010, PD011, PD013  # objects of xarray, not of pandas
"""Ordinary work with xarray: what FITS images of the sky carry beside their pixels breaks none of it.

Each operation is done to an image as the engine opens it, and to a dataset of the same values and dimensions that has never seen FITS;
what comes out must be equal, or both must fail.
"""

import importlib.util
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import DataWarning

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 6.0, "CRPIX2": 5.0, "CDELT1": -0.01,
       "CDELT2": 0.01, "BUNIT": "Jy / beam"}  # fmt: skip
FREQUENCY = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0, "CUNIT3": "Hz"}
SHAPES = {"image": (10, 12), "cube": (6, 10, 12), "stack": (10, 12), "dithered stack": (10, 12)}


def write(path, shape, seed=0, **cards):
    primary = fits.PrimaryHDU(np.random.default_rng(seed).normal(size=shape).astype("f4"))
    for name, value in {**SKY, **cards}.items():
        primary.header[name] = value
    primary.writeto(path, overwrite=True)
    return str(path)


@pytest.fixture(scope="module", params=SHAPES)
def opened(request, tmp_path_factory):
    """The dataset of a kind of file, its twin, and the kind."""
    folder, kind = tmp_path_factory.mktemp("ordinary"), request.param
    if "stack" in kind:
        shift = 0.013 if "dithered" in kind else 0.0
        paths = [write(folder / f"{i}.fits", SHAPES[kind], i, CRVAL1=150.0 + shift * i) for i in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            ds = scichunk.open_stack(paths, dim="frequency", coordinate=[1e9, 1.001e9, 1.002e9, 1.003e9])
    else:
        path = write(folder / "image.fits", SHAPES[kind], **(FREQUENCY if kind == "cube" else {}))
        ds = xr.open_dataset(path, engine="fits", chunks={})
    return ds, twin(ds), kind


def twin(ds):
    """The same values and dimensions, made by hand; of what comes beside them only what xarray needs no index for."""
    coords = {name: (c.dims, np.array(c.values), dict(c.attrs)) for name, c in ds.coords.items()}
    variables = {name: (v.dims, np.array(v.values), dict(v.attrs)) for name, v in ds.data_vars.items()}
    return xr.Dataset(variables, coords, dict(ds.attrs)).chunk()


def halves(d):
    return d.isel(x=slice(0, 6)), d.isel(x=slice(6, 12))


def put(d, name, value):
    d = d.copy()
    d[name] = value
    return d


def add(d):
    d = d.copy()
    d["data"] += 1
    return d


def two(d):
    """Another image of the same grid."""
    return d.rename(data="other")


OPERATIONS = {
    "times an axis": lambda d: d.data * d.frequency,
    "moment": lambda d: (d.data * d.frequency).sum("frequency") / d.data.sum("frequency"),
    "over a spectrum": lambda d: d.data / d.data.mean(["x", "y"]),
    "minus a plane": lambda d: d.data - d.data.isel(frequency=0, drop=True),
    "minus a plane that keeps its place": lambda d: d.data - d.data.isel(frequency=0),
    "pixel over pixel": lambda d: d.data.isel(x=3, y=4) / d.data.isel(x=2, y=1),
    "scale an axis": lambda d: put(d, "frequency", d.frequency / 1e9),
    "assign another axis": lambda d: d.assign_coords(velocity=("frequency", (1 - d.frequency.values / 1e9) * 3e5)),
    "sel an axis": lambda d: d.sel(frequency=1.001e9),
    "sel a range of an axis": lambda d: d.sel(frequency=slice(1.0005e9, 1.0025e9)),
    "concat along an axis": lambda d: xr.concat(
        [d.isel(frequency=slice(0, 2)), d.isel(frequency=slice(2, None))], "frequency"
    ),
    "interp along an axis": lambda d: d.interp(frequency=[1.0005e9]),
    "isin": lambda d: d.data.isin([1]),
    "dropna": lambda d: d.dropna("x"),
    "to_dict": lambda d: xr.Dataset.from_dict(d.to_dict()),
    "group by group": lambda d: xr.concat([part for _, part in d.groupby("x")], "x"),
    "identical to its copy": lambda d: xr.Dataset({"a": d.identical(d.copy())}),
    "equal to its copy": lambda d: xr.Dataset({"a": d.equals(d.copy(deep=True))}),
    "two images": lambda d: (d.data - two(d).other).rename("difference"),
    "of arrays of several ranks": lambda d: xr.Dataset(
        {"a": d.data, "b": d.data.sum("x"), "c": d.data.mean(["x", "y"])}
    ),
    "assign": lambda d: d.assign(q=d.data * 2),
    "set": lambda d: put(d, "snr", d.data / 2),
    "set a mask": lambda d: put(d, "mask", d.data > 0),
    "add in place": add,
    "assign a mean": lambda d: d.assign(m=d.data.mean(["x", "y"])),
    "assign a collapsed axis": lambda d: d.assign(m=d.data.sum("x")),
    "assign a coordinate": lambda d: d.assign_coords(r=d.x * 2),
    "assign a 2-D coordinate": lambda d: d.assign_coords(r=(("y", "x"), np.ones((10, 12)))),
    "assign over x": lambda d: d.assign_coords(x=d.x * 0.1),
    "assign over x, NumPy": lambda d: d.assign_coords(x=np.arange(12) * 0.1),
    "assign over ra": lambda d: d.assign_coords(ra=(("y", "x"), np.zeros((10, 12)))),
    "set x": lambda d: put(d, "x", d.x + 1),
    "drop ra and dec": lambda d: d.drop_vars(["ra", "dec"]),
    "drop ra": lambda d: d.drop_vars("ra"),
    "drop x": lambda d: d.drop_vars("x"),
    "drop the indexes": lambda d: d.drop_indexes(["x", "y"]),
    "reset ra": lambda d: d.reset_coords(["ra", "dec"]),
    "reset x": lambda d: d.reset_index("x"),
    "rename": lambda d: d.rename(x="lon"),
    "rename ra": lambda d: d.rename(ra="alpha"),
    "rename dims": lambda d: d.rename_dims(x="lon"),
    "swap dims": lambda d: d.swap_dims(x="lon"),
    "set an index": lambda d: d.assign_coords(k=("x", np.arange(12) * 2)).set_xindex("k").sel(k=4),
    "times itself": lambda d: d.data * d.data,
    "minus a pixel": lambda d: d.data - d.data.isel(x=3, y=4),
    "over a mean": lambda d: d.data / d.data.mean(["x", "y"]),
    "mean minus": lambda d: d.data.mean(["x", "y"]) - d.data,
    "plus a slice": lambda d: d.data + d.data.isel(x=slice(9)),
    "plus a slice of steps": lambda d: d.data + d.data.isel(x=slice(None, None, 3), y=slice(2, 8)),
    "plus by hand": lambda d: d.data + xr.DataArray(np.ones(5), dims="x", coords={"x": [3, 4, 5, 6, 20]}),
    "plus a table": lambda d: (
        d.data.isel(x=0, y=0)
        + xr.DataArray([1.0, 2.0], dims="star", coords={"ra": ("star", [1.0, 2.0]), "dec": ("star", [3.0, 4.0])})
    ),
    "reversed plus": lambda d: d.data + d.data.isel(x=slice(None, None, -1)),
    "where": lambda d: d.where(d.data > 0),
    "xr.where": lambda d: xr.where(d.data > 0, d.data, np.nan),
    "where near": lambda d: d.where((d.x - 5) ** 2 + (d.y - 5) ** 2 < 9, drop=True),
    "apply_ufunc": lambda d: xr.apply_ufunc(np.sqrt, abs(d.data), dask="parallelized", output_dtypes=["f4"]),
    "dot": lambda d: xr.dot(d.data, d.data, dim="x"),
    "clip": lambda d: d.clip(0, 1),
    "fillna": lambda d: d.where(d.data > 0).fillna(d.data.mean()),
    "combine_first": lambda d: d.isel(x=slice(5)).combine_first(d),
    "align inner": lambda d: xr.align(d, d.isel(x=slice(6)), join="inner")[0],
    "align outer": lambda d: xr.align(d, d.isel(x=slice(6)), join="outer")[1],
    "align left": lambda d: xr.align(d, d.isel(x=slice(6)), join="left")[1],
    "align with a table": lambda d: xr.align(d, xr.Dataset({"ra": ("row", [1.0]), "dec": ("row", [2.0])}))[1],
    "merge": lambda d: xr.merge([d, two(d)], join="outer", compat="no_conflicts"),
    "merge a slice": lambda d: xr.merge([d, two(d).isel(x=slice(6))], join="outer", compat="no_conflicts"),
    "merge a table": lambda d: d.merge(xr.Dataset({"ra": ("row", [1.0]), "dec": ("row", [2.0])})),
    "broadcast": lambda d: xr.broadcast(d.data, d.data.mean("x"))[1],
    "concat halves": lambda d: xr.concat(halves(d), "x", coords="minimal", compat="override"),
    "concat backwards": lambda d: xr.concat(halves(d)[::-1], "x", coords="minimal", compat="override"),
    "concat with a gap": lambda d: xr.concat(
        [d.isel(x=slice(3)), d.isel(x=slice(5, 12))], "x", coords="minimal", compat="override"
    ),
    "concat anew": lambda d: xr.concat([d, d], "t", coords="minimal", compat="override"),
    "concat anew, different": lambda d: xr.concat([d.data, d.data], "t", coords="different", compat="equals"),
    "concat unequal": lambda d: xr.concat(
        [d, d.isel(x=slice(7))], "t", join="outer", coords="minimal", compat="override"
    ),
    "combine_by_coords": lambda d: xr.combine_by_coords(halves(d)[::-1], coords="minimal", compat="override"),
    "combine_nested": lambda d: xr.combine_nested(
        [[p.isel(y=slice(5)) for p in halves(d)], [p.isel(y=slice(5, 10)) for p in halves(d)]],
        concat_dim=["y", "x"],
        coords="minimal",
        compat="override",
        join="outer",
    ),
    "expand_dims": lambda d: d.expand_dims(time=[1]),
    "stack": lambda d: d.data.stack(pixel=("y", "x")).reset_index("pixel"),
    "unstack": lambda d: d.data.load().stack(pixel=("y", "x")).unstack("pixel"),
    "transpose": lambda d: d.transpose("x", "y", ...),
    "squeeze": lambda d: d.isel(x=[3]).squeeze(),
    "reindex": lambda d: d.reindex(x=np.arange(5)),
    "reindex beyond": lambda d: d.reindex(x=[3, 40], y=[1, 2, 3]),
    "reindex nearest": lambda d: d.reindex(x=[3.2, 4.4], method="nearest"),
    "reindex_like": lambda d: d.reindex_like(d.isel(x=slice(2, 6))),
    "sortby": lambda d: d.sortby("x", ascending=False),
    "coarsen": lambda d: d.coarsen(x=2, y=2).mean(),
    "coarsen construct": lambda d: d.coarsen(x=3).construct(x=("block", "inside")),
    "rolling": lambda d: d.rolling(x=3, center=True).mean(),
    "pad": lambda d: d.pad(x=2),
    "roll": lambda d: d.roll(x=2),
    "roll coords": lambda d: d.roll(x=2, roll_coords=True),
    "shift": lambda d: d.shift(x=2),
    "thin": lambda d: d.thin(x=2),
    "head": lambda d: d.head(x=2),
    "diff": lambda d: d.diff("x"),
    "cumsum": lambda d: d.cumsum("x"),
    "differentiate": lambda d: d.differentiate("x"),
    "integrate": lambda d: d.integrate("x"),
    "quantile": lambda d: d.chunk(x=-1).quantile(0.5, "x"),
    "idxmax": lambda d: d.data.chunk(x=-1).idxmax("x"),
    "argmax": lambda d: xr.Dataset(d.data.load().argmax(["x", "y"])),
    "polyfit": lambda d: d.data.load().polyfit("x", 1),
    "weighted": lambda d: d.data.weighted(d.x).mean("x"),
    "interp": lambda d: d.interp(x=[1.5, 2.25], y=[2.5]),
    "groupby": lambda d: d.groupby("x").mean(),
    "groupby a group": lambda d: d.groupby(d.x // 4).mean(),
    "groupby_bins": lambda d: d.groupby_bins("x", [0, 5, 12]).mean(),
    "groupby map": lambda d: d.groupby("x").map(lambda g: g - g.data.mean()),
    "groupby a ring": lambda d: d.groupby_bins(np.hypot(d.x - 5, d.y - 5), 3).mean(...),
    "isel backwards": lambda d: d.isel(x=slice(None, None, -1)),
    "isel points": lambda d: d.isel(x=xr.DataArray([1, 2], dims="p"), y=xr.DataArray([3, 4], dims="p")),
    "sel": lambda d: d.sel(x=slice(2, 5), y=[1, 3]),
    "sel nearest": lambda d: d.sel(x=2.2, method="nearest"),
    "sel points": lambda d: d.sel(x=xr.DataArray([1, 2], dims="p"), y=xr.DataArray([3, 4], dims="p")),
    "sel missing": lambda d: d.sel(x=99),
    "loc": lambda d: d.data.loc[{"x": slice(2, 4)}],
    "query": lambda d: d.query(x="x > 3"),
    "map_blocks": lambda d: xr.map_blocks(lambda b: b * 2, d),
    "map_blocks with a template": lambda d: d.data.map_blocks(lambda b: b * 2, template=d.data),
    "chunk": lambda d: d.chunk(x=4),
    "load": lambda d: d.load(),
    "compute": lambda d: d.compute(),
    "persist": lambda d: d.persist(),
    "copy": lambda d: d.copy(deep=True),
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "to_dataarray": lambda d: d.to_dataarray(),
    "from_dict": lambda d: xr.Dataset.from_dict(d.to_dict()),
    "of arrays": lambda d: xr.Dataset({"a": d.data, "b": d.data.sum("x"), "c": d.data.mean(["x", "y"])}),
    "of arrays, backwards": lambda d: xr.Dataset({"c": d.data.mean(["x", "y"]), "a": d.data}),
    "to_dataset": lambda d: d.data.to_dataset(name="z").assign(q=d.data * 2),
    "a tree": lambda d: xr.DataTree.from_dict({"/": d, "/part": d[["data"]] * 2})["part"].to_dataset(),
    "to_dataframe": lambda d: d.to_dataframe(),
    "to_pandas": lambda d: d.data.isel(x=slice(0, 3), y=2).to_pandas(),
    "to_series": lambda d: d.data.to_series(),
    "to_dask_dataframe": lambda d: d[["data"]].reset_coords(drop=True).to_dask_dataframe().compute(),
    "indexes": lambda d: xr.Dataset({n: (n, i.values) for n, i in d.indexes.items()}),
    "html": lambda d: xr.Dataset(attrs={"html": d._repr_html_()[:40]}),
}


def outcome(operation, ds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = operation(ds)
            return found.compute() if isinstance(found, xr.Dataset | xr.DataArray) else found
        except Exception as error:
            return error


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(opened, name):
    ds, want, _ = opened
    if name.startswith("interp"):
        pytest.importorskip("scipy", reason="needs scipy")
    found, like = (outcome(OPERATIONS[name], d) for d in (ds, want))
    assert type(found) is type(like), (found, like)
    if isinstance(like, Exception):
        assert name in {"merge a table", "sel missing", "rename ra", "drop ra and dec"} or like.args, like
        assert str(found).split("\n")[0] == str(like).split("\n")[0]
    elif isinstance(like, pd.DataFrame | pd.Series):
        assert found.equals(like)
    else:
        xr.testing.assert_identical(found, like)
        assert {n: type(i) for n, i in found.xindexes.items()} == {n: type(i) for n, i in like.xindexes.items()}


def test_most_operations_work():
    """The table would say nothing if the twin failed as well."""
    rng = np.random.default_rng(0)
    coords = {"x": np.arange(12), "y": np.arange(10), "frequency": [1e9, 1.001e9], "ra": 1.0, "dec": 2.0}
    ds = xr.Dataset({"data": (("frequency", "y", "x"), rng.normal(size=(2, 10, 12)))}, coords).chunk()
    failed = {name for name, operation in OPERATIONS.items() if isinstance(outcome(operation, ds), Exception)}
    assert failed - {"interp", "interp along an axis"} == {"merge a table", "sel missing"}


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def thread_of_zarr(tmp_path_factory):
    """Zarr starts a thread when it is first used and keeps it: no test leaves it behind."""
    if importlib.util.find_spec("zarr"):
        xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path_factory.mktemp("zarr") / "a")


@pytest.mark.usefixtures("thread_of_zarr")
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "zarr"])
def test_stored_and_opened_again(opened, engine, tmp_path):
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine), reason=f"needs {engine}")
    ds, _, kind = opened
    path = tmp_path / "stored"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Zarr, that texts have no standard form
        if engine == "zarr":
            ds.to_zarr(path)
        else:
            ds.to_netcdf(path, engine=engine)
        with xr.open_dataset(path, engine=engine) as file:
            again = file.load()
    xr.testing.assert_allclose(again, ds.compute())
    assert again.data.attrs == ds.data.attrs
    ra, dec = 150.005, 2.195
    xr.testing.assert_allclose(again.sky.sel(ra=ra, dec=dec), ds.sky.sel(ra=ra, dec=dec).compute())
    xr.testing.assert_allclose(
        again.sky.box(ra=(149.98, 150.02), dec=(2.17, 2.21)), ds.sky.box(ra=(149.98, 150.02), dec=(2.17, 2.21))
    )
    one = again.isel(frequency=1) if "dithered" in kind else again
    want = ds.isel(frequency=1) if "dithered" in kind else ds
    assert scichunk.wcs(one.isel(x=slice(2, 9, 3))).wcs.compare(scichunk.wcs(want.isel(x=slice(2, 9, 3))).wcs)


def test_open_mfdataset(tmp_path):
    same = [write(tmp_path / f"{i}.fits", (10, 12), i) for i in range(3)]
    dithered = [write(tmp_path / f"d{i}.fits", (10, 12), i, CRVAL1=150.0 + i) for i in range(3)]
    for paths in (same, dithered):
        ds = xr.open_mfdataset(
            paths, engine="fits", combine="nested", concat_dim="time", coords="different", compat="equals", join="outer",
            combine_attrs="drop_conflicts",
        )  # fmt: skip
        assert ds.data.shape == (3, 10, 12)
        assert ds.ra.dims == (("time",) if paths is dithered else ())
        ds.close()


def test_images_that_point_elsewhere(tmp_path):
    """Arithmetic with another pointing drops the reference point, as it drops any coordinate that differs."""
    one, two = (
        xr.open_dataset(write(tmp_path / f"{i}.fits", (10, 12), i, CRVAL1=150.0 + i), engine="fits") for i in range(2)
    )
    difference = one.data - two.data
    np.testing.assert_array_equal(difference, one.data.values - two.data.values)
    assert set(difference.coords) == {"x", "y", "dec"}
    together = xr.concat([one, two], "time", coords="different", compat="equals", join="outer")
    assert together.ra.values.tolist() == [150.0, 151.0]
    with pytest.raises(xr.MergeError):
        xr.merge([one, two.rename(data="b")], compat="no_conflicts", join="outer")
