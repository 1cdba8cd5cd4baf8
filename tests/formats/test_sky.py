"""Positions on the sky: ``ds.sel``, ``ds.sky.sel`` and ``ds.sky.box``, on images, slices, stacks and what was stored."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

import scichunk
from scichunk.errors import DataWarning, FormatError

NX, NY = 60, 50
TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 30.0, "CRPIX2": 25.0,
       "CD1_1": -0.008, "CD1_2": 0.006, "CD2_1": 0.006, "CD2_2": 0.008}  # fmt: skip


def header(**cards):
    found = fits.PrimaryHDU(np.zeros((NY, NX), "f4")).header
    for name, value in {**TAN, **cards}.items():
        found[name] = value
    return found


def write(path, shape=(NY, NX), dtype="f4", **cards):
    data = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    primary = fits.PrimaryHDU(data)
    for name, value in {**TAN, **cards}.items():
        primary.header[name] = value
    primary.writeto(path, overwrite=True)
    return str(path)


@pytest.fixture
def image(tmp_path):
    return xr.open_dataset(write(tmp_path / "image.fits"), engine="fits")


def place(x, y, **cards):
    lon, lat = WCS(header(**cards)).wcs_pix2world(x, y, 0)
    return lon, lat


def test_one_position(image):
    ra, dec = place(30.2, 41.7)
    position = SkyCoord(ra, dec, unit="deg")
    for found in (
        image.sel(ra=ra, dec=dec, method="nearest"),
        image.sky.sel(ra=ra, dec=dec),
        image.sky.sel(lon=ra, lat=dec),
        image.sky.sel(ra=ra * u.deg, dec=(dec * u.deg).to("arcsec")),
        image.sky.sel(position),
        image.sky.sel(position.galactic),
        image.data.sky.sel(position).to_dataset(),
        image.data.sel(ra=ra, dec=dec, method="nearest").to_dataset(),
        image.chunk(x=7).sky.sel(position).compute(),
    ):
        assert (int(found.x), int(found.y), float(found.data)) == (30, 42, 42 * NX + 30)
        assert found.data.dtype == "f4"
        np.testing.assert_allclose((found.ra, found.dec), place(30, 42), rtol=1e-13)  # where the pixel is
    assert (float(image.ra), float(image.dec)) == (150.0, 2.2)  # of the image that is left as it was
    assert set(image.sel(ra=ra, dec=dec, method="nearest", drop=True).coords) == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.isel(x=slice(10, 59, 3), y=slice(None, None, -1)),
        lambda d: d.coarsen(x=4, y=5).mean(),
        lambda d: d.isel(x=slice(0, 40)),
        lambda d: d.load().transpose("x", "y"),
        lambda d: d.rename(x="column", y="row"),
        lambda d: d.isel(x=[40, 30, 20], y=[42, 10]),
        lambda d: d.where(d.data > 0),
        lambda d: xr.concat([d.isel(x=slice(0, 20)), d.isel(x=slice(25, 60))], "x"),
        lambda d: d.expand_dims(time=[1, 2]),
        lambda d: pickle.loads(pickle.dumps(d)),
        lambda d: d.load(),
        lambda d: d.assign(other=d.data * 2),
        lambda d: d.sortby("x", ascending=False),
    ],
)
def test_whatever_is_left_of_an_image(image, change):
    ds = change(image)
    ra, dec = place(30.2, 41.7)
    x, y = (ds.coords["column" if "column" in ds.coords else n] for n in ("x", "y")) if "column" not in ds.coords else (ds.column, ds.row)  # fmt: skip
    nearest = float(x[np.abs(x.values - 30.2).argmin()]), float(y[np.abs(y.values - 41.7).argmin()])
    for found in (ds.sky.sel(ra=ra, dec=dec), ds.sel(ra=ra, dec=dec, method="nearest")):
        assert (float(found[x.name]), float(found[y.name])) == nearest
    np.testing.assert_allclose((found.ra, found.dec), place(*nearest), rtol=1e-12)


def test_many_positions(image):
    x, y = np.array([1.1, 30.2, 200.0, 58.9]), np.array([2.2, 41.7, 3.0, 48.6])
    ra, dec = place(x, y)
    found = image.sky.sel(ra=ra, dec=dec)
    assert found.data.dims == ("points",)
    np.testing.assert_array_equal(found.data, [2 * NX + 1, 42 * NX + 30, np.nan, 49 * NX + 59])
    np.testing.assert_array_equal(found.x, [1, 30, np.nan, 59])
    np.testing.assert_array_equal(np.isnan(found.ra), [False, False, True, False])
    np.testing.assert_array_equal(image.sky.sel(SkyCoord(ra, dec, unit="deg")).data, found.data)
    np.testing.assert_array_equal(image.sky.sel(ra=[*ra * u.deg], dec=dec * u.deg).data, found.data)
    stars = xr.Dataset(
        {"mag": ("star", [1, 2, 3, 4])}, coords={"ra": ("star", ra), "dec": ("star", dec), "star": [*"abcd"]}
    )
    named = image.data.sky.sel(ra=stars.ra, dec=stars.dec)
    assert named.dims == ("star",)
    assert named.star.values.tolist() == [*"abcd"]
    assert (stars.mag / named).dims == ("star",)
    grid = image.sky.sel(ra=ra.reshape(2, 2), dec=dec.reshape(2, 2)).data
    np.testing.assert_array_equal(grid.values.ravel(), found.data)
    assert image.sky.sel(ra=ra[:2], dec=dec[:2]).x.dtype.kind == "i"
    np.testing.assert_array_equal(image.chunk(x=20).data.sky.sel(ra=ra, dec=dec).compute(), found.data)
    with pytest.raises(KeyError, match="not in the image"):
        image.sky.sel(ra=ra, dec=dec, outside="raise")
    with pytest.raises(KeyError, match="not in the image"):
        image.sel(ra=xr.DataArray(ra), dec=xr.DataArray(dec), method="nearest")
    with pytest.raises(KeyError, match="not in the image"):
        image.sky.sel(ra=0.0, dec=0.0)
    assert np.isnan(image.sky.sel(ra=0.0, dec=0.0, outside="nan").data)
    assert np.isnan(image.sky.sel(ra=150.0, dec=-88.0, outside="nan").data)  # behind the projection


def test_integers_stay_integers_where_nothing_is_missing(tmp_path):
    image = xr.open_dataset(write(tmp_path / "i.fits", dtype="i2"), engine="fits")
    ra, dec = place(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert image.sky.sel(ra=ra, dec=dec).data.dtype == np.int16
    assert image.sky.sel(ra=[ra[0], 0.0], dec=[dec[0], 0.0]).data.dtype.kind == "f"


def test_tolerance(image):
    ra, dec = place(30.4, 41.7)
    away = SkyCoord(*place(30, 42), unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
    assert float(image.sky.sel(ra=ra, dec=dec, tolerance=away.deg * 1.001).x) == 30
    assert float(image.sky.sel(ra=ra, dec=dec, tolerance=away * 1.001).x) == 30
    with pytest.raises(KeyError):
        image.sky.sel(ra=ra, dec=dec, tolerance=away * 0.999)


def test_what_is_refused(image):
    ra, dec = place(30.4, 41.7)
    for call, error, words in (
        (lambda: image.sel(ra=ra, dec=dec), ValueError, "nearest"),
        (lambda: image.sel(ra=ra, method="nearest"), ValueError, "both"),
        (lambda: image.sky.sel(ra=ra), ValueError, "both"),
        (lambda: image.sky.sel(glon=ra, glat=dec), ValueError, "ra and dec"),
        (lambda: image.sky.sel(ra=ra, dec=dec, method="pad"), ValueError, "nearest"),
        (lambda: image.sky.sel(SkyCoord(ra, dec, unit="deg"), ra=ra, dec=dec), TypeError, "not both"),
        (lambda: image.sky.sel((ra, dec)), TypeError, "SkyCoord"),
        (lambda: image.sky.sel(ra=slice(1, 2), dec=slice(1, 2)), TypeError, "ds.sky.box"),
        (lambda: image.sel(ra=slice(1, 2), dec=slice(1, 2), method="nearest"), TypeError, "ds.sky.box"),
        (lambda: image.sel(ra=slice(1, 2), dec=slice(1, 2)), TypeError, "ds.sky.box"),
        (lambda: image.sel(ra=slice(1, 2)), TypeError, "ds.sky.box"),
        (lambda: image.isel(x=3).sky.sel(ra=ra, dec=dec), FormatError, "gone"),
        (lambda: image.isel(x=slice(0, 9)).drop_vars("x").sky.sel(ra=ra, dec=dec), FormatError, "gone"),
        (lambda: xr.Dataset({"a": ("x", [1])}).sky.sel(ra=ra, dec=dec), FormatError, "fits_header"),
        (lambda: image.drop_attrs().sky.sel(ra=ra, dec=dec), FormatError, "fits_header"),
        (lambda: image.sky.box(ra=(1, 2)), ValueError, "both"),
        (lambda: image.sky.box(ra=1, dec=2), TypeError, "iter"),
        (lambda: image.sky.box(SkyCoord(ra, dec, unit="deg")), ValueError, "two corners"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_sel_of_anything_else_is_xarrays(image):
    """The branch of ``sel`` is taken only where xarray could but raise."""
    plain = xr.Dataset({"a": ("x", [1, 2, 3])}, coords={"x": [0.0, 1.0, 2.0], "ra": 5.0, "dec": 6.0})
    assert int(plain.sel(x=1.2, method="nearest").a) == 2
    with pytest.raises((ValueError, KeyError), match="index"):
        plain.sel(ra=5.0, dec=6.0, method="nearest")
    with pytest.raises(KeyError):
        plain.sel(nothing=1)
    assert image.sel(x=slice(3, 5), y=[1, 4]).data.shape == (2, 3)
    assert image.sel({"x": 3.2}, method="nearest").x == 3
    stars = xr.Dataset({"mag": ("ra", [1, 2])}, coords={"ra": [10.0, 20.0]})
    assert int(stars.sel(ra=19.0, method="nearest").mag) == 2


def test_trees_and_other_axes(tmp_path):
    cards = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CD3_3": 1e6, "CRPIX3": 1.0, "CUNIT3": "Hz"}
    path = write(tmp_path / "cube.fits", (4, NY, NX), **cards)
    ra, dec = place(30.2, 41.7)
    tree = scichunk.open(path)
    assert tree.dataset.sel(ra=ra, dec=dec, method="nearest").data.dims == ("frequency",)
    cube = tree.to_dataset()
    found = cube.sel(ra=ra, dec=dec, frequency=1.0021e9, method="nearest")
    assert (int(found.x), float(found.frequency)) == (30, 1.002e9)
    assert cube.sky.sel(ra=[ra, ra], dec=[dec, dec]).data.dims == ("frequency", "points")
    assert cube.mean("frequency", keep_attrs=True).sky.sel(ra=ra, dec=dec).x == 30


def test_nodes_of_trees(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for i, name in enumerate(("SCI", "ERR")):
        data = np.arange(NX * NY, dtype="f4").reshape(NY, NX) + i
        hdus.append(fits.ImageHDU(data, header(), name=name))
    hdus.writeto(tmp_path / "two.fits")
    tree = scichunk.open(tmp_path / "two.fits")
    ra, dec = place(30.2, 41.7)
    assert float(tree["SCI"].sky.sel(ra=ra, dec=dec).sci) == 42 * NX + 30
    assert float(tree["ERR"].sky.sel(SkyCoord(ra, dec, unit="deg").galactic).err) == 42 * NX + 31
    assert tree["SCI"].sky.box(ra=(149.9, 150.1), dec=(2.1, 2.3)).sci.shape == (27, 27)
    np.testing.assert_allclose(scichunk.wcs(tree["SCI"]).wcs_pix2world(3, 4, 0), place(3, 4), rtol=1e-13)
    with pytest.raises(FormatError, match="fits_header"):
        tree.sky.sel(ra=ra, dec=dec)


def test_sel_among_the_positions_of_all_pixels(tmp_path, image):
    celestial = xr.open_dataset(tmp_path / "image.fits", engine="fits", coords="celestial")
    ra, dec = place(30.2, 41.7)
    want = image.sel(ra=ra, dec=dec, method="nearest")
    for found in (
        celestial.sel(ra=ra, dec=dec, method="nearest"),
        celestial.isel(x=slice(10, 50), y=slice(None, None, -1)).sel(ra=ra, dec=dec, method="nearest"),
        celestial.load().data.sel(ra=ra, dec=dec, method="nearest"),
        celestial.sky.sel(SkyCoord(ra, dec, unit="deg")),
    ):
        xr.testing.assert_equal(found if isinstance(found, xr.Dataset) else found.to_dataset(), want)
    assert celestial.sel(ra=[ra, ra], dec=[dec, dec], method="nearest").data.dims == ("points",)
    with pytest.raises(ValueError, match="method='nearest'"):
        celestial.sel(ra=ra, dec=dec)
    with pytest.raises(ValueError, match="both"):
        celestial.sel(ra=ra, method="nearest")
    with pytest.raises(TypeError, match=r"ds\.sky\.box"):
        celestial.sel(ra=slice(1, 2), dec=slice(1, 2), method="nearest")
    other = celestial.assign_coords(ra=(("y", "x"), np.zeros((NY, NX))))  # the user's own
    with pytest.raises((KeyError, ValueError), match="index"):
        other.sel(ra=0.0, method="nearest")


SYSTEMS = {
    "galactic": ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, ("glon", "glat"), "galactic"),
    "swapped": ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.2, "CRVAL2": 150.0}, ("ra", "dec"), "icrs"),
    "solar": ({"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CRVAL1": 0.1, "CRVAL2": -0.2}, ("hpln", "hplt"), None),
    "fk5": ({"RADESYS": "FK5", "EQUINOX": 1975.0}, ("ra", "dec"), "icrs"),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(tmp_path, name):
    cards, names, frame = SYSTEMS[name]
    image = xr.open_dataset(write(tmp_path / "s.fits", **cards), engine="fits")
    wcs = WCS(header(**cards))
    lon, lat = wcs.wcs_pix2world(30.2, 41.7, 0)[:: -1 if name == "swapped" else 1]
    want = float(image.data.values[42, 30])
    lonlat = dict(zip(names, (lon, lat), strict=True))
    assert float(image.sel(**lonlat, method="nearest").data) == want
    assert float(image.sky.sel(**lonlat).data) == want
    if frame:
        position = wcs.pixel_to_world(30.2, 41.7).transform_to(frame)
        assert float(image.sky.sel(position).data) == want
    else:
        with pytest.raises(FormatError, match="frame"):
            image.sky.sel(SkyCoord(1, 2, unit="deg"))


# ---------------------------------------------------------------- boxes


def expected(ds, low, high, west, east):
    """The rectangle of the pixels whose centres are in a box, one by one."""
    lon, lat = place(*np.meshgrid(ds.x.values, ds.y.values))
    inside = ((lon - west) % 360 <= (east - west) % 360) & (lat >= low) & (lat <= high)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return ds.x.values[columns[0] : columns[-1] + 1].tolist(), ds.y.values[rows[0] : rows[-1] + 1].tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d,
        lambda d: d.isel(x=slice(3, None, 2), y=slice(None, None, -3)),
        lambda d: d.coarsen(x=3, y=5).mean(),
        lambda d: d.data,
    ],
)
@pytest.mark.parametrize("box", [(2.1, 2.3, 149.9, 150.1), (2.15, 2.28, 149.6, 149.99), (-5.0, 9.0, 149.95, 170.0)])
def test_boxes(image, change, box):
    ds = change(image)
    low, high, west, east = box
    x, y = expected(ds, *box)
    corners = SkyCoord([east, west], [low, high], unit="deg")
    for found in (
        ds.sky.box(ra=(west, east), dec=(low, high)),
        ds.sky.box(ra=slice(east, west), dec=slice(high, low)),
        ds.sky.box(ra=(west * u.deg, (east * u.deg).to("rad")), dec=[low, high] * u.deg),
        ds.sky.box(corners),
    ):
        assert (found.x.values.tolist(), found.y.values.tolist()) == (x, y)


def test_boxes_around_a_position(image):
    centre = SkyCoord(150.02, 2.21, unit="deg")
    half = 0.05 / np.cos(np.deg2rad(2.21))
    x, y = expected(image, 2.21 - 0.03, 2.21 + 0.03, 150.02 - half, 150.02 + half)
    for found in (
        image.sky.box(centre, size=(0.1, 0.06)),
        image.sky.box(centre.galactic, size=(6 * u.arcmin, 3.6 * u.arcmin)),
        image.sky.box(ra=150.02, dec=2.21, size=[0.1, 0.06]),
    ):
        assert (found.x.values.tolist(), found.y.values.tolist()) == (x, y)
    assert image.sky.box(ra=(10, 20), dec=(-80, -70)).data.size == 0
    assert image.sky.box(ra=(150.00001, 150.00002), dec=(2.20301, 2.20302)).data.size == 0  # between centres


def test_boxes_through_zero(tmp_path):
    image = xr.open_dataset(write(tmp_path / "z.fits", CRVAL1=0.0), engine="fits")
    want = image.sky.box(ra=(-0.1, 0.1), dec=(2.1, 2.3))
    assert want.data.size > 100
    for ra in ((359.9, 0.1), (359.9, 360.1), slice(-0.1, 0.1)):
        xr.testing.assert_identical(image.sky.box(ra=ra, dec=(2.1, 2.3)), want)


# ---------------------------------------------------------------- stacks


def stack_of(folder, shifts, **keywords):
    paths = [write(folder / f"{i}.fits", CRVAL1=150.0 + s) for i, s in enumerate(shifts)]
    return paths, keywords


def test_stacks_of_one_pointing(tmp_path):
    paths = [write(tmp_path / f"{i}.fits") for i in range(3)]
    ds = scichunk.open_stack(paths, dim="time", coordinate=[1, 2, 3])
    ra, dec = place(30.2, 41.7)
    assert ds.sky.sel(ra=ra, dec=dec).data.values.tolist() == [42 * NX + 30] * 3
    assert ds.sel(ra=ra, dec=dec, method="nearest").data.dims == ("time",)
    assert ds.sky.sel(ra=[ra, 0.0], dec=[dec, 0.0]).data.dims == ("time", "points")
    assert ds.sky.box(ra=(149.9, 150.1), dec=(2.1, 2.3)).sizes["time"] == 3
    np.testing.assert_allclose(scichunk.wcs(ds.isel(x=slice(4, None, 2))).wcs.crval, [150.0, 2.2])


@pytest.fixture
def dithered(tmp_path):
    paths = [write(tmp_path / f"{i}.fits", CRVAL1=150.0 + 0.016 * i) for i in range(3)]
    with pytest.warns(DataWarning, match="different places"):
        return scichunk.open_stack(paths, dim="time", coordinate=[10, 20, 30])


def test_stacks_of_several_pointings(dithered):
    np.testing.assert_allclose(dithered.ra, [150.0, 150.016, 150.032])
    assert (dithered.ra.dims, dithered.dec.dims) == (("time",), ("time",))
    assert "fits_header" not in dithered.data.attrs
    with pytest.raises(FormatError, match="isel"):
        scichunk.wcs(dithered)
    for i, one in enumerate(
        [dithered.isel(time=0), dithered.sel(time=20), dithered.data.isel(time=[2], x=slice(3, 33, 2))]
    ):
        want = WCS(header(CRVAL1=150.0 + 0.016 * i)).wcs_pix2world(7 if i < 2 else 17, 5, 0)
        np.testing.assert_allclose(scichunk.wcs(one).wcs_pix2world(7, 5, 0), want, rtol=1e-13)


def test_positions_in_stacks_of_several_pointings(dithered):
    ra, dec = place(30.2, 25.7)
    columns = [round(float(WCS(header(CRVAL1=150.0 + 0.016 * i)).wcs_world2pix(ra, dec, 0)[0])) for i in range(3)]
    rows = [round(float(WCS(header(CRVAL1=150.0 + 0.016 * i)).wcs_world2pix(ra, dec, 0)[1])) for i in range(3)]
    assert len(set(columns)) == 3
    found = dithered.sky.sel(ra=ra, dec=dec)
    assert found.data.dims == ("time",)
    assert found.time.values.tolist() == [10, 20, 30]
    np.testing.assert_array_equal(found.x, columns)
    np.testing.assert_array_equal(found.data, np.array(rows) * NX + columns)
    many = dithered.data.sky.sel(ra=[ra, 0.0, ra], dec=[dec, 0.0, dec]).compute()
    assert many.dims == ("time", "points")
    np.testing.assert_array_equal(many[:, 0], found.data)
    assert np.isnan(many[:, 1]).all()
    np.testing.assert_array_equal(dithered.sky.sel(SkyCoord([ra], [dec], unit="deg").galactic).data[:, 0], found.data)
    box = dithered.sky.box(ra=(150.0, 150.05), dec=(2.15, 2.25))
    for i in range(3):
        alone = dithered.isel(time=i).sky.box(ra=(150.0, 150.05), dec=(2.15, 2.25))
        assert {*alone.x.values} <= {*box.x.values}
        assert {*alone.y.values} <= {*box.y.values}
    assert box.data.size < dithered.data.size


def test_stacks_of_several_pointings_with_gaps_and_in_order(tmp_path):
    paths = [write(tmp_path / f"{i}.fits", CRVAL1=150.0 + 0.016 * i, NIGHT=9 - i) for i in range(4)]
    (tmp_path / "1.fits").write_bytes(b"no")
    with pytest.warns(DataWarning):
        ds = scichunk.open_stack(paths, dim="night", coordinate="NIGHT", errors="warn")
    np.testing.assert_allclose(ds.ra, [150.048, 150.032, 150.0, np.nan])
    ra, dec = place(30.0, 25.0)
    found = ds.sky.sel(ra=ra, dec=dec).compute()
    assert float(found.x[2]) == 30
    assert np.isnan(found.x[3])
    with pytest.raises(FormatError, match="could not be read"):
        scichunk.wcs(ds.isel(night=3))
    np.testing.assert_allclose(scichunk.wcs(ds.isel(night=0)).wcs.crval[0], 150.048)


def test_images_put_together_by_xarray_are_not_taken_for_one(tmp_path):
    paths = [write(tmp_path / f"{i}.fits", CRVAL1=150.0 + 0.016 * i) for i in range(3)]
    one, two, _ = opened = [xr.open_dataset(p, engine="fits") for p in paths]
    together = xr.concat(opened, "time", coords="different", compat="equals", join="outer")
    np.testing.assert_allclose(together.ra, [150.0, 150.016, 150.032])
    for wrong in (together, together.isel(time=1)):
        with pytest.raises(FormatError, match=r"open_stack.*ds.sky.expand"):
            scichunk.wcs(wrong)
        with pytest.raises(FormatError, match=r"open_stack.*ds.sky.expand"):
            wrong.sky.sel(ra=150.0, dec=2.2)
    assert scichunk.wcs(together.isel(time=0)).naxis == 2
    difference = one - two
    assert "ra" not in difference.coords
    with pytest.raises(FormatError):
        scichunk.wcs(difference.drop_attrs())


@pytest.mark.parametrize("how", ["concat", "arrays", "open_mfdataset", "new rules"])
def test_images_that_were_expanded_are_put_together_by_xarray(tmp_path, dithered, how):
    paths = [write(tmp_path / f"again_{i}.fits", CRVAL1=150.0 + 0.016 * i) for i in range(3)]
    opened = [xr.open_dataset(p, engine="fits") for p in paths]
    with xr.set_options(use_new_combine_kwarg_defaults=how == "new rules"):
        if how == "open_mfdataset":
            together = xr.open_mfdataset(
                paths, engine="fits", combine="nested", concat_dim="time", preprocess=lambda ds: ds.sky.expand("time")
            )
        elif how == "arrays":
            together = xr.concat([ds.data.sky.expand("time") for ds in opened], "time")
        else:
            together = xr.concat([ds.sky.expand("time") for ds in opened], "time")
    assert together.sizes == {"time": 3, "y": NY, "x": NX}
    ra, dec = place(30.2, 25.7)
    want, found = dithered.sky.sel(ra=ra, dec=dec), together.sky.sel(ra=ra, dec=dec)
    for name in ("x", "y", "ra", "dec"):
        np.testing.assert_array_equal(found[name], want[name])
    np.testing.assert_array_equal(getattr(found, "data" if how != "arrays" else "values"), want.data)
    for i in range(3):
        np.testing.assert_allclose(scichunk.wcs(together.isel(time=i)).wcs.crval[0], 150.0 + 0.016 * i)
    with pytest.raises(FormatError, match="isel"):
        scichunk.wcs(together)
    with pytest.raises(ValueError, match="header for each image already"):
        together.sky.expand("night")


def test_what_was_stored_has_the_accessor_in_a_fresh_process(tmp_path, image):
    image.to_netcdf(tmp_path / "image.nc")
    ra, dec = place(30.2, 41.7)
    lines = ["import scichunk, xarray as xr", f"ds = xr.open_dataset({str(tmp_path / 'image.nc')!r}, engine='netcdf4')"]
    lines += [f"print(float(ds.sky.sel(ra={float(ra)!r}, dec={float(dec)!r}).data), scichunk.wcs(ds).naxis)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == [str(float(42 * NX + 30)), "2"]


def test_nobody_pays_who_does_not_ask(tmp_path):
    """No array of the size of the image is made for the sky, be it opened, loaded, stored or put into tasks."""
    path = tmp_path / "large.fits"
    cards = header()
    cards["NAXIS1"], cards["NAXIS2"] = 200_000, 100_000
    cards["BITPIX"] = 8
    with path.open("wb") as file:
        file.write(cards.tostring().encode())
        file.truncate(file.tell() + -(-200_000 * 100_000 // 2880) * 2880)
    ds = xr.open_dataset(path, engine="fits", chunks={})
    beside = sum(v.nbytes for v in ds.coords.values())
    assert beside < 3e6
    ra, dec = WCS(cards).wcs_pix2world(5.0, 6.0, 0)
    assert int(ds.sel(ra=ra, dec=dec, method="nearest").x) == 5
    assert ds.sky.box(ra=(149.9, 150.1), dec=(2.1, 2.3)).data.shape == (27, 27)
