"""World coordinates against astropy."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

import scichunk
from scichunk.sky.wcs import axes_of, coordinates, sky_pixels, sky_values
from tests.differential.test_corpus import CORPUS, manifest

DATA = Path(__file__).parents[2] / "test_data"
TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 20.0, "CRPIX2": 15.0,
       "CDELT1": -0.01, "CDELT2": 0.01}  # fmt: skip


def header(shape, **cards):
    found = fits.PrimaryHDU(np.zeros(shape, "u1")).header
    for name, value in cards.items():
        found[name] = value
    return found


@pytest.mark.parametrize(
    ("cards", "shape", "dims"),
    [
        (TAN, (30, 40), ("y", "x")),
        ({**TAN, "CTYPE3": "FREQ", "CTYPE4": "STOKES"}, (1, 5, 30, 40), ("stokes", "frequency", "y", "x")),
        ({"CTYPE1": "DEC--SIN", "CTYPE2": "RA---SIN"}, (30, 40), ("x", "y")),
        ({"CTYPE1": "VELO-LSR", "CTYPE2": "GLON-CAR", "CTYPE3": "GLAT-CAR"}, (3, 4, 5), ("y", "x", "velocity")),
        ({"CTYPE1": "WAVE-LOG"}, (9,), ("wavelength",)),
        ({"CTYPE1": "UTC", "CTYPE2": "UTC"}, (3, 4), ("axis_2", "time")),
        ({"CTYPE1": "LINEAR"}, (4, 5, 6), ("axis_3", "y", "x")),
        ({}, (4, 5, 6), ("axis_3", "y", "x")),
        (
            {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CTYPE3": "WAVE", "CTYPE4": "UTC"},
            (2, 3, 4, 5),
            ("time", "wavelength", "y", "x"),
        ),
    ],
)
def test_names_of_dimensions(cards, shape, dims):
    assert axes_of(header(shape, **cards).tostring(), shape).dims == dims


SPECTRAL = [
    {"CTYPE3": "FREQ", "CRVAL3": 1.42, "CDELT3": 0.001, "CUNIT3": "GHz", "CRPIX3": 3.0},
    {
        "CTYPE3": "VRAD",
        "CRVAL3": 100.0,
        "CDELT3": -5.0,
        "CUNIT3": "km/s",
        "CRPIX3": 1.0,
        "RESTFRQ": 1.4204e9,
        "SPECSYS": "LSRK",
    },
    {"CTYPE3": "WAVE-LOG", "CRVAL3": 5000.0, "CDELT3": 2.0, "CUNIT3": "Angstrom", "CRPIX3": 1.0},
    {"CTYPE3": "AWAV", "CRVAL3": 5000.0, "CDELT3": 2.0, "CUNIT3": "Angstrom", "CRPIX3": 1.0},
    {"CTYPE3": "STOKES", "CRVAL3": -5.0, "CDELT3": -1.0, "CRPIX3": 1.0},
    {"CTYPE3": "LAYER", "CRVAL3": 3.5, "CDELT3": 0.5, "CRPIX3": 2.0},
]


@pytest.mark.parametrize("cards", SPECTRAL, ids=lambda c: c["CTYPE3"])
def test_one_dimensional_coordinates(cards):
    text = header((7, 30, 40), **TAN, **cards)
    axes = axes_of(text.tostring(), (7, 30, 40))
    found = coordinates(text.tostring(), (7, 30, 40), axes)
    want = WCS(text)
    values = want.pixel_to_world_values(np.zeros(7), np.zeros(7), np.arange(7))[2]
    (name,) = found
    assert name == axes.dims[0]
    np.testing.assert_allclose(found[name].values, values, rtol=1e-14)
    assert u.Unit(found[name].attrs.get("units", "")) == u.Unit(want.world_axis_units[2])
    assert "**" not in found[name].attrs.get("units", "")  # pint and UDUNITS read it too


def test_coupled_axes_have_none():
    text = header((30, 40), CTYPE1="LINEAR", CTYPE2="LINEAR", CRVAL1=1.0, CRVAL2=2.0, PC1_2=0.5, PC2_1=-0.5)
    assert coordinates(text.tostring(), (30, 40), axes_of(text.tostring(), (30, 40))) == {}


def test_times():
    text = header((4, 5), CTYPE2="UTC", CRVAL2=3600.0, CDELT2=60.0, CUNIT2="s", CRPIX2=1.0, MJDREF=58849.5)
    found = coordinates(text.tostring(), (4, 5), axes_of(text.tostring(), (4, 5)))["time"]
    assert found.values.astype("M8[s]").astype(str).tolist() == [f"2020-01-01T13:0{i}:00" for i in range(4)]


def test_a_broken_header_warns():
    text = header((3, 30, 40), **TAN, CTYPE3="FREQ-???", CRVAL3=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scichunk.errors.MetadataWarning)
        coordinates(text.tostring(), (3, 30, 40), axes_of(text.tostring(), (3, 30, 40)))


@pytest.mark.parametrize("kind", ["TAN", "SIN", "CAR", "AIT", "TAN swapped", "TAN rotated", "TAN cube"])
def test_positions_on_the_sky(kind):
    cards, shape = dict(TAN), (30, 40)
    cards["CTYPE1"], cards["CTYPE2"] = (c.replace("TAN", kind[:3]) for c in (cards["CTYPE1"], cards["CTYPE2"]))
    if "rotated" in kind:
        cards |= {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8}
    if "swapped" in kind:
        for stem in ("CTYPE", "CRVAL", "CRPIX", "CDELT"):
            cards[f"{stem}1"], cards[f"{stem}2"] = cards[f"{stem}2"], cards[f"{stem}1"]
        shape = (40, 30)
    if "cube" in kind:
        cards |= {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6}
        shape = (5, 30, 40)
    text = header(shape)
    for name, value in cards.items():
        text[name] = value
    axes = axes_of(text.tostring(), shape)
    x, y = np.meshgrid(np.arange(40.0), np.arange(30.0))
    lon, lat = sky_values(text.tostring(), axes, x, y)
    wcs = WCS(text).celestial
    pixels = (y, x) if "swapped" in kind else (x, y)
    want = wcs.pixel_to_world(*pixels)
    np.testing.assert_allclose(lon, want.spherical.lon.deg, rtol=1e-12)
    np.testing.assert_allclose(lat, want.spherical.lat.deg, rtol=1e-12)
    again = sky_pixels(text.tostring(), axes, lon, lat)
    np.testing.assert_allclose(again[0], x, atol=1e-6)
    np.testing.assert_allclose(again[1], y, atol=1e-6)


@pytest.fixture
def exposure():
    return xr.open_dataset(DATA / "exposure.fits", engine="fits", hdu="SCI")


def position(column, row):
    with fits.open(DATA / "exposure.fits") as file:
        lon, lat = WCS(file["SCI"].header).wcs_pix2world(column, row, 0)
    return float(lon), float(lat)


def test_selecting_by_position(exposure):
    ra, dec = position(30.2, 41.7)
    found = exposure.sel(ra=ra, dec=dec, method="nearest")
    assert (int(found.x), int(found.y)) == (30, 42)
    found = exposure.isel(x=slice(10, 90, 3), y=slice(None, None, -1)).sel(ra=ra, dec=dec, method="nearest")
    assert (int(found.x), int(found.y)) == (31, 42)
    found = exposure.sel(ra=ra * u.deg, dec=(dec * u.deg).to("arcsec"), method="nearest")
    assert (int(found.x), int(found.y)) == (30, 42)
    points = xr.DataArray([ra, ra], dims="star"), xr.DataArray([dec, dec], dims="star")
    assert exposure.sci.sel(ra=points[0], dec=points[1], method="nearest").dims == ("star",)
    assert exposure.sel(x=slice(10, 20), y=5).sci.shape == (11,)
    with pytest.raises(KeyError, match="not in the image"):
        exposure.sel(ra=0.0, dec=0.0, method="nearest")
    with pytest.raises(ValueError, match="nearest"):
        exposure.sel(ra=ra, dec=dec)
    with pytest.raises(ValueError, match="both"):
        exposure.sel(ra=ra, method="nearest")


def test_wcs_of_slices(exposure):
    with fits.open(DATA / "exposure.fits") as file:
        whole = WCS(file["SCI"].header)
    for view in ((slice(5, 50), slice(10, 90, 2)), (slice(None), slice(None)), (slice(7, 8), slice(3, None))):
        part = exposure.sci[view]
        ours = scichunk.wcs(part)
        x, y = (float(c[1 if c.size > 1 else 0]) for c in (part.x, part.y))
        at = 1 if part.y.size > 1 else 0
        np.testing.assert_allclose(ours.wcs_pix2world(1, at, 0), whole.wcs_pix2world(x, y, 0), rtol=1e-14)
        assert ours.array_shape == part.shape
    cube = xr.open_dataset(DATA / "cube.fits", engine="fits")
    part = scichunk.wcs(cube.data.isel(frequency=slice(2, 8), stokes=0))
    assert part.array_shape == (6, 24, 32)
    assert part.wcs_pix2world(0, 0, 0, 0)[2] == cube.frequency[2]
    with pytest.raises(scichunk.errors.FormatError, match="fits_header"):
        scichunk.wcs(xr.DataArray([1]))


def test_celestial_coordinates_on_request():
    ds = xr.open_dataset(DATA / "exposure.fits", engine="fits", hdu="SCI", coords="celestial")
    assert ds.ra.dims == ("y", "x")
    assert not ds.ra.variable._in_memory
    np.testing.assert_allclose([ds.ra[41, 30], ds.dec[41, 30]], position(30, 41), rtol=1e-13)


@pytest.mark.corpus
@pytest.mark.skipif(not manifest("fits"), reason="no corpus")
@pytest.mark.filterwarnings("ignore")
def test_headers_of_real_files():
    from scichunk.core.handles import open_file
    from scichunk.formats.fits.metadata import header_text
    from scichunk.sources import locate

    compared = 0
    for name in manifest("fits"):
        try:
            file = open_file("fits", locate(CORPUS / name))
        except scichunk.errors.ScichunkError:
            continue
        for hdu in file.structure.all_hdus()[:8]:
            if not hdu.is_image or not hdu.shape:
                continue
            text = header_text(hdu)
            axes = axes_of(text, hdu.shape)
            assert len(set(axes.dims)) == len(axes.dims) == len(hdu.shape)
            try:
                want = WCS(fits.Header.fromstring(text))
            except Exception:
                continue
            if axes.sky and want.has_celestial:
                sizes = dict(zip(axes.dims, hdu.shape, strict=True))
                x, y = (np.array([0.0, sizes[d] / 2, sizes[d] - 1]) for d in axes.sky)
                lon, lat = sky_values(text, axes, x, y)
                pixels = (y, x) if want.celestial.wcs.lng == 1 else (x, y)
                world = want.celestial.all_pix2world(*pixels, 0)
                np.testing.assert_allclose(lon, world[want.celestial.wcs.lng], rtol=1e-12)
                np.testing.assert_allclose(lat, world[want.celestial.wcs.lat], rtol=1e-12)
                compared += 1
    assert compared > 20
