"""What is written is what was read: raw and decoded rasters through Zarr, netCDF and GeoTIFF, whatever their bands say."""

import importlib.util

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from xarray import conventions

from tests.abilities import needs_stored_complex_fill

RNG = np.random.default_rng(2)
WHOLE = RNG.integers(0, 1000, (3, 30, 40)).astype("u2")
WHOLE[:, :3] = 0
BYTES = RNG.integers(0, 200, (3, 30, 40)).astype("u1")
FLOATS = RNG.random((3, 30, 40)).astype("f4")
MASK = np.full((30, 40), 255, "u1")
MASK[:5] = 0
RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
PAM = "<PAMDataset>{}</PAMDataset>".format(
    "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{nodata}</NoDataValue><Scale>{scale}</Scale><Offset>{offset}</Offset></PAMRasterBand>'
        for band, nodata, scale, offset in [(1, 5, 0.1, 0), (2, 6, 0.2, 1), (3, 7, 0.5, 2)]
    )
)
LATER_NODATA = '<PAMDataset><PAMRasterBand band="2"><NoDataValue>6</NoDataValue></PAMRasterBand></PAMDataset>'
ODD_NAMES = {
    "a/b": "1", "c d": "2", "e:f": "3", "g#h": "4", "ü": "ö", "missing_value": "9", "fill_value": "9", "nodata": "9", "grid_mapping": "crs",
    "coordinates": "lat lon", "dtype": "bool", "_Unsigned": "true", "_ARRAY_DIMENSIONS": "x", "scales": "9", "CLASS": "9", "NAME": "9",
    "DIMENSION_LIST": "9", "_NCProperties": "9", "units": "K", "large": "123456789012345678901234567890", "nan": "nan", "empty": "",
    "braces": "{1,2.5}", "no_braces": "{a}",
}  # fmt: skip


def scaled(scales, offsets=(0, 0, 0)):
    def change(ds):
        ds.scales, ds.offsets = scales, offsets

    return change


def masked(ds):
    ds.write_mask(MASK)


def masked_and_scaled(ds):
    masked(ds)
    ds.scales = (0.1, 0.2, 0.3)


def coloured(ds):
    ds.write_colormap(1, {i: (i, i, 255 - i, 255) for i in range(256)})


def with_alpha(ds):
    ds.colorinterp = RGBA


def tagged(ds):
    ds.update_tags(**ODD_NAMES)
    for band, value in ((1, "1"), (2, "x"), (3, "{1,2}")):
        ds.update_tags(band, band_tag=value, missing_value="8", coordinates="x y")


def described(ds):
    ds.units, ds.descriptions = ("K", "m", None), ("a", None, "c")


TIFF = {"driver": "GTiff", "tiled": True, "blockxsize": 16, "blockysize": 16}
JP2 = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
KINDS = {
    "plain": (WHOLE, TIFF, None, ""),
    "nodata": (WHOLE, {**TIFF, "nodata": 0}, None, ""),
    "floats": (FLOATS, {**TIFF, "nodata": -9999.0}, None, ""),
    "one scale": (WHOLE, {**TIFF, "nodata": 0}, scaled((0.1,) * 3, (5,) * 3), ""),
    "one scale of long integers": (WHOLE.astype("i4"), {**TIFF, "nodata": -1}, scaled((0.1,) * 3, (1,) * 3), ""),
    "one scale of floats": (FLOATS, {**TIFF, "nodata": -1}, scaled((0.1,) * 3), ""),
    "unlike offsets": (WHOLE, {**TIFF, "nodata": 0}, scaled((0.1,) * 3, (0, 1, 2)), ""),
    "unlike scales": (WHOLE, {**TIFF, "nodata": 0}, scaled((0.1, 0.2, 0.3)), ""),
    "unlike scales without nodata": (WHOLE, TIFF, scaled((0.1, 0.2, 0.3), (0, 1, 2)), ""),
    "unlike scales of long integers": (WHOLE.astype("i4") * 999, {**TIFF, "nodata": 0}, scaled((0.1, 0.2, 0.3)), ""),
    "all unlike, by PAM": (WHOLE, TIFF, None, PAM),
    "all unlike floats, by PAM": (WHOLE.astype("f4"), TIFF, None, PAM),
    "nodata of a later band": (WHOLE, TIFF, None, LATER_NODATA),
    "mask": (BYTES, TIFF, masked, ""),
    "mask and nodata": (BYTES, {**TIFF, "nodata": 7}, masked, ""),
    "mask and scales": (WHOLE, TIFF, masked_and_scaled, ""),
    "alpha": (np.concatenate([BYTES, BYTES[:1]]), TIFF, with_alpha, ""),
    "palette": (BYTES[:1], {**TIFF, "nodata": 3}, coloured, ""),
    "bits": ((BYTES[:1] > 99).astype("u1"), {**TIFF, "nbits": 1}, None, ""),
    "signed bytes": (BYTES.astype("i1"), {**TIFF, "nodata": -5}, None, ""),
    "64 bits": (WHOLE.astype("u8") << 50, {**TIFF, "nodata": 3}, None, ""),
    "tags": (WHOLE, {**TIFF, "nodata": 0}, tagged, ""),
    "descriptions": (WHOLE, TIFF, described, ""),
    "jpeg2000": (BYTES, JP2, None, ""),
    "jpeg2000 with alpha": (np.concatenate([BYTES, BYTES[:1]]), JP2, with_alpha, ""),
    "jpeg2000 with PAM": (WHOLE, JP2, None, PAM),
}
FORMS = {"decoded": {}, "raw": {"mask_and_scale": False}, "no CF": {"decode_cf": False}}
CF_KEYS = {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"}


def write(folder, kind):
    """Write a raster; returns its path."""
    data, profile, change, pam = KINDS[kind]
    path = folder / ("image.jp2" if profile is JP2 else "image.tif")
    size = {"count": len(data), "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype.name}
    grid = {"crs": "EPSG:32633", "transform": from_origin(5e5, 4.6e6, 10, 10)}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **size, **grid, **profile) as ds:
        ds.write(data)
        if change:
            change(ds)
    if pam:
        (folder / f"{path.name}.aux.xml").write_text(pam)
    return path


def opened(path, form, chunks=None):
    return xr.open_dataset(path, engine="scichunk", chunks=chunks, **FORMS[form])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_encoding_brings_the_values_back(tmp_path, kind, form):
    """What xarray's conventions make of a variable on writing gives the same values on reading."""
    variable = opened(write(tmp_path, kind), form).band_data.variable
    if form != "decoded":
        assert not CF_KEYS & set(variable.encoding)
    stored = conventions.encode_cf_variable(variable.load(), name="band_data")
    back = conventions.decode_cf_variable("band_data", stored, mask_and_scale=form == "decoded", decode_times=False)
    assert back.dtype == variable.dtype
    np.testing.assert_array_equal(back.values, variable.values)


@pytest.mark.parametrize("kind", KINDS)
def test_raw_values_are_those_of_the_file(tmp_path, kind):
    path = write(tmp_path, kind)
    with rasterio.open(path) as ds:
        want = ds.read()
    raw = opened(path, "raw").band_data
    assert raw.dtype == want.dtype
    np.testing.assert_array_equal(raw.values, want)


def needs(*names):
    missing = [n for n in names if importlib.util.find_spec(n) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def by_zarr(ds, path, form, version):
    ds.to_zarr(path, zarr_format=version, consolidated=False)
    return xr.open_zarr(path, consolidated=False, mask_and_scale=form == "decoded")


def by_netcdf(ds, path, form, engine):
    ds.to_netcdf(path, engine=engine)
    return xr.open_dataset(path, engine=engine, mask_and_scale=form == "decoded")


def by_raster(ds, path, form, _):
    import rioxarray  # noqa: F401  # the accessor

    ds.band_data.rio.to_raster(f"{path}.tif")
    return xr.open_dataset(f"{path}.tif", engine="geotiff", mask_and_scale=form == "decoded")


WRITERS = [
    pytest.param(by_zarr, 2, marks=needs("zarr"), id="zarr 2"),
    pytest.param(by_zarr, 3, marks=needs("zarr"), id="zarr 3"),
    pytest.param(by_netcdf, "netcdf4", marks=needs("netCDF4"), id="netcdf4"),
    pytest.param(by_netcdf, "h5netcdf", marks=needs("h5netcdf", "h5py"), id="h5netcdf"),
    pytest.param(by_raster, None, marks=needs("rioxarray"), id="to_raster"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("writer", "how"), WRITERS)
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "chunked"])
@pytest.mark.parametrize("form", ["decoded", "raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_written_values_are_those_that_were_read(tmp_path, kind, form, chunks, writer, how):
    ds = opened(write(tmp_path, kind), form, chunks)
    want = ds.band_data.values
    with writer(ds, tmp_path / "out", form, how) as back:
        got = back.band_data.values
        crs = back.spatial_ref.attrs.get("crs_wkt")
    if writer is by_zarr and kind.startswith("one scale") and form == "decoded":
        np.testing.assert_allclose(got, want, rtol=1e-7)  # Zarr's attributes do not tell single from double precision
    else:
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype or writer is by_raster
    assert crs == ds.spatial_ref.attrs["crs_wkt"]


@needs_stored_complex_fill
@pytest.mark.parametrize("nodata", [7, np.nan])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_nodata_of_complex_numbers_is_one(tmp_path, dtype, masked, nodata):
    """Zarr takes a fill value of the array's own type only."""
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    pytest.importorskip("zarr", reason="zarr is not installed")
    values = (np.arange(12).reshape(1, 3, 4) * (1 + 2j)).astype(dtype)
    values[0, 0, 0] = nodata
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        width=4,
        height=3,
        count=1,
        dtype=dtype,
        nodata=nodata,
        crs="EPSG:32632",
    ) as dst:
        dst.write(values)
    theirs = rioxarray.open_rasterio(tmp_path / "a.tif", masked=masked)
    ds = xr.open_dataset(tmp_path / "a.tif", engine="geotiff", mask_and_scale=masked)
    fill = (ds.band_data.encoding if masked else ds.band_data.attrs)["_FillValue"]
    assert fill.dtype == dtype
    np.testing.assert_equal(ds.band_data.rio.encoded_nodata if masked else ds.band_data.rio.nodata, fill)
    np.testing.assert_equal(fill, theirs.rio.encoded_nodata if masked else theirs.rio.nodata)
    ds.to_zarr(tmp_path / "a.zarr")
    with xr.open_zarr(tmp_path / "a.zarr", mask_and_scale=masked) as again:
        np.testing.assert_array_equal(again.band_data, ds.band_data)
    ds.band_data.rio.to_raster(tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as src:
        np.testing.assert_equal(src.nodata, float(nodata))
        np.testing.assert_array_equal(src.read(), values)


@pytest.mark.parametrize("nodata", [None, 5, np.nan])
@pytest.mark.parametrize(("scale", "offset"), [(2.0, 0.0), (1.0, 3.0), (0.5, -1.0)])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_scaled_complex_numbers_are_those_of_xarray(tmp_path, dtype, scale, offset, nodata):
    values = np.array([[[5, 5 + 3j, 3 + 4j, 5j, complex(np.nan, 0), 0]]], dtype)
    profile = {"driver": "GTiff", "width": 6, "height": 1, "count": 1, "dtype": dtype, "nodata": nodata}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as dst:
        dst.write(values)
        dst.scales, dst.offsets = (scale,), (offset,)
    raw = xr.open_dataset(tmp_path / "a.tif", engine="geotiff", mask_and_scale=False)
    want = xr.decode_cf(raw.load()).band_data
    found = xr.open_dataset(tmp_path / "a.tif", engine="geotiff").band_data
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found.values, want.values)
