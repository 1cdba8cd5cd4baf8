"""Many files as one: what is carried, what lies on each other, and what becomes of files that cannot be read."""

import contextlib
import io
import pickle
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from astropy.io import fits
from astropy.table import Table
from rasterio.transform import Affine

import scichunk
from scichunk.errors import DataWarning, FormatError, MissingFile, ScichunkError
from scichunk.testing import RangeServer

DATA = Path(__file__).parents[2] / "test_data"
GRID = Affine(10, 0, 500_000, 0, -20, 5_000_000)


@contextlib.contextmanager
def silence():
    """A block that says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


def tif(
    path, value=1, *, crs="EPSG:32633", transform=GRID, mask=None, tags=None, scale=None, shape=(1, 12, 16), **profile
):
    """Write a GeoTIFF of equal values, or of given ones."""
    profile = {"driver": "GTiff", "dtype": "uint8", "crs": crs, "transform": transform} | profile
    bands, height, width = shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", count=bands, height=height, width=width, **profile) as ds,
    ):
        ds.write(np.broadcast_to(np.asarray(value, profile["dtype"]), shape))
        if mask is not None:
            ds.write_mask(mask)
        if scale is not None:
            ds.scales, ds.offsets = (scale[0],) * bands, (scale[1],) * bands
        ds.update_tags(**(tags or {}))
    return str(path)


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 8.0, "CRPIX2": 8.0, "CDELT1": -0.01, "CDELT2": 0.01}


def image(path, value=1, kind="f4", cards=(), shape=(16, 16)):
    """Write a FITS image."""
    header = fits.Header()
    header.update(dict(cards))
    fits.PrimaryHDU(np.full(shape, value, kind), header).writeto(path, overwrite=True)
    return str(path)


def sky_image(path, value=1, ra=10.0, **cards):
    return image(path, value, cards={**SKY, "CRVAL1": ra, "CRVAL2": 20.0, **cards})


# -- what is carried --------------------------------------------------------------------------------------------------------------


def test_all_variables_of_tables(tmp_path):
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"{number}.fits"))
        columns = {"a": np.arange(4) + number, "b": np.full((4, 2), number, "f4"), "name": [f"n{number}"] * 4}
        Table(columns).write(paths[-1])
    ds = scichunk.open_stack(paths, hdu=1, dim="night")
    assert list(ds.data_vars) == ["a", "b", "name"]
    assert (ds.a.dims, ds.b.dims) == (("night", "row"), ("night", "row", "b_1"))
    np.testing.assert_array_equal(ds.a, np.arange(4) + np.arange(3)[:, None])
    np.testing.assert_array_equal(ds.b, np.broadcast_to(np.arange(3.0)[:, None, None], (3, 4, 2)))
    assert ds.name.values.tolist() == [[f"n{n}"] * 4 for n in range(3)]
    assert ds.night.values.tolist() == ["0.fits", "1.fits", "2.fits"]
    assert list(scichunk.open_stack(paths, hdu=1, drop_variables="a").data_vars) == ["b", "name"]
    with pytest.raises(ValueError, match="no variable is left; each file has a, b, name"):
        scichunk.open_stack(paths, hdu=1, drop_variables=["a", "b", "name"])


def test_votables():
    paths = [DATA / "stars.vot"] * 3
    one = xr.open_dataset(paths[0], engine="votable")
    ds = scichunk.open_stack(paths)
    assert list(ds.data_vars) == list(one.data_vars)
    for name in ds.data_vars:
        assert ds[name].dtype == one[name].dtype
        for number in range(3):
            for cell, want in zip(ds[name][number].values, one[name].values, strict=True):
                np.testing.assert_array_equal(cell, want)
    assert ds.attrs == one.attrs


def test_scaled_images_carry_their_header_and_units():
    ds = scichunk.open_stack([DATA / "cube.fits"] * 2)
    one = xr.open_dataset(DATA / "cube.fits", engine="fits")
    (name,) = one.data_vars
    np.testing.assert_array_equal(ds[name].values, np.stack([one[name].values] * 2))
    assert ds[name].attrs == one[name].attrs
    assert set(one.coords) <= set(ds.coords)


@pytest.mark.parametrize("masked", [True, False])
def test_stored_and_decoded_values(tmp_path, masked):
    paths = [tif(tmp_path / f"{n}.tif", n + 1, nodata=2, scale=(0.5, 10)) for n in range(3)]
    ds = scichunk.open_stack(paths, mask_and_scale=masked)
    each = [xr.open_dataset(p, engine="geotiff", mask_and_scale=masked).band_data for p in paths]
    np.testing.assert_array_equal(ds.band_data, np.stack([e.values for e in each]))
    assert ds.band_data.attrs == each[0].attrs
    stored = fits_scaled(tmp_path / "a.fits", 2.0), fits_scaled(tmp_path / "b.fits", 2.0)
    ds = scichunk.open_stack(stored, mask_and_scale=masked)
    one = xr.open_dataset(stored[0], engine="fits", mask_and_scale=masked).data
    np.testing.assert_array_equal(ds.data[1], one)
    assert ds.data.attrs == one.attrs


def fits_scaled(path, scale, blank=None):
    hdu = fits.PrimaryHDU(np.arange(16, dtype="i2").reshape(4, 4))
    hdu.writeto(path, overwrite=True)
    fits.setval(path, "BSCALE", value=scale)
    if blank is not None:
        fits.setval(path, "BLANK", value=blank)
    return str(path)


def test_indexes_of_equal_pointings(tmp_path):
    paths = [sky_image(tmp_path / f"{n}.fits", n) for n in range(3)]
    with silence():
        ds = scichunk.open_stack(paths)
    found = ds.data.sel(ra=10.0, dec=20.0, method="nearest")
    assert found.dims == ("file",)
    assert found.values.tolist() == [0, 1, 2]
    again = pickle.loads(pickle.dumps(ds))
    assert again.data.sel(ra=10.0, dec=20.0, method="nearest").values.tolist() == [0, 1, 2]


def test_indexes_of_rasters(tmp_path):
    paths = [tif(tmp_path / f"{n}.tif", n) for n in range(3)]
    ds = scichunk.open_stack(paths)
    found = ds.band_data.sel(x=500_021, y=4_999_970, band=1, method="nearest")
    assert found.values.tolist() == [0, 1, 2]
    assert float(found.x) == 500_025
    assert ds.spatial_ref.attrs == xr.open_dataset(paths[0], engine="geotiff").spatial_ref.attrs


MASK = np.zeros((12, 16), bool)
MASK[3:, 5:] = True


@pytest.mark.parametrize("order", [(True, False, None), (False, True, None), (None, False, True), (False, None, True)])
def test_masks(tmp_path, order):
    """True: a file with a mask; False: one without; None: one that is missing."""
    paths = [str(tmp_path / f"{n}.tif") for n in range(3)]
    for path, kind in zip(paths, order, strict=True):
        if kind is not None:
            tif(path, 7, mask=MASK if kind else None)
    ds = scichunk.open_stack(paths, mask_and_scale=False, errors="ignore", fill=3)
    want = {True: MASK * 255, False: np.full((12, 16), 255), None: np.zeros((12, 16))}
    assert ds["mask"].dims == ("file", "y", "x")
    assert ds["mask"].dtype == "u1"
    for number, kind in enumerate(order):
        np.testing.assert_array_equal(ds["mask"][number], want[kind])
        assert (ds.band_data[number] == (3 if kind is None else 7)).all()
    decoded = scichunk.open_stack(paths, errors="ignore", fill=3).band_data
    for number, kind in enumerate(order):
        np.testing.assert_array_equal(decoded[number, 0], np.where(want[kind], 7.0, np.nan))


def test_masks_may_be_dropped(tmp_path):
    paths = [tif(tmp_path / "a.tif"), tif(tmp_path / "b.tif", mask=MASK)]
    ds = scichunk.open_stack(paths, mask_and_scale=False, drop_variables=["mask"])
    assert list(ds.data_vars) == ["band_data"]


def test_all_groups_of_components():
    paths = [DATA / "subsampled.j2k"] * 2
    ds = scichunk.open_stack(paths)
    one = xr.open_dataset(paths[0], engine="jpeg2000")
    assert len(one.data_vars) > 1
    assert list(ds.data_vars) == list(one.data_vars)
    for name in ds.data_vars:
        assert ds[name].dims == ("file", *one[name].dims)
        np.testing.assert_array_equal(ds[name][1], one[name])
    xr.testing.assert_identical(ds.drop_vars(["file", *ds.data_vars]), one.drop_vars(list(one.data_vars)))
    dropped = scichunk.open_stack(paths, drop_variables=next(iter(one.data_vars)))
    assert list(dropped.data_vars) == list(one.data_vars)[1:]


def test_groups_and_selectors(tmp_path):
    paths = [DATA / "scene_deflate.tif"] * 2
    want = xr.open_dataset(paths[0], engine="geotiff", overview=0)
    for keywords in ({"overview": 0}, {"group": "/overview_1"}):
        ds = scichunk.open_stack(paths, **keywords)
        np.testing.assert_array_equal(ds.band_data[1], want.band_data)
        np.testing.assert_array_equal(ds.x, want.x)
    with pytest.raises(TypeError, match="say the same in two ways"):
        scichunk.open_stack(paths, overview=0, group="/overview_1")
    with pytest.raises(TypeError, match=r"has no keyword 'hdu'.*it takes page, overview"):
        scichunk.open_stack(paths, hdu=1)
    np.testing.assert_array_equal(
        scichunk.from_files(paths, bands=[2, 0])[1], scichunk.from_file(paths[0], bands=[2, 0])
    )


# -- compared by meaning ------------------------------------------------------------------------------------------------------------


def edited(path, name, old, new):
    """A copy of a file in which some bytes are others; GDAL leaves a directory behind that it has written anew."""
    data = Path(path).read_bytes()
    assert old in data
    copy = Path(path).with_name(name)
    copy.write_bytes(data.replace(old, new))
    return str(copy)


def stacks(*paths, **keywords):
    """Stack files, and check that their values are those of each."""
    with silence():
        ds = scichunk.open_stack(paths, **keywords)
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(ds.band_data[number], xr.open_dataset(path, engine="geotiff").band_data)


def refused(*paths, match, **keywords):
    """The last of some files is not like the first, and the message says so."""
    with pytest.raises(FormatError, match=match) as caught:
        scichunk.open_stack(paths, **keywords)
    assert Path(paths[-1]).name in str(caught.value)
    assert Path(paths[0]).name in str(caught.value)
    with pytest.raises(FormatError, match=match):
        scichunk.from_files(paths, **keywords)


def test_another_tie_point(tmp_path):
    first = tif(tmp_path / "a.tif")
    old = struct.pack("<6d", 0, 0, 0, 500_000, 5_000_000, 0)
    stacks(first, edited(first, "b.tif", old, struct.pack("<6d", 3, 4, 0, 500_030, 4_999_920, 0)))
    refused(
        first,
        edited(first, "c.tif", old, struct.pack("<6d", 3, 4, 0, 500_031, 4_999_920, 0)),
        match=r"its grid is off by 0\.1 pixels",
    )


@pytest.mark.parametrize(
    "profile", [{"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES"}, {"compress": "deflate"}, {"GEOTIFF_VERSION": "1.0"}]
)
def test_another_form_of_the_file(tmp_path, profile):
    stacks(
        tif(tmp_path / "a.tif", 1, dtype="int16", nodata=-1),
        tif(tmp_path / "b.tif", 2, dtype="int16", nodata=-1, **profile),
        tif(tmp_path / "c.tif", -1, dtype="int16", nodata=-1),
    )


def test_other_keys_of_an_equal_coordinate_system(tmp_path):
    first = tif(tmp_path / "a.tif")
    other = edited(first, "b.tif", b"WGS 84 / UTM zone 33N|", b"UTM zone 33N, WGS  84|")
    stacks(first, other)


def test_a_world_file_instead_of_tags(tmp_path):
    first = tif(tmp_path / "a.tif", crs=None)
    other = tif(tmp_path / "b.tif", crs=None, transform=None, PROFILE="BASELINE")
    (tmp_path / "b.tfw").write_text("10\n0\n0\n-20\n500005\n4999990\n")
    stacks(first, other)
    (tmp_path / "b.tfw").write_text("10\n0\n0\n-20\n500006\n4999990\n")
    refused(first, other, match=r"grid is off by 0\.1 pixels")


def test_nodata_in_other_words(tmp_path):
    first = tif(tmp_path / "a.tif", nodata=0)
    other = edited(
        first, "b.tif", struct.pack("<HHI", 42113, 2, 2) + b"0\0\0\0", struct.pack("<HHI", 42113, 2, 4) + b"0.0\0"
    )
    assert rasterio.open(other).nodata == 0
    stacks(first, other)
    refused(first, tif(tmp_path / "c.tif", nodata=4), match="nodata is .*4.* instead of .*0")
    refused(first, tif(tmp_path / "d.tif"), match="nodata is .*None.* instead of .*0")


ITEM = b'sample="0" role="scale"'


def test_scale_in_other_words(tmp_path):
    first = tif(tmp_path / "a.tif", scale=(0.5, 10))
    turned = edited(first, "b.tif", ITEM, b'role="scale" sample="0"')
    stacks(first, turned)
    data = Path(first).read_bytes()
    lines = [line for line in data.split(b"\n") if b"role=" in line]
    stacks(first, edited(first, "c.tif", b"\n".join(lines), b"\n".join(lines[::-1])))
    refused(turned, edited(turned, "d.tif", b">0.5<", b">0.6<"), match="scale and offset is .*0.6.* instead of .*0.5")


def test_other_units_and_other_rpcs(tmp_path):
    first = tif(tmp_path / "a.tif")
    paths = []
    for number, unit in enumerate("ms"):
        paths.append(str(tmp_path / f"u{number}.tif"))
        shutil.copy(first, paths[-1])
        with rasterio.open(paths[-1], "r+") as ds:
            ds.units = (unit,)
    refused(*paths, match=r"units is .*s.* instead of .*m")
    rpcs = tmp_path / "rpcs.tif"
    shutil.copy(DATA / "rpcs.tif", rpcs)
    data = rpcs.read_bytes()
    with rasterio.open(rpcs) as ds:
        old = struct.pack("<d", ds.rpcs.lat_off)
    assert data.count(old) == 1
    (tmp_path / "rpcs2.tif").write_bytes(data.replace(old, struct.pack("<d", 7.5)))
    refused(str(rpcs), str(tmp_path / "rpcs2.tif"), match="RPCs is")


def test_tags_that_mean_nothing_for_the_grid(tmp_path):
    paths = [tif(tmp_path / f"{n}.tif", n, tags={"taken": f"2024-01-0{n + 1}"}) for n in range(3)]
    stacks(*paths)
    assert scichunk.open_stack(paths).band_data.attrs["taken"] == "2024-01-01"


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"transform": GRID @ Affine.translation(0.1, 0)}, r"its grid is off by 0\.1 pixels: transform .* instead of"),
        ({"transform": GRID @ Affine.scale(1.01, 1)}, "its grid is off by"),
        ({"transform": GRID @ Affine.scale(1, -1)}, "its grid is off by"),
        ({"crs": "EPSG:32634"}, "coordinate system is .*34N.* instead of .*33N"),
        ({"crs": None}, "coordinate system is .* instead of .*33N"),
        ({"dtype": "int16"}, "its type is int16 instead of uint8"),
        ({"shape": (2, 12, 16)}, r"its shape is \(2, 12, 16\) instead of \(1, 12, 16\)"),
        ({"scale": (0.5, 0)}, "scale and offset is"),
        ({"scale": (1, 0.5)}, "scale and offset is"),
        ({"nodata": 9}, "nodata is"),
    ],
)
def test_rasters_that_do_not_align(tmp_path, other, match):
    refused(tif(tmp_path / "a.tif"), tif(tmp_path / "b.tif", **other), match=match)


def test_grids_that_differ_by_less_than_a_millionth_of_a_pixel(tmp_path):
    stacks(tif(tmp_path / "a.tif"), tif(tmp_path / "b.tif", transform=GRID @ Affine.translation(1e-8, -1e-8)))


def test_an_edited_sibling(tmp_path):
    first, other = tif(tmp_path / "a.tif"), tif(tmp_path / "b.tif")
    stacks(first, other)
    (tmp_path / "b.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><Offset>3</Offset></PAMRasterBand></PAMDataset>"
    )
    refused(first, other, match=r"scale and offset is .*3\.0.* instead of")
    lazy = scichunk.from_files([first, tif(tmp_path / "c.tif")])
    (tmp_path / "c.tif.aux.xml").write_text("<PAMDataset/>")
    scichunk.clear_caches()  # as on a worker that has not seen the file
    with pytest.raises(ScichunkError, match=r"c\.tif.*changed|changed.*c\.tif"):
        lazy.compute()


SPECTRUM = {"CTYPE1": "FREQ", "CUNIT1": "Hz", "CRVAL1": 1e9, "CRPIX1": 1.0, "CDELT1": 1e6, "BUNIT": "Jy"}


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"CRVAL1": 2e9}, "axis frequency is"),
        ({"CDELT1": 2e6}, "axis frequency is"),
        ({"CTYPE1": "TIME", "CUNIT1": "s"}, "ax"),
        ({"BUNIT": "K"}, "unit is 'K' instead of 'Jy'"),
        ({"BSCALE": 2.0}, "scale is 2.0 instead of 1"),
        ({"BZERO": 2.0}, "zero is 2.0 instead of 0"),
    ],
)
def test_images_that_do_not_align(tmp_path, other, match):
    first = image(tmp_path / "a.fits", cards=SPECTRUM, shape=(16,))
    path = tmp_path / "b.fits"
    image(path, cards=SPECTRUM, shape=(16,))
    for name, value in other.items():
        fits.setval(path, name, value=value)
    refused(first, str(path), match=match)


def test_spectral_axes_in_other_words(tmp_path):
    first = image(tmp_path / "a.fits", cards=SPECTRUM, shape=(16,))
    other = image(tmp_path / "b.fits", cards=SPECTRUM | {"CRPIX1": 3.0, "CRVAL1": 1.002e9}, shape=(16,))
    with silence():
        scichunk.open_stack([first, other])


@pytest.mark.parametrize("masked", [True, False])
def test_other_scaling_of_stored_values(tmp_path, masked):
    paths = [fits_scaled(tmp_path / "a.fits", 2.0), fits_scaled(tmp_path / "b.fits", 3.0)]
    with pytest.raises(FormatError, match=r"b\.fits|scale is 3.0 instead of 2.0"):
        scichunk.open_stack(paths, mask_and_scale=masked)


def test_columns_that_do_not_align(tmp_path):
    def table(name, unit="s", scale=None):
        rows = fits.Column("a", "J", unit, array=np.arange(3))
        hdu = fits.BinTableHDU.from_columns([rows])
        hdu.writeto(tmp_path / name)
        if scale is not None:
            fits.setval(tmp_path / name, "TSCAL1", value=scale, ext=1)
        return str(tmp_path / name)

    first, scaled = table("a.fits"), table("s.fits", scale=0.5)
    with pytest.raises(FormatError, match=r"b\.fits.*unit is 'm' instead of 's'|unit is 'm' instead of 's'.*b\.fits"):
        scichunk.open_stack([first, table("b.fits", "m")], hdu=1)
    for masked in (True, False):
        scichunk.open_stack([scaled, scaled], hdu=1, mask_and_scale=masked)
    with pytest.raises(FormatError, match=r"scale is 0\.25 instead of 0\.5"):
        scichunk.open_stack([scaled, table("t.fits", scale=0.25)], hdu=1, mask_and_scale=False)


def test_images_of_the_sky_that_point_elsewhere(tmp_path):
    paths = [sky_image(tmp_path / f"{n}.fits", n, ra=10.0 + n) for n in range(3)]
    with pytest.warns(DataWarning, match="different places"):
        ds = scichunk.open_stack(paths)
    assert ds.data.mean(("y", "x") if "y" in ds.dims else ds.data.dims[1:]).values.tolist() == [0, 1, 2]
    assert ds.ra.values.tolist() == [10.0, 11.0, 12.0]
    assert "fits_header" not in ds.attrs
    assert "fits_header" not in ds.data.attrs
    with pytest.warns(DataWarning, match="different places"):
        scichunk.from_files(paths)


# -- files that cannot be read ------------------------------------------------------------------------------------------------------


def rasters(folder, count=4, **keywords):
    return [
        tif(folder / f"f{n}.tif", n + 1, **({"tiled": True, "blockxsize": 16, "blockysize": 16} | keywords))
        for n in range(count)
    ]


def cut(path):
    """Cut a file so that its header, which comes first, is whole and its pixels are not."""
    whole = Path(path).with_suffix(".cog")
    rasterio.shutil.copy(path, whole, driver="COG", compress="none")
    with rasterio.open(whole) as ds:
        tile = int(np.prod(ds.block_shapes[0])) * np.dtype(ds.dtypes[0]).itemsize
    data = whole.read_bytes()
    whole.unlink()
    Path(path).write_bytes(data[: len(data) - tile + 100])


SPOIL = {
    "missing": lambda path: Path(path).unlink(),
    "corrupt": lambda path: Path(path).write_bytes(b"II*\0" + bytes(8)),
    "not a TIFF": lambda path: Path(path).write_bytes(b"<html>404</html>"),
    "empty": lambda path: Path(path).write_bytes(b""),
    "misaligned": lambda path: tif(path, 9, transform=GRID @ Affine.translation(5, 0)),
    "truncated": cut,
}


@pytest.mark.parametrize("where", [0, 1, 3])
@pytest.mark.parametrize("how", SPOIL)
def test_bad_files_keep_their_position(tmp_path, how, where):
    paths = rasters(tmp_path, dtype="float32", nodata=-1)
    SPOIL[how](paths[where])
    if how == "misaligned" and where == 0:  # then all others do not align with the first
        paths = [paths[1], paths[0], *paths[2:]]
        where = 1
    good = [n for n in range(4) if n != where]
    want = [float(Path(p).stem[1:]) + 1 for p in paths]
    name = Path(paths[where]).name
    with pytest.raises(ScichunkError, match=name):
        scichunk.open_stack(paths).compute()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ds = scichunk.open_stack(paths, errors="warn").compute()
        array = scichunk.from_files(paths, errors="warn").compute()
    told = [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
    assert len(told) == 2
    assert all(name in t for t in told)
    with silence():
        np.testing.assert_array_equal(ds.band_data, scichunk.open_stack(paths, errors="ignore").band_data)
        np.testing.assert_array_equal(array, scichunk.from_files(paths, errors="ignore"))
    assert np.isnan(ds.band_data[where]).all()
    assert (array[where] == -1).all()
    assert (array[good] == np.array(want)[good].reshape(3, 1, 1, 1)).all()
    assert (ds.band_data[good] == np.array(want)[good].reshape(3, 1, 1, 1)).all()
    assert ds.file.values.tolist() == [Path(p).name for p in paths]


def test_floats_without_nodata_are_nan(tmp_path):
    paths = rasters(tmp_path, dtype="float32")
    Path(paths[0]).unlink()
    assert np.isnan(scichunk.from_files(paths, errors="ignore")[0].compute()).all()
    assert (scichunk.from_files(paths, errors="ignore", fill=-5)[0].compute() == -5).all()


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_integers_without_nodata_need_a_value(tmp_path, how):
    paths = rasters(tmp_path)
    SPOIL[how](paths[2])
    for stack in (scichunk.from_files, scichunk.open_stack):
        with pytest.raises(ValueError, match="give one by fill="):
            stack(paths, errors="ignore").compute()
    with silence():
        found = scichunk.from_files(paths, errors="ignore", fill=0).compute()
    assert found[:, 0, 0, 0].tolist() == [1, 2, 0, 4]
    assert found.dtype == "u1"


@pytest.mark.parametrize("fill", [-1, 256, 0.5, np.nan, "x"])
def test_a_value_that_the_files_cannot_hold(tmp_path, fill):
    paths = rasters(tmp_path)
    for stack in (scichunk.from_files, scichunk.open_stack):
        with pytest.raises(ValueError, match="is no value of the type uint8"):
            stack(paths, errors="warn", fill=fill)


def test_values_by_variable(tmp_path):
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"{number}.fits"))
        Table({"a": np.arange(4), "b": np.arange(4.0), "name": ["x"] * 4}).write(paths[-1])
    Path(paths[1]).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="give one by fill="):
        scichunk.open_stack(paths, hdu=1, errors="ignore")
    ds = scichunk.open_stack(paths, hdu=1, errors="ignore", fill={"a": -1, "name": "?"})
    assert ds.a[1].values.tolist() == [-1] * 4
    assert np.isnan(ds.b[1]).all()
    assert ds.name[1].values.tolist() == ["?"] * 4
    assert scichunk.open_stack(paths, hdu=1, errors="ignore", fill=-1).b[1].values.tolist() == [-1] * 4


def test_blank_stands_for_stored_values(tmp_path):
    paths = [fits_scaled(tmp_path / f"{n}.fits", 2.0, blank=-7) for n in range(2)] + [str(tmp_path / "none.fits")]
    assert np.isnan(scichunk.open_stack(paths, errors="ignore").data[2]).all()
    assert (scichunk.open_stack(paths, errors="ignore", mask_and_scale=False).data[2] == -7).all()


def test_all_files_are_bad(tmp_path):
    with pytest.raises(MissingFile, match=r"a\.tif"):
        scichunk.open_stack([tmp_path / "a.tif", tmp_path / "b.tif"], errors="ignore")
    with pytest.raises(ValueError, match="no files to stack"):
        scichunk.open_stack([])
    with pytest.raises(ValueError, match="errors must be"):
        scichunk.open_stack([DATA / "cube.fits"], errors="skip")
    with pytest.raises(ValueError, match="headers must be"):
        scichunk.open_stack([DATA / "cube.fits"], headers="none")


def test_headers_of_the_first_only(tmp_path):
    paths = rasters(tmp_path)
    Path(paths[2]).unlink()
    lazy = scichunk.open_stack(paths, headers="first")
    assert lazy.sizes["file"] == 4
    with pytest.raises(MissingFile, match=r"f2\.tif"):
        lazy.compute()
    with pytest.warns(DataWarning, match=r"f2\.tif"):
        found = scichunk.open_stack(paths, headers="first", errors="warn", fill=0).compute()
    assert found.band_data[:, 0, 0, 0].values.tolist() == [1, 2, 0, 4]
    tif(paths[2], 1, shape=(1, 5, 5))
    with pytest.raises(FormatError, match=r"f2\.tif|\(1, 5, 5\)"):
        scichunk.from_files(paths, headers="first").compute()


# -- coordinates, names and chunks --------------------------------------------------------------------------------------------------


def dated(folder, days=(3, 1, 2)):
    return [sky_image(folder / f"d{d}.fits", d, **{"DATE-OBS": f"2024-01-0{d}T00:00:00"}) for d in days]


def test_coordinates(tmp_path):
    paths = dated(tmp_path)
    assert scichunk.open_stack(paths).file.values.tolist() == ["d3.fits", "d1.fits", "d2.fits"]
    ds = scichunk.open_stack(paths, dim="t", coordinate=[30, 10, 20])
    assert ds.t.values.tolist() == [30, 10, 20]
    assert (ds.data.sel(t=10) == 1).all()
    ds = scichunk.open_stack(paths, dim="t", coordinate=lambda url: int(Path(url).stem[1:]))
    assert ds.t.values.tolist() == [3, 1, 2]
    ds = scichunk.open_stack(paths, dim="t", coordinate="DATE-OBS")
    assert ds.t.dtype.kind == "M"
    assert ds.t.dt.day.values.tolist() == [1, 2, 3]
    assert ds.data[:, 0, 0].values.tolist() == [1, 2, 3]
    with pytest.raises(FormatError, match=r"d3\.fits.*no NOTHING|no NOTHING.*d3\.fits"):
        scichunk.open_stack(paths, coordinate="NOTHING")
    with pytest.raises(ValueError, match=r"2 .*3|3 .*2"):
        scichunk.open_stack(paths, dim="t", coordinate=[1, 2])


@pytest.mark.parametrize(
    "texts",
    [
        ("1235", "1234"),
        ("20240102", "20231231"),
        ("b", "a"),
        ("today", "now"),
        ("7", "12"),
        ("2024-02-30", "2024-02-01"),
    ],
)
def test_keywords_that_are_no_dates_stay_texts(tmp_path, texts):
    paths = [sky_image(tmp_path / f"k{n}.fits", n, OBSID=text) for n, text in enumerate(texts)]
    assert scichunk.open_stack(paths, coordinate="OBSID").file.values.tolist() == sorted(texts)


@pytest.mark.parametrize("bad", [0, 1])
def test_dates_beyond_what_nanoseconds_reach(tmp_path, bad):
    paths = [
        sky_image(tmp_path / f"k{n}.fits", n, DATE=text) for n, text in enumerate(["2024-01-01", "1610-01-07T18:00:00"])
    ]
    if bad:
        paths.append(str(tmp_path / "missing.fits"))
    labels = scichunk.open_stack(paths, coordinate="DATE", errors="ignore").file.values
    assert labels.astype("M8[s]").astype(str).tolist()[:2] == ["1610-01-07T18:00:00", "2024-01-01T00:00:00"]
    assert np.isnat(labels[2:]).all()


@pytest.mark.parametrize("headers", ["all", "first"])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_keyword_that_a_file_does_not_have(tmp_path, where, headers):
    paths = dated(tmp_path)
    fits.delval(paths[where], "DATE-OBS")
    with pytest.raises(FormatError, match="no DATE-OBS"):
        scichunk.open_stack(paths, coordinate="DATE-OBS", headers=headers)
    with pytest.warns(DataWarning, match="1 of 3 files"):
        ds = scichunk.open_stack(paths, coordinate="DATE-OBS", errors="warn", headers=headers)
    days = [d for d in (3, 1, 2) if f"d{d}" not in paths[where]]
    assert ds.file.dt.day.values[:2].tolist() == sorted(days)
    assert np.isnat(ds.file.values[2])
    assert ds.data[:2, 0, 0].values.tolist() == sorted(days)
    assert np.isnan(ds.data[2]).all()


def test_keywords_of_rasters(tmp_path):
    paths = [tif(tmp_path / f"{n}.tif", n, tags={"taken": f"2024-01-0{n}"}) for n in (2, 1)]
    ds = scichunk.open_stack(paths, coordinate="taken", dim="time")
    assert ds.band_data[:, 0, 0, 0].values.tolist() == [1, 2]
    assert ds.time.dt.day.values.tolist() == [1, 2]


def test_keywords_of_the_group_come_first(tmp_path):
    paths = []
    for number in (2, 1):
        second = fits.ImageHDU(np.full((4, 4), number, "f4"), name="SCI")
        second.header["DATE-OBS"] = f"2024-01-0{number}"
        first = fits.PrimaryHDU()
        first.header["DATE-OBS"], first.header["NIGHT"] = "2000-01-01", number
        paths.append(str(tmp_path / f"{number}.fits"))
        fits.HDUList([first, second]).writeto(paths[-1])
    assert scichunk.open_stack(paths, hdu="SCI", coordinate="DATE-OBS").sci[:, 0, 0].values.tolist() == [1, 2]
    assert scichunk.open_stack(paths, hdu="SCI", coordinate="NIGHT").sci[:, 0, 0].values.tolist() == [1, 2]


def check_pattern(pattern, **keywords):
    ds = scichunk.open_stack(pattern, **keywords)
    assert ds.file.values.tolist() == ["f0.tif", "f1.tif", "f2.tif", "f3.tif"]
    assert ds.band_data[:, 0, 0, 0].values.tolist() == [1, 2, 3, 4]
    assert scichunk.from_files(pattern, **keywords).shape == (4, 1, 12, 16)
    with pytest.raises(MissingFile, match="no file matches"):
        scichunk.open_stack(pattern.replace(".tif", ".nothing"), **keywords)


def test_local_patterns(tmp_path, monkeypatch):
    rasters(tmp_path)
    check_pattern(str(tmp_path / "f*.tif"))
    assert scichunk.open_stack(tmp_path / "f*.tif").sizes["file"] == 4
    monkeypatch.chdir(tmp_path)
    check_pattern("f*.tif")
    monkeypatch.setenv("HOME", str(tmp_path))
    check_pattern("~/f*.tif")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copy("f0.tif", "deep/er/g.tif")
    assert scichunk.open_stack(str(tmp_path / "**" / "*.tif")).sizes["file"] == 5


def test_patterns_in_memory(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in rasters(tmp_path):
        memory.pipe(f"/patterns/{Path(path).name}", Path(path).read_bytes())
    try:
        check_pattern("memory://patterns/*.tif")
    finally:
        memory.rm("/patterns", recursive=True)


@pytest.mark.parametrize("place", ["here", "memory", "store"])
def test_only_a_star_stands_for_other_letters(tmp_path, place):
    """Folders and names have brackets and question marks, and there are others that they would match as wildcards."""
    import fsspec

    store = pytest.importorskip("obstore").store.LocalStore(tmp_path)
    names = ["run[1]/a?_1.tif", "run1/a?_1.tif", "run[1]/ab_1.tif", "run[1]/[a]_1.tif"]
    memory = fsspec.filesystem("memory")
    for number, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Path(tif(tmp_path / "x.tif", number)).rename(path)
        memory.pipe(f"/only/{name}", path.read_bytes())
    base = {"here": f"{tmp_path}/", "memory": "memory://only/", "store": ""}[place]
    options = {"store": store} if place == "store" else {}
    try:
        for pattern, number in (("run[1]/a?_*.tif", 0), ("run1/*.tif", 1), ("run[1]/ab_*.tif", 2), ("run[1]/[a]*", 3)):
            ds = scichunk.open_stack(base + pattern, storage_options=options)
            assert np.unique(ds.band_data).tolist() == [number]
    finally:
        memory.rm("/only", recursive=True)


def test_patterns_in_archives(tmp_path):
    import fsspec

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in rasters(tmp_path):
            archive.write(path, "in/" + Path(path).name)
    check_pattern(f"zip://in/*.tif::{tmp_path}/x.zip")
    memory = fsspec.filesystem("memory")
    memory.pipe("/x.zip", (tmp_path / "x.zip").read_bytes())
    try:
        check_pattern("zip://in/*.tif::memory://x.zip")
    finally:
        memory.rm("/x.zip")


def test_patterns_lead_to_the_host_that_they_name(tmp_path):
    """Paths of file systems such as those of SFTP and HDFS lack the host."""
    import fsspec
    from fsspec.utils import infer_storage_options

    files = {("mine", f"/d/{Path(path).name}"): Path(path).read_bytes() for path in rasters(tmp_path)}
    files |= {("another", f"/d/f{i}.tif"): files["mine", "/d/f0.tif"] for i in range(9)}

    class Hosted(fsspec.AbstractFileSystem):
        protocol = "hosted"

        def __init__(self, host="another", **options):
            super().__init__(**options)
            self.host = host

        @classmethod
        def _strip_protocol(cls, path):
            return infer_storage_options(path)["path"]

        @staticmethod
        def _get_kwargs_from_urls(url):
            return {"host": host} if (host := infer_storage_options(url).get("host")) else {}

        def ls(self, path, detail=True, **options):
            return [self.info(name) for host, name in files if host == self.host and name.startswith(path)]

        def info(self, path, **options):
            if path in {"/d", "/d/"}:
                return {"name": "/d", "size": 0, "type": "directory"}
            path = self._strip_protocol(path)
            return {"name": path, "size": len(files[self.host, path]), "type": "file", "mtime": 1}

        def cat_file(self, path, start=None, end=None, **options):
            return files[self.host, self._strip_protocol(path)][start:end]

        def _open(self, path, mode="rb", **options):
            return io.BytesIO(self.cat_file(path))

    fsspec.register_implementation("hosted", Hosted, clobber=True)
    check_pattern("hosted://mine/d/f*.tif")
    check_pattern("hosted://me:pass*word@mine/d/f*.tif")
    check_pattern("simplecache::hosted://mine/d/f*.tif")


@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_patterns_behind_caches(tmp_path, cache):
    for path in rasters(tmp_path):
        (tmp_path / "x").mkdir(exist_ok=True)
        Path(path).rename(tmp_path / "x" / Path(path).name)
    with RangeServer({Path(p).name: p.read_bytes() for p in (tmp_path / "x").glob("*.tif")}) as server:
        links = "".join(f'<a href="{name}">{name}</a>' for name in server.files)
        server.files[""] = f"<html>{links}</html>".encode()
        check_pattern(
            f"{cache}::{server.url('f*.tif')}", storage_options={cache: {"cache_storage": str(tmp_path / "c")}}
        )
    check_pattern(
        f"{cache}::file://{tmp_path}/x/f*.tif", storage_options={cache: {"cache_storage": str(tmp_path / "d")}}
    )


def test_patterns_in_obstore(tmp_path):
    obstore = pytest.importorskip("obstore")
    store = obstore.store.MemoryStore()
    for path in rasters(tmp_path):
        obstore.put(store, f"a/{Path(path).name}", Path(path).read_bytes())
    obstore.put(store, "a/b/f9.tif", b"deeper")
    check_pattern("a/f*.tif", storage_options={"store": store})
    check_pattern("s3://a/f*.tif", storage_options={"store": store})


def test_patterns_in_s3(tmp_path):
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    import s3fs

    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
        fs = s3fs.S3FileSystem(**options)
        fs.mkdir("bucket")
        for path in rasters(tmp_path):
            fs.pipe(f"bucket/{Path(path).name}", Path(path).read_bytes())
        check_pattern("s3://bucket/f*.tif", storage_options=options)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


@pytest.mark.parametrize(
    ("chunks", "want"),
    [
        ("native", ((1,) * 4, (1,), (16, 16, 8), (16, 16, 16))),
        ({}, ((1,) * 4, (1,), (16, 16, 8), (16, 16, 16))),
        ("auto", ((4,), (1,), (40,), (48,))),
        ({"file": 2, "x": 32}, ((2, 2), (1,), (40,), (32, 16))),
        ((4, 1, 40, 16), ((4,), (1,), (40,), (16, 16, 16))),
        ({"y": -1, "x": -1}, ((1,) * 4, (1,), (40,), (48,))),
    ],
)
def test_chunks(tmp_path, chunks, want):
    paths = rasters(tmp_path, shape=(1, 40, 48))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = scichunk.open_stack(paths, chunks=chunks)
    assert ds.band_data.chunks == want
    assert ds.band_data[:, 0, 0, 0].values.tolist() == [1, 2, 3, 4]


def test_wrong_chunks(tmp_path):
    paths = rasters(tmp_path)
    with pytest.raises(ValueError, match=r"not there: \['time'\]; there are \['band', 'file', 'x', 'y'\]"):
        scichunk.open_stack(paths, chunks={"time": 1})
    with pytest.raises(ValueError, match="2 sizes for the dimensions"):
        scichunk.open_stack(paths, chunks=(1, 1))


def test_chunks_of_variables_of_several_ranks():
    ds = scichunk.open_stack([DATA / "subsampled.j2k"] * 3, chunks={"file": 2})
    assert {v.chunks[0] for v in ds.data_vars.values()} == {(2, 1)}


# -- travelling, and at scale -------------------------------------------------------------------------------------------------------


def test_stacks_travel_light(tmp_path):
    paths = [tif(tmp_path / f"a_file_with_quite_a_long_name_{n:04d}.tif", n % 250) for n in range(200)]
    ds = scichunk.open_stack(paths, chunks="native")
    again = pickle.loads(pickle.dumps(ds))
    np.testing.assert_array_equal(again.band_data[:, 0, 0, 0], np.arange(200) % 250)
    tasks = dict(ds.band_data.data.__dask_graph__())
    assert max(len(pickle.dumps(t)) for t in tasks.values()) < 8_000
    assert len(tasks) <= 2 * 200 + 2


def test_tokens(tmp_path):
    paths = rasters(tmp_path)

    def name(**keywords):
        return scichunk.from_files(**({"urls": paths} | keywords)).name

    first = name()
    scichunk.clear_caches()
    assert name() == first
    others = [
        name(urls=paths[::-1]),
        name(errors="ignore"),
        name(errors="warn"),
        name(errors="ignore", fill=0),
        name(errors="ignore", fill=1),
        name(chunks="native"),
        name(headers="first"),
    ]
    with scichunk.options.set(max_chunk_bytes=10_000_000):
        others.append(name())
    assert len({first, *others}) == len(others) + 1
    tif(paths[0], 99)
    assert name() not in {first, *others}


def test_on_a_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    paths = rasters(tmp_path)
    Path(paths[1]).unlink()
    ds = scichunk.open_stack(paths, errors="ignore", fill=0, chunks="native")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        found = ds.compute()
    assert found.band_data[:, 0, 0, 0].values.tolist() == [1, 0, 3, 4]


def contents(count, suffix=".tif"):
    """Small files in memory by name."""
    if suffix == ".tif":
        with rasterio.MemoryFile() as memory:
            tif(memory.name, 0)
            first = bytes(memory.read())
        at = first.rindex(bytes(12 * 16))
        return {f"t{n}.tif": first[:at] + bytes([n + 1]) * 192 + first[at + 192 :] for n in range(count)}
    found = {}
    for n in range(count):
        out, header = io.BytesIO(), fits.Header({"DATE-OBS": f"2024-01-01T00:00:{n:02d}"})
        fits.PrimaryHDU(np.full((8, 8), n, "f4"), header).writeto(out)
        found[f"t{n}.fits"] = out.getvalue()
    return found


def test_remote_files_of_a_chunk_are_fetched_together():
    files = contents(70)
    with RangeServer(files, latency=0.2) as server:
        array = scichunk.from_files([server.url(name) for name in files])
        assert server.requests == 70
        assert server.max_concurrent >= 30
        assert array.chunks[0] == (64, 6)
        server.reset()
        scichunk.clear_caches()  # as on a worker that has not seen the files
        first = array[:64].compute(scheduler="synchronous")
        assert server.max_concurrent >= 30
        assert server.requests <= 2 * 64
        assert first[:, 0, 0, 0].tolist() == list(range(1, 65))
        server.reset()
        assert array.compute()[:, 0, 5, 5].tolist() == list(range(1, 71))
        assert server.requests <= 2 * 70


def test_chunks_of_very_many_remote_files():
    files = contents(1)
    with RangeServer(files) as server:
        lazy = scichunk.from_files([server.url("t0.tif")] * 100_000, headers="first")
        assert server.requests == 1
        assert lazy.chunks[0][0] == 100
        assert scichunk.from_files([server.url("t0.tif")] * 10_000, headers="first").chunks[0][0] == 64


@pytest.mark.parametrize("headers", ["all", "first"])
def test_a_keyword_fetches_no_head_twice(headers):
    files = contents(20, ".fits")
    with RangeServer(files) as server:
        ds = scichunk.open_stack([server.url(name) for name in files], coordinate="DATE-OBS", headers=headers)
        assert server.requests == 20
        server.reset()
        assert ds.data[:, 0, 0].values.tolist() == list(range(20))
        assert server.requests <= 20


def test_a_dataset_fetches_no_head_twice():
    files = contents(12)
    with RangeServer(files) as server:
        ds = scichunk.open_stack([server.url(name) for name in files])
        assert server.requests == 12
        server.reset()
        ds.compute()
        assert server.requests <= 12


def test_remote_files_that_fail(tmp_path):
    files = contents(8)
    with RangeServer(files) as server:
        urls = [server.url(name) for name in files]
        del files["t3.tif"]
        with pytest.raises(MissingFile, match="t3"):
            scichunk.from_files(urls)
        found = scichunk.from_files(urls, errors="ignore", fill=0).compute()
    assert found[:, 0, 0, 0].tolist() == [1, 2, 3, 0, 5, 6, 7, 8]


# -- a format of another package ----------------------------------------------------------------------------------------------------


def envi_image(path, value, x=1, more=""):
    path.write_bytes(np.full((2, 6, 5), value, "<u2").tobytes())
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = 5\nlines = 6\nbands = 2\ndata type = 12\ninterleave = bsq\nbyte order = 0\n"
        f"map info = {{UTM, {x}, 1, 500000, 4100000, 30, 20, 33, North}}\n{more}"
    )
    return str(path)


def test_a_format_of_another_package(tmp_path, envi):
    paths = [envi_image(tmp_path / f"{n}.bsq", n) for n in range(3)]
    ds = scichunk.open_stack(str(tmp_path / "*.bsq"), chunks={"file": 2})
    assert ds.band_data.dims == ("file", "band", "y", "x")
    assert ds.band_data.sel(x=500_046, y=4_099_969, band=2, method="nearest").values.tolist() == [0, 1, 2]
    assert ds.band_data.chunks[0] == (2, 1)
    with pytest.raises(FormatError, match=r"coordinate x is .* instead of") as caught:
        scichunk.open_stack([paths[0], envi_image(tmp_path / "moved.bsq", 1, x=1.1)])
    assert "moved.bsq" in str(caught.value)
    Path(paths[1]).unlink()
    found = scichunk.from_files(paths, errors="ignore", fill=9, bands=[1])
    assert found[:, 0, 0, 0].compute().tolist() == [0, 9, 2]


def test_formats_do_not_mix(tmp_path):
    with pytest.raises(FormatError, match=r"cube\.fits"):
        scichunk.open_stack([tif(tmp_path / "a.tif"), DATA / "cube.fits"])


def test_tables_with_a_column_named_as_the_dimension_of_rows(tmp_path):
    """In one file it labels the rows; in a stack each file has its own."""
    for n in range(2):
        Table({"row": [n, n + 1], "a": [1.0, 2.0]}).write(tmp_path / f"{n}.fits")
    ds = scichunk.open_stack(str(tmp_path / "*.fits"))
    assert ds["row"].dims == ds["a"].dims == ("file", "row")
    assert ds["row"].values.tolist() == [[0, 1], [1, 2]]
    assert ds.isel(row=1)["a"].values.tolist() == [2, 2]


def test_tables_without_columns(tmp_path):
    for n in range(2):
        fits.BinTableHDU.from_columns([], nrows=3).writeto(tmp_path / f"{n}.fits")
    with pytest.raises(FormatError, match=r"a table without columns \[.*0\.fits"):
        scichunk.open_stack(str(tmp_path / "*.fits"))


@pytest.mark.parametrize("turned", [False, True])
def test_files_of_this_machine_and_of_a_server_that_wants_options(tmp_path, turned):
    paths = list(rasters(tmp_path))[:2]

    def alter(request, reply):
        if request.headers.get("x-key") != "abc":
            reply.status, reply.body = 403, b""
            reply.headers.pop("Content-Range", None)

    with RangeServer({"b.tif": Path(paths[1]).read_bytes()}, alter=alter) as server:
        names = [str(paths[0]), server.url("b.tif")][:: -1 if turned else 1]
        array = scichunk.from_files(names, storage_options={"headers": {"X-Key": "abc"}})
        want = scichunk.from_files([str(p) for p in paths][:: -1 if turned else 1])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)), want)
