"""``scichunk.wcs`` of any even sub-grid of an image: equal to the whole image's, for every kind of distortion."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

import scichunk
from scichunk.errors import FormatError

NX, NY, NF = 48, 40, 12
SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 20.5, "CRPIX2": 15.0}
CDELT = {"CDELT1": -0.01, "CDELT2": 0.01}
TURNED = {"CD1_1": -0.008, "CD1_2": 0.006, "CD2_1": 0.006, "CD2_2": 0.008}
SIP = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "A_2_0": 2e-4, "A_1_1": -1e-4, "A_0_3": 3e-6, "B_ORDER": 2,
    "B_0_2": -3e-4, "B_1_1": 2e-5, "AP_ORDER": 2, "AP_2_0": -2e-4, "AP_1_1": 1e-4, "BP_ORDER": 2, "BP_0_2": 3e-4,
}  # fmt: skip
FREQUENCY = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CRPIX3": 3.0, "CUNIT3": "Hz"}
STOKES = {"CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0}


def write(path, cards, shape=(NY, NX), *tables):
    primary = fits.PrimaryHDU(np.arange(np.prod(shape), dtype="f4").reshape(shape))
    for name, value in cards.items():
        primary.header[name] = value
    fits.HDUList([primary, *tables]).writeto(path, overwrite=True)
    return path


def lookup(path, scale=1.0):
    """Write an image with lookup tables for both axes, and corrections of the detector's columns."""
    primary = fits.PrimaryHDU(np.arange(NX * NY, dtype="f4").reshape(NY, NX))
    for name, value in {**SKY, **TURNED}.items():
        primary.header[name] = value
    hdus = [primary]
    for i, (word, key, name) in enumerate(
        [("CPDIS1", "DP1", "WCSDVARR"), ("CPDIS2", "DP2", "WCSDVARR"), ("D2IMDIS1", "D2IM1", "D2IMARR")]
    ):
        version = i % 2 + 1
        primary.header[word] = "LOOKUP"
        for card in (f"EXTVER: {version}.0", "NAXES: 2.0", "AXIS.1: 1.0", "AXIS.2: 2.0"):
            primary.header.append((key, card))
        rows, columns = np.mgrid[:9, :11]
        data = scale * np.sin(rows + 1.7 * i) * np.cos(columns / 2)
        table = fits.ImageHDU(data.astype("f4"), name=name, ver=version)
        for card, value in {"CRPIX1": 1, "CRPIX2": 1, "CRVAL1": 1, "CRVAL2": 1, "CDELT1": 5, "CDELT2": 5}.items():
            table.header[card] = value
        hdus.append(table)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def spectrum(path, scale=1.0):
    """Write a cube whose wavelengths are in a table (-TAB)."""
    primary = fits.PrimaryHDU()
    cube = fits.ImageHDU(np.zeros((6, NY, NX), "f4"), name="SCI")
    tab = {"CTYPE3": "WAVE-TAB", "CUNIT3": "um", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0, "PS3_0": "WCS-TABLE",
           "PS3_1": "wavelength", "PV3_1": 1, "PV3_2": 1, "PV3_3": 1}  # fmt: skip
    for name, value in {**SKY, **CDELT, **tab}.items():
        cube.header[name] = value
    values = (scale * np.linspace(1, 2, 6) ** 2).reshape(1, 6, 1).astype("f4")
    table = fits.BinTableHDU.from_columns(
        [fits.Column("wavelength", "6E", dim="(1,6)", array=values)], name="WCS-TABLE"
    )
    fits.HDUList([primary, cube, table]).writeto(path, overwrite=True)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sub-grids")
    return {
        "plain": write(folder / "plain.fits", SKY | CDELT),
        "turned": write(folder / "turned.fits", SKY | TURNED),
        "PC": write(folder / "pc.fits", SKY | CDELT | {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8}),
        "PC and CD": write(
            folder / "both.fits", SKY | TURNED | {"PC1_1": -0.008, "PC1_2": 0.005, "PC2_1": 0.005, "PC2_2": 0.008}
        ),
        "CROTA": write(folder / "crota.fits", SKY | CDELT | {"CROTA2": 30.0}),
        "SIP": write(folder / "sip.fits", SKY | TURNED | SIP),
        "TPV": write(
            folder / "tpv.fits",
            SKY
            | TURNED
            | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_4": 0.01, "PV2_1": 1.0, "PV2_6": 0.02},
        ),
        "lookup": lookup(folder / "lookup.fits"),
        "cube": write(folder / "cube.fits", SKY | CDELT | FREQUENCY | STOKES, (1, NF, NY, NX)),
        "tab": spectrum(folder / "tab.fits"),
    }


def whole(path):
    with fits.open(path) as file:
        return WCS(file[1 if file[0].data is None else 0].header, file)


VIEWS = {
    "all": lambda a: a,
    "cut": lambda a: a.isel(x=slice(5, 31), y=slice(7, 33)),
    "steps": lambda a: a.isel(x=slice(3, None, 4), y=slice(1, None, 3)),
    "backwards": lambda a: a.isel(x=slice(None, None, -1), y=slice(30, 4, -2)),
    "coarsened": lambda a: a.coarsen(x=4, y=3, boundary="trim").mean(),
    "coarsened slice": lambda a: a.isel(x=slice(2, 42)).coarsen(x=5).mean().isel(y=slice(None, None, 7)),
    "fractions": lambda a: xr.DataArray(np.zeros((3, 5)), dims=("y", "x"), attrs=a.attrs).assign_coords(
        x=np.arange(5) * 0.75 + 1.25, y=[2.5, 4.0, 5.5]
    ),
    "one row": lambda a: a.isel(y=slice(9, 10)),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["plain", "turned", "PC", "PC and CD", "CROTA", "SIP", "TPV", "lookup"])
def test_images(files, kind, view):
    array = xr.open_dataset(files[kind], engine="fits").data
    part = VIEWS[view](array.load())
    got, want = scichunk.wcs(part), whole(files[kind])
    assert got.array_shape == part.shape
    x, y = np.meshgrid(np.arange(part.sizes["x"]), np.arange(part.sizes["y"]))
    where = np.meshgrid(part.x.values, part.y.values)
    # lookup tables are 32-bit floats, so they are moved with 7 digits
    tolerance = {"rtol": 0, "atol": 1e-9 if kind == "lookup" else 1e-12}
    np.testing.assert_allclose(got.all_pix2world(x, y, 0), want.all_pix2world(*where, 0), **tolerance)
    assert want.has_distortion == got.has_distortion
    if kind != "lookup":
        back = got.all_world2pix(*got.all_pix2world(x, y, 0), 0, tolerance=1e-6)
        np.testing.assert_allclose(back, (x, y), atol=1e-4)


def test_steps_are_in_the_usual_cards(files):
    part = scichunk.wcs(xr.open_dataset(files["plain"], engine="fits").data[4::2, 3::4])
    np.testing.assert_allclose(part.wcs.cdelt, [-0.04, 0.02])
    np.testing.assert_allclose(part.wcs.crpix, [(20.5 - 1 - 3) / 4 + 1, (15 - 1 - 4) / 2 + 1])


@pytest.mark.parametrize("view", ["all", "steps", "backwards", "coarsened"])
def test_cubes(files, view):
    cube = xr.open_dataset(files["cube"], engine="fits").data.load()
    part = VIEWS[view](cube).isel(frequency=slice(2, None, 3), stokes=0)
    got, want = scichunk.wcs(part), whole(files["cube"])
    assert (got.naxis, got.array_shape) == (3, part.shape)
    for x, y, f in ((0, 0, 0), (3, 5, 2), (7, 2, 1)):
        place = float(part.x[x]), float(part.y[y]), 2 + 3 * f, 0
        np.testing.assert_allclose(got.wcs_pix2world(x, y, f, 0), want.wcs_pix2world(*place, 0)[:3], rtol=1e-13)
        assert got.wcs_pix2world(x, y, f, 0)[2] == pytest.approx(float(part.frequency[f]), rel=1e-15)


def test_spectral_axes_of_any_sub_grid(files):
    cube = xr.open_dataset(files["cube"], engine="fits").data.load()
    for part in (
        cube.isel(frequency=slice(None, None, -2)),
        cube.coarsen(frequency=3).mean(),
        cube.interp(frequency=np.arange(1.4005e9, 1.406e9, 5e5)) if _has("scipy") else cube,
        cube.sel(frequency=slice(1.4e9, 1.404e9)),
    ):
        got = scichunk.wcs(part)
        n = np.arange(part.sizes["frequency"])
        np.testing.assert_allclose(got.wcs_pix2world(0 * n, 0 * n, n, 0 * n, 0)[2], part.frequency, rtol=1e-13)


def _has(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_the_axes_are_those_of_the_array(files):
    cube = xr.open_dataset(files["cube"], engine="fits").data
    image = cube.isel(stokes=0, frequency=3)
    assert scichunk.wcs(image).world_axis_physical_types == ["pos.eq.ra", "pos.eq.dec"]
    cut = Cutout2D(image.values, (20, 15), (9, 7), wcs=scichunk.wcs(image))
    np.testing.assert_allclose(cut.wcs.wcs_pix2world(0, 0, 0), whole(files["cube"]).wcs_pix2world(17, 11, 3, 0, 0)[:2])
    for squeezed in (cube.squeeze(), cube.squeeze(drop=True), cube.isel(stokes=0, drop=True)):
        assert scichunk.wcs(squeezed).naxis == 3
    for picked in (cube.isel(frequency=3, stokes=0, drop=True), cube.isel(frequency=3).squeeze(drop=True)):
        assert scichunk.wcs(picked).naxis == 2
    one = scichunk.wcs(cube.isel(x=3, y=4, stokes=0))
    assert one.naxis == 1
    np.testing.assert_allclose(one.wcs_pix2world(np.arange(NF), 0)[0], cube.frequency)
    assert scichunk.wcs(cube.isel(x=3, y=4, stokes=0, drop=True)).naxis == 1
    turned = cube.isel(stokes=0).transpose("x", "y", "frequency")
    np.testing.assert_allclose(
        scichunk.wcs(turned).wcs_pix2world(5, 4, 3, 0)[::-1], whole(files["cube"]).wcs_pix2world(3, 4, 5, 0, 0)[:3]
    )
    renamed = cube.rename(x="column", frequency="channel").isel(column=slice(4, 20, 2), channel=slice(2, 5))
    assert scichunk.wcs(renamed).wcs_pix2world(0, 0, 0, 0, 0)[2] == pytest.approx(1.4e9)


def test_cuts_across_the_sky(files):
    cube = xr.open_dataset(files["cube"], engine="fits").data
    part = cube.isel(y=slice(2, 30, 3), x=7, stokes=0)  # position and frequency
    got, want = scichunk.wcs(part), whole(files["cube"])
    assert (got.pixel_n_dim, got.world_n_dim, got.array_shape) == (2, 3, part.shape)
    low = got.low_level_wcs
    np.testing.assert_allclose(low.pixel_to_world_values(4, 5), want.wcs_pix2world(7, 14, 5, 0, 0)[:3], rtol=1e-13)
    with pytest.raises(FormatError, match="its coordinate is gone"):
        scichunk.wcs(cube.isel(y=slice(2, 30, 3), x=7, stokes=0, drop=True))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.isel(x=[1, 2, 5, 9]), "evenly spaced"),
        (lambda a: a.isel(x=[3, 3, 3]), "evenly spaced"),
        (lambda a: a.pad(x=2), "no pixel has"),
        (lambda a: a.isel(x=slice(3, 9)).drop_vars("x"), "coordinate is gone"),
        (lambda a: a.assign_coords(x=[str(i) for i in range(a.sizes["x"])]), "not that of the file"),
        (lambda a: a.assign_coords(frequency=a.frequency / 1e9), "not that of the file"),
        (lambda a: a.isel(frequency=[0, 1, 5]), "evenly spaced"),
        (lambda a: a.isel(x=slice(0, 0)), "left"),
        (lambda a: a.mean(("x", "y", "frequency", "stokes"), keep_attrs=True), "left"),
    ],
)
def test_what_a_wcs_cannot_express(files, spoil, words):
    cube = xr.open_dataset(files["cube"], engine="fits").data
    with pytest.raises(FormatError, match=words):
        scichunk.wcs(spoil(cube))


def test_distorted_axes_keep_their_order(files):
    image = xr.open_dataset(files["SIP"], engine="fits").data
    with pytest.raises(FormatError, match="transpose"):
        scichunk.wcs(image.T)


@pytest.mark.parametrize("kind", ["lookup", "tab"])
def test_tables_travel(files, kind, tmp_path):
    ds = xr.open_dataset(files[kind], engine="fits")
    part = ds.isel(x=slice(4, 30, 2))
    pixel = [1.0, 2.0, 3.0][: 2 if kind == "lookup" else 3]
    want = np.array(whole(files[kind]).pixel_to_world_values(4 + 2 * pixel[0], *pixel[1:]))
    (tmp_path / "part.pkl").write_bytes(pickle.dumps(part))
    code = f"""
import pickle, numpy as np, scichunk
part = pickle.loads(open({str(tmp_path / "part.pkl")!r}, "rb").read())
print([float(v) for v in scichunk.wcs(part).pixel_to_world_values(*{pixel})])
print(float(part.sky.sel(ra=150.0, dec=2.2).x), float(part.sel(ra=150.0, dec=2.2, method="nearest").x))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    first, second = done.stdout.splitlines()
    np.testing.assert_allclose(eval(first), want, rtol=1e-9)
    here = part.sky.sel(ra=150.0, dec=2.2)
    assert second.split() == [str(float(here.x))] * 2
    name = next(iter(part.data_vars))
    bare = part.copy()
    del bare[name].attrs["wcs_tables"]
    with pytest.raises(FormatError, match="wcs_tables"):
        scichunk.wcs(bare)
    damaged = part.copy()
    damaged[name].attrs["wcs_tables"] = "AAAA" + damaged[name].attrs["wcs_tables"]
    with pytest.raises(FormatError, match="damaged"):
        scichunk.wcs(damaged)


@pytest.mark.parametrize(("make", "kind"), [(lookup, "lookup"), (spectrum, "tab")])
def test_equal_headers_with_other_tables_are_told_apart(tmp_path, make, kind):
    """The cache of world coordinates is not keyed by the header alone."""
    paths = [make(tmp_path / "one.fits", 1.0), make(tmp_path / "two.fits", 3.0)]
    opened = [xr.open_dataset(p, engine="fits") for p in paths]
    found = []
    for path, ds in zip(paths, opened, strict=True):
        pixel = [7.0, 12.0] if kind == "lookup" else [7.0, 12.0, 3.0]
        found.append(scichunk.wcs(ds).pixel_to_world_values(*pixel))
        np.testing.assert_allclose(found[-1], whole(path).pixel_to_world_values(*pixel), rtol=1e-12)
    assert not np.allclose(found[0], found[1], rtol=1e-9)
    if kind == "tab":
        assert not np.allclose(opened[0].wavelength, opened[1].wavelength)


def test_plots_take_it(files):
    """In a process of its own, since matplotlib keeps its fonts open."""
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    code = f"""
import matplotlib, scichunk, xarray as xr
matplotlib.use("Agg")
from matplotlib import pyplot
try:
    import astropy.visualization.wcsaxes
except ImportError:  # an astropy that is older than this matplotlib
    raise SystemExit("no WCSAxes")
image = xr.open_dataset({str(files["cube"])!r}, engine="fits").data.isel(stokes=0, frequency=0)
axes = pyplot.subplot(projection=scichunk.wcs(image))
axes.imshow(image.values)
pyplot.gcf().canvas.draw()
print(axes.coords[0].default_label)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    if "no WCSAxes" in done.stderr:
        pytest.skip("this astropy does not know this matplotlib")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "pos.eq.ra"


def test_ndcube_takes_it(files):
    ndcube = pytest.importorskip("ndcube", reason="needs ndcube")
    cube = xr.open_dataset(files["cube"], engine="fits").data.isel(stokes=0, frequency=slice(1, None, 2))
    made = ndcube.NDCube(cube.values, wcs=scichunk.wcs(cube))
    assert made[1:3, 4:9].shape == (2, 5, NX)
    part = cube.isel(x=3)
    assert ndcube.NDCube(part.values, wcs=scichunk.wcs(part)).shape == part.shape


def test_reproject_takes_it(files):
    reproject = pytest.importorskip("reproject", reason="needs reproject")
    image = xr.open_dataset(files["turned"], engine="fits").data.load()
    coarse = image.isel(x=slice(2, 40, 2), y=slice(3, 35, 2))
    got, _ = reproject.reproject_interp(
        (image.values, scichunk.wcs(image)), scichunk.wcs(coarse), shape_out=coarse.shape
    )
    np.testing.assert_allclose(got, coarse, atol=1e-3)


@pytest.mark.parametrize("step", [60.0, 1e-3, 2e-6])
def test_time_axes_of_any_sub_grid(tmp_path, step):
    """Datetimes far from 1970 have more digits than a float holds."""
    axis = {"CTYPE3": "TT", "CUNIT3": "s", "CDELT3": step, "CRVAL3": 86399.5, "CRPIX3": 1.0, "MJDREF": 58849.0}
    cube = xr.open_dataset(write(tmp_path / "t.fits", SKY | CDELT | axis, (9, 4, 5)), engine="fits").data
    for part, first, every in ((cube[::2], 0, 2), (cube[::-3], 8, -3), (cube.isel(time=slice(4, 7)), 4, 1)):
        n = np.arange(part.sizes["time"])
        got = scichunk.wcs(part).wcs_pix2world(0 * n, 0 * n, n, 0)[2]
        np.testing.assert_allclose(got - 86399.5, (first + every * n) * step, rtol=1e-5, atol=2e-11)


def test_leap_seconds_leave_the_rest_of_an_axis_alone(tmp_path):
    axis = {"CTYPE3": "UTC", "CUNIT3": "s", "CDELT3": 0.5, "CRVAL3": 86398.5, "CRPIX3": 1.0, "MJDREF": 57753.0}
    with pytest.warns(scichunk.errors.MetadataWarning, match="leap second"):
        cube = xr.open_dataset(write(tmp_path / "t.fits", SKY | CDELT | axis, (8, 4, 5)), engine="fits").data
        assert np.isnat(cube.time.values).sum() == 2
        assert scichunk.wcs(cube).array_shape == (8, 4, 5)
        assert scichunk.wcs(cube.isel(time=slice(5, 8))).wcs_pix2world(0, 0, 0, 0)[2] == pytest.approx(86401.0)
        with pytest.raises(FormatError, match="no pixel has"):
            scichunk.wcs(cube.isel(time=slice(2, 5)))
