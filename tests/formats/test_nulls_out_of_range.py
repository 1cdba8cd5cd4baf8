"""Nulls that the type of the column, or a double, does not have: they are the missing values and no others, also when they are written again."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from rasterio.transform import from_origin

import scichunk

VOTABLE = b"""<VOTABLE version="1.3"><RESOURCE><TABLE>
<FIELD name="a" datatype="short"><VALUES null="-32769"/></FIELD>
<FIELD name="b" datatype="unsignedByte"><VALUES null="999"/></FIELD>
<FIELD name="c" datatype="int"><VALUES null="0x7f"/></FIELD>
<DATA><TABLEDATA>
<TR><TD>1</TD><TD/><TD>1</TD></TR><TR><TD/><TD>255</TD><TD/></TR><TR><TD>-32768</TD><TD>0</TD><TD>127</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
ROWS = [(1, None, 1), (None, 255, None), (-32768, 0, None)]
WRITERS = {
    "votable": (scichunk.write_votable, scichunk.read_votable),
    "fits": (scichunk.write_fits_table, scichunk.read_fits_table),
}


def rows(frame):
    found = frame.astype("Int64").astype(object)
    return list(found.where(found.notna(), None).itertuples(index=False, name=None))


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("through", ["frame", "dataset"])
def test_a_votable(tmp_path, form, through):
    write, read = WRITERS[form]
    table = scichunk.read_votable(VOTABLE) if through == "frame" else xr.open_dataset(VOTABLE, engine="votable").load()
    write(table, tmp_path / "out")
    assert rows(read(tmp_path / "out").compute()) == ROWS


def test_a_fits_table(tmp_path):
    columns = [fits.Column("i", "I", null=99999, array=np.array([1, 2, -5], "i2"))]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "in.fits")
    with xr.open_dataset(tmp_path / "in.fits", engine="fits", hdu=1) as ds:
        i = ds["i"].load()
    missing = i.where(i != 2).assign_attrs(i.attrs)
    missing.encoding["tnull"] = 99999
    scichunk.write_fits_table(missing.to_dataset(), tmp_path / "out.fits")
    with xr.open_dataset(tmp_path / "out.fits", engine="fits", hdu=1) as back:
        np.testing.assert_array_equal(back["i"], [1, np.nan, -5])


LARGEST = 2**63 - 1
BEYOND = {"largest": LARGEST, "lowest": -(2**63), "odd": 2**53 + 1}
"""Integers that are null, each beside one that is the same double."""


def long_table(folder, form, null):
    beside = null - 1 if null > 0 else null + 1
    if form == "fits":
        columns = [fits.Column("a", "K", null=null, array=np.array([1, null, beside, 5], "i8"))]
        fits.BinTableHDU.from_columns(columns).writeto(folder / "in.fits")
        return folder / "in.fits"
    rows = "".join(f"<TR><TD>{v}</TD></TR>" for v in (1, null, beside, 5))
    (folder / "in.vot").write_text(
        f'<VOTABLE version="1.3"><RESOURCE><TABLE><FIELD name="a" datatype="long"><VALUES null="{null}"/></FIELD>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    return folder / "in.vot"


@pytest.mark.parametrize("null", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("form", WRITERS)
def test_a_number_beside_the_null_is_no_null(tmp_path, form, null):
    with xr.open_dataset(long_table(tmp_path, form, null), engine="scichunk") as opened:
        assert np.isnan(opened["a"].values).tolist() == [False, True, False, False]


@pytest.mark.parametrize("null", [LARGEST, 2**53 + 1], ids=["largest", "odd"])
@pytest.mark.parametrize("form", WRITERS)
def test_nulls_that_no_double_equals_stay_missing(tmp_path, form, null):
    with xr.open_dataset(long_table(tmp_path, form, null), engine="scichunk") as opened:
        ds = opened.load()
    ds.to_netcdf(tmp_path / "out.nc")
    ds.to_zarr(tmp_path / "out.zarr", consolidated=False)
    for stored in (xr.open_dataset(tmp_path / "out.nc"), xr.open_zarr(tmp_path / "out.zarr", consolidated=False)):
        with stored:
            np.testing.assert_array_equal(stored["a"], ds["a"])
    write, read = WRITERS[form]
    write(ds.isel(row=[0, 1, 3]), tmp_path / "out")  # the number beside the null is one of its own only as an integer
    assert rows(read(tmp_path / "out").compute()) == [(1,), (None,), (5,)]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("value", [0.5, 2.0**63])
def test_what_was_an_integer_is_not_cut_to_one(tmp_path, form, value):
    write, read = WRITERS[form]
    with xr.open_dataset(long_table(tmp_path, form, -1), engine="scichunk") as opened:
        ds = opened.load()
    ds["a"][2] = value
    with pytest.raises(scichunk.errors.FormatError, match=r"column 'a' was read as int64 and holds .* delete 'dtype'"):
        write(ds, tmp_path / "out")
    del ds["a"].encoding["dtype"]
    write(ds, tmp_path / "out")
    assert read(tmp_path / "out").compute()["a"].iloc[[0, 2, 3]].tolist() == [1, value, 5]


def write_raster(folder, dtype, text, values):
    """A raster whose tag of nodata has a text of its own."""
    path = folder / "in.tif"
    profile = {"crs": "EPSG:32633", "transform": from_origin(5e5, 4.6e6, 10, 10), "nodata": 1}
    with rasterio.open(path, "w", driver="GTiff", count=1, height=1, width=len(values), dtype=dtype, **profile) as out:
        out.write(np.array(values, dtype)[None, None])
    stored = path.read_bytes()
    entry = stored.index((42113).to_bytes(2, "little") + (2).to_bytes(2, "little"))
    content = text.encode() + b"\0"
    place = len(stored).to_bytes(4, "little") if len(content) > 4 else content.ljust(4, b"\0")
    path.write_bytes(stored[: entry + 4] + len(content).to_bytes(4, "little") + place + stored[entry + 12 :] + content)
    return path


RASTERS = {
    "odd": ("int64", str(2**53 + 1), [2**53, 2**53 + 1, 2**53 + 2, 7]),
    "lowest": ("int64", str(-(2**63)), [-(2**63) + 4096, -(2**63), 0, 7]),
    "largest": ("int64", str(LARGEST), [LARGEST - 1, LARGEST, 0, 7]),
    "largest unsigned": ("uint64", str(2**64 - 1), [2**64 - 2, 2**64 - 1, 0, 7]),
    "fraction": ("uint8", "3.7", [2, 3, 4, 7]),
    "negative fraction": ("int16", "-99.7", [-100, -99, -98, 7]),
    "fraction beyond the type": ("uint8", "255.5", [255, 0, 1, 2]),
}


@pytest.mark.parametrize("kind", RASTERS)
def test_rasters_are_masked_as_gdal_does(tmp_path, kind):
    path = write_raster(tmp_path, *RASTERS[kind])
    with rasterio.open(path) as file:
        missing = file.read_masks() == 0
    with (
        xr.open_dataset(path, engine="geotiff") as ds,
        xr.open_dataset(path, engine="geotiff", mask_and_scale=False) as raw,
    ):
        np.testing.assert_array_equal(np.isnan(ds["band_data"]), missing)
        fill = raw["band_data"].attrs.get("_FillValue")
        assert fill == (raw["band_data"].values[missing][0] if missing.any() else None)
        ds.to_netcdf(tmp_path / "out.nc")
        raw.to_netcdf(tmp_path / "raw.nc")
        with xr.open_dataset(tmp_path / "out.nc") as back:
            np.testing.assert_array_equal(back["band_data"], ds["band_data"])
        with xr.open_dataset(tmp_path / "raw.nc", mask_and_scale=False) as back:
            np.testing.assert_array_equal(back["band_data"], raw["band_data"])
            assert back["band_data"].attrs.get("_FillValue") == fill
