"""Tables that go to Parquet and come back, every type of column."""

from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from tests.votable_docs import doc

DATA = Path(__file__).resolve().parents[2] / "test_data"

COLUMNS = {
    "logical": fits.Column("logical", "L", array=[True, False, True]),
    "bits": fits.Column("bits", "11X", array=np.ones((3, 11), bool)),
    "byte": fits.Column("byte", "B", array=[1, 2, 255], null=2),
    "signed": fits.Column("signed", "B", bzero=-128, array=[-128, 0, 127]),
    "short": fits.Column("short", "I", array=[1, -9, 3], null=-9),
    "unsigned": fits.Column("unsigned", "J", bzero=2**31, array=np.array([0, 1, 2**32 - 1], "u4")),
    "long": fits.Column("long", "K", array=[1, 2, 2**62], null=2),
    "float": fits.Column("float", "E", array=[1, np.nan, 3]),
    "complex": fits.Column("complex", "C", array=np.array([1 + 2j, 3, 4j], "c8")),
    "text": fits.Column("text", "8A", array=["a", "", "b c"]),
    "cells": fits.Column("cells", "6D", dim="(3,2)", array=np.arange(18.0).reshape(3, 2, 3)),
    "texts": fits.Column("texts", "6A", dim="(3,2)", array=np.array([["a", "b"], ["c", "d"], ["e", "f"]])),
    "variable": fits.Column("variable", "PE()", array=np.array([[1.0], [], [1.0, 2.0]], object)),
    "variable integers": fits.Column("variable integers", "QJ()", array=np.array([[1], [], [1, 2]], object)),
    "variable complex": fits.Column("variable complex", "PM()", array=np.array([[1j], [], [1, 2]], object)),
}
VOTABLE = {
    "boolean": ("boolean", "", ("T", "?", "F")),
    "bit": ("bit", "9", ("1 1 1 1 1 1 1 1 0",) * 3),
    "long": ("long", "", ("1", "", "9223372036854775807")),
    "text": ("char", "*", ("a", "", " b ")),
    "texts": ("unicodeChar", "3x*", ("abcdef", "", "äöü")),
    "cells": ("int", "2x2", ("1 2 3 4", "", "5 6 7 8")),
    "variable": ("double", "*", ("1 2", "", "3")),
    "variable cells": ("short", "2x*", ("1 2 3 4", "", "5 6")),
    "complex": ("doubleComplex", "", ("1 2", "3 4", "5 6")),
}


lists = pytest.mark.skipif(
    pd.__version__ < "3", reason="pandas 2 fails on the names of types of arrays in Parquet files"
)


def frames(tmp_path):
    fits.BinTableHDU.from_columns(list(COLUMNS.values())).writeto(tmp_path / "t.fits")
    yield scichunk.read_fits_table(tmp_path / "t.fits", blocksize=60)
    fields = "".join(f'<FIELD name="{n}" datatype="{d}" arraysize="{s or 1}"/>' for n, (d, s, _) in VOTABLE.items())
    fields = fields.replace(' arraysize="1"', "").replace('name="long"', 'unit="m" name="long"')
    rows = "".join("<TR>" + "".join(f"<TD>{c[i]}</TD>" for _, _, c in VOTABLE.values()) + "</TR>" for i in range(3))
    yield scichunk.read_votable(doc(rows, fields).encode())


@lists
@pytest.mark.filterwarnings("ignore::scichunk.errors.DataWarning")
@pytest.mark.parametrize("read", [dd.read_parquet, pd.read_parquet])
def test_every_type_comes_back(tmp_path, read):
    for number, frame in enumerate(frames(tmp_path)):
        folder = tmp_path / str(number)
        frame.to_parquet(folder)
        again = read(folder, dtype_backend="pyarrow")
        want, found = frame.compute(), again.compute() if read is dd.read_parquet else again
        assert list(found.columns) == list(want.columns)
        for name in want:
            assert repr(found[name].tolist()) == repr(want[name].tolist()), name
        schema = pq.ParquetDataset(folder).schema
        for name, kind in want.dtypes.items():
            assert schema.field(name).type == kind.pyarrow_dtype or kind == "string", name


@lists
def test_a_single_file_keeps_what_is_said_of_the_columns(tmp_path):
    *_, frame = frames(tmp_path)
    frame.compute().to_parquet(tmp_path / "t.parquet")
    again = pd.read_parquet(tmp_path / "t.parquet", dtype_backend="pyarrow")
    assert scichunk.columns(again).units == scichunk.columns(frame).units == {"long": "m"}


@pytest.mark.parametrize("file", ["stars.vot", "catalogue.fits"])
@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("store", ["netcdf", "zarr"])
def test_columns_that_cannot_be_stored_are_named(tmp_path, file, chunks, store):
    """netCDF and Zarr have no cells of variable length; what xarray says of one tells which, and what helps."""
    table = {"hdu": "STARS"} if file.endswith("fits") else {}
    ds = xr.open_dataset(DATA / file, engine="scichunk", chunks=chunks, **table)
    ds = ds.drop_vars(
        [name for name, v in ds.variables.items() if v.dtype.kind == "c"]
    )  # netCDF has no complex numbers
    ragged = [name for name, v in ds.variables.items() if "variable length" in str(v.encoding.get("dtype"))]
    assert len(ragged) == 1
    save = (
        (lambda d: d.to_netcdf(tmp_path / "t.nc"))
        if store == "netcdf"
        else (lambda d: d.to_zarr(tmp_path / "t.zarr", mode="w"))
    )
    with pytest.raises((TypeError, ValueError), match=f"{ragged[0]}.*variable length.*drop_vars"):
        save(ds)
    save(ds.drop_vars(ragged))
    assert len(ds.isel(row=slice(2)).load()[ragged[0]]) == 2
    again = xr.concat([ds, ds], "row").isel(row=slice(3)).compute()
    assert again[ragged[0]].dtype == object
