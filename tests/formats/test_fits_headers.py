"""What headers of FITS files say, and how it is told: attributes, units, times, names, against astropy."""

import io
import warnings

import astropy
import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits
from astropy.time import Time, TimeDelta
from astropy.wcs import WCS

import scichunk
from scichunk.errors import DataWarning, FormatError, MetadataWarning

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 6.0, "CRPIX2": 5.0, "CDELT1": -0.01,
       "CDELT2": 0.01}  # fmt: skip


def card(name, value):
    text = f"'{value:<8}'" if isinstance(value, str) else {True: "T", False: "F"}.get(value, value) if isinstance(value, bool) else value  # fmt: skip
    return f"{name:<8}= {text}"


def raw(*cards, data=None, shape=(4, 3), bitpix=16, **more):
    """Make a file of cards as they are."""
    values = np.arange(12, dtype=">i2") if data is None else data
    first = [card("SIMPLE", True), card("BITPIX", bitpix), card("NAXIS", len(shape))]
    first += [card(f"NAXIS{i}", n) for i, n in enumerate(shape, 1)]
    lines = [*first, *cards, *(card(n, v) for n, v in more.items()), "END"]
    text = b"".join((c if isinstance(c, bytes) else c.encode()).ljust(80) for c in lines)
    content = values.tobytes()
    return text.ljust(-(-len(text) // 2880) * 2880) + content.ljust(-(-len(content) // 2880) * 2880, b"\0")


def written(*hdus):
    file = io.BytesIO()
    fits.HDUList([*hdus]).writeto(file)
    return file.getvalue()


def opened(data, **keywords):
    return xr.open_dataset(data, engine="fits", **keywords)


# ---------------------------------------------------------------- where the reference point is


@pytest.mark.parametrize(
    ("unit", "degrees"),
    [("deg", 1), ("arcmin", 1 / 60), ("arcsec", 1 / 3600), ("mas", 1 / 3.6e6), ("rad", 180 / np.pi), ("", 1), ("uas", 1 / 3.6e9), ("DEGREES", 1), ("Arcsec", 1 / 3600)],
)  # fmt: skip
@pytest.mark.parametrize("kind", [("HPLN-TAN", "HPLT-TAN"), ("RA---TAN", "DEC--TAN"), ("GLAT-CAR", "GLON-CAR")])
def test_units_of_the_reference_point(unit, degrees, kind):
    values = (0.7, -0.25)
    cards = {"CTYPE1": kind[0], "CTYPE2": kind[1], "CRVAL1": values[0], "CRVAL2": values[1], "CUNIT1": unit, "CUNIT2": unit,
             "CRPIX1": 2.0, "CRPIX2": 2.0, "CDELT1": 1e-4, "CDELT2": 1e-4}  # fmt: skip
    ds = opened(raw(**cards))
    want = values[0] * degrees, values[1] * degrees
    if unit not in {"uas", "DEGREES", "Arcsec"}:  # which wcslib does not know
        want = WCS(fits.Header(cards), naxis=2).wcs_pix2world(1, 1, 0)
    for name, value, astropys in zip([k[:4].strip("-").lower() for k in kind], values, want, strict=True):
        assert ds[name].attrs["units"] == "deg"
        np.testing.assert_allclose(float(ds[name]), value * degrees, rtol=1e-12)
        np.testing.assert_allclose(float(ds[name]) % 360, float(astropys) % 360, rtol=1e-9, atol=1e-12)


def test_of_several_cards_the_last_places_the_pixels():
    cards = [card(n, v) for n, v in SKY.items()]
    again = [card("CRVAL1", 10.0), card("CUNIT1", "deg"), card("CTYPE2", "DEC--SIN"), card("CTYPE1", "RA---SIN")]
    data = raw(*cards, *again)
    ds = opened(data)
    want = WCS(fits.open(io.BytesIO(data))[0].header)
    assert float(ds.ra) == want.wcs.crval[0] == 10.0
    np.testing.assert_allclose(scichunk.wcs(ds).wcs_pix2world(3, 1, 0), want.wcs_pix2world(3, 1, 0))


@pytest.mark.parametrize(
    "cards",
    [("BZERO", 0.0, 100.0), ("BSCALE", 1.0, 2.0), ("BLANK", 1, 2), ("BZERO", 100.0, 0.0), ("BSCALE", 2, 1)],
)
def test_of_several_cards_the_last_scales_the_pixels(cards):
    name, *values = cards
    data = raw(*(card(name, v) for v in values))
    want = fits.open(io.BytesIO(data))[0].data
    for got in (
        scichunk.from_fits(data).compute(),
        opened(data).data.values,
        scichunk.from_fits(data, reader="reference").compute(),
    ):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(scichunk.from_fits(data, raw=True).compute().ravel(), np.arange(12))


def scaled_by(kind, *lines):
    """A plain or compressed image with further cards before END."""
    pixels = (np.arange(168) + 37).astype("i2").reshape(12, 14)
    file = io.BytesIO()
    if kind == "plain":
        fits.PrimaryHDU(pixels).writeto(file)
    else:
        packed = fits.CompImageHDU(pixels, compression_type=kind, tile_shape=(5, 14))
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(file)
    data = file.getvalue()
    end = data.rindex(b"END".ljust(80))
    text = b"".join(line.ljust(80) for line in lines)
    assert not data[end + 80 : end + 80 + len(text)].strip()
    return data[:end] + text + b"END".ljust(80) + data[end + 80 + len(text) :]


@pytest.mark.parametrize("kind", ["plain", "RICE_1", "NOCOMPRESS"])
@pytest.mark.parametrize(
    ("lines", "packed"),
    [
        ((b"BSCALE  = 32768", b"BSCALE  = 1"), ("f4", 32768, 0)),
        ((b"BSCALE  = 1", b"BSCALE  = 32768"), ("i2", 1, 0)),
        ((b"BZERO   = 5", b"BZERO   = 32768"), ("f4", 1, 5)),
        ((b"BZERO   = 32768", b"BZERO   = 5"), ("u2", 1, 32768)),
        ((b"BSCALE  = 2", b"BLANK   = 40", b"BLANK   = 41"), None),
        ((b"BZERO   = 32768", b"BSCALE  = 1E-400"), ("u2", 1, 32768)),
        ((b"BZERO   = 3", b"BSCALE  = 0"), ("f4", 1, 3)),
        ((b"BZERO   = 0", b"BZERO   = 32768"), ("u2", 1, 32768)),
        ((b"BSCALE  = 0", b"BSCALE  = 32768"), ("f4", 32768, 0)),
        ((b"bscale  = 2",), None),
        ((b"Bzero   = 7.5", b"blank   = 40"), None),
    ],
)
def test_odd_scalings_are_those_of_astropy(kind, lines, packed):
    """Of compressed images, astropy before 7.0 took the last of several cards, and a scale of 0 at its word: there, ``packed`` is right."""
    data, readers = scaled_by(kind, *lines), ("indexed", "reference")
    with fits.open(io.BytesIO(data)) as file:
        want = file[-1].data
    if kind != "plain" and packed is not None:
        dtype, scale, zero = packed
        expected = (np.arange(168).reshape(12, 14) + 37) * scale + zero
        if int(astropy.__version__.partition(".")[0]) < 7:
            want, readers = expected.astype(dtype), ("indexed",)
        assert want.dtype == dtype
        np.testing.assert_array_equal(want, expected)
    for reader in readers:
        got = scichunk.from_fits(data, reader=reader).compute()
        assert got.dtype == want.dtype.newbyteorder("=")
        np.testing.assert_array_equal(got, want)


def test_a_card_without_value_indicator_has_no_value():
    """The indicator stands in bytes 9 and 10 (FITS 4.0, section 4.1.2.2)."""
    data = scaled_by("plain", b"BSCALE  =2.0", b"OBSERVER='Ann'")
    with fits.open(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(scichunk.from_fits(data).compute(), file[0].data)


@pytest.mark.parametrize("value", [b"NAN", b"(2.0, 0.0)", b"'2.0'", b"1,5"])
@pytest.mark.parametrize("kind", ["plain", "RICE_1"])
def test_a_scale_that_is_no_number(kind, value):
    with pytest.raises(scichunk.errors.FormatError, match=r"BSCALE is .* not a number"):
        scichunk.from_fits(scaled_by(kind, b"BSCALE  = " + value)).compute()


# ---------------------------------------------------------------- bytes that are not ASCII


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("OBSERVER= 'Muñoz'".encode(), "Muñoz"),
        ("OBSERVER= 'Muñoz'".encode("latin-1"), "Muñoz"),
        ("OBSERVER= 'L0観測'".encode(), "L0観測"),
        (b"OBSERVER= 'abc'  / \xe9\xe8\xff", "abc"),
        (b"HISTORY built on c\xe8", None),
        (b"COMMENT \x01\x02\x7f\xc3", None),
        (b"OBSERVER= 'new\nline'", "new\nline"),
        (b"\xffODD   = 3", None),
    ],
)
def test_any_byte_leaves_the_sky_alone(line, said):
    data = raw(line, *(card(n, v) for n, v in SKY.items()), CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, shape=(4, 3, 1))
    ds = opened(data)
    assert float(ds.frequency[0]) == pytest.approx(1e9 + 1e6)
    wcs = scichunk.wcs(ds.isel(frequency=0))
    np.testing.assert_allclose(wcs.wcs_pix2world(5, 4, 0), [150.0, 2.2])
    lon, lat = wcs.wcs_pix2world(2, 1, 0)
    assert int(ds.sel(ra=lon, dec=lat, method="nearest").x) == 2
    assert opened(data, coords="celestial").ra.shape == (3, 4)
    assert ds.attrs.get("OBSERVER") == said
    assert len(ds.data.attrs["fits_header"]) % 80 == 0
    fits.Header.fromstring(ds.data.attrs["fits_header"])


def test_nuls_after_the_end():
    data = raw(**SKY).replace(b"END".ljust(80), b"END".ljust(80, b"\0"))
    assert data.count(b"END\0") == 1
    np.testing.assert_array_equal(scichunk.from_fits(data).compute().ravel(), np.arange(12))
    assert float(opened(data).ra) == 150.0


# ---------------------------------------------------------------- keywords


def test_hierarch_and_continue_as_astropy_has_them():
    lines = [
        "HIERARCH ESO DET CHIP NAME = 'EEV' / name", "HIERARCH ESO INS TEMP= 4.5", "HIERARCH  eso tel alt =  -3",
        "PROGRAM = 'A dynamical study of nearby &'", "CONTINUE  'clusters&'", "CONTINUE  '&' / program",
        "ONE     = 'alone &'", "TWO     = 'and&'", "CONTINUE  'rest'", "HIERARCH ESO LONG TEXT = 'a&'", "CONTINUE  'b'",
    ]  # fmt: skip
    data = raw(*lines)
    want = fits.open(io.BytesIO(data))[0].header
    got = opened(data).attrs
    for name in ("ESO DET CHIP NAME", "ESO INS TEMP", "ESO TEL ALT", "PROGRAM", "ONE", "TWO", "ESO LONG TEXT"):
        assert got[name] == want[name], name


def test_a_mask_of_null_pixels_is_not_passed_over_in_silence():
    hdu = fits.CompImageHDU(np.arange(12, dtype="i2").reshape(3, 4))
    data = written(fits.PrimaryHDU(), hdu)
    at = data.index(b"ZCMPTYPE")
    with pytest.warns(DataWarning, match="ZMASKCMP"):
        ds = opened(data[:at] + b"ZMASKCMP= 'RICE_1  '".ljust(80) + drop_card(data[at:]))
    assert ds.compressed_image.shape == (3, 4)


def drop_card(data):
    """Take a card of no meaning out of a header, so that its length stays."""
    at = data.index(b"ZQUANTIZ") if b"ZQUANTIZ" in data else data.index(b"END".ljust(80)) + 80
    return data[:at] + data[at + 80 :]


def test_complex_values_are_attributes():
    hdu = fits.PrimaryHDU(np.zeros((2, 3), "f4"))
    hdu.header["GAIN"], hdu.header["HIERARCH ESO GAIN CPLX"], hdu.header["WORDS"] = 1 + 2j, 1.5 - 2j, "(1, 2)"
    attrs = opened(written(hdu).replace(b"(1.0, 2.0)", b"( 1D0,+2.)")).attrs
    assert (complex(attrs["GAIN"]), complex(attrs["ESO GAIN CPLX"]), attrs["WORDS"]) == (1 + 2j, 1.5 - 2j, "(1, 2)")


def inherit(value):
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"], primary.header["FILTER"], primary.header["DATE-OBS"] = "HST", "F606W", "2020-01-01"
    images = [
        fits.ImageHDU(np.zeros((3, 4)), name=n, ver=v) for n, v in (("SCI", 1), ("ERR", 1), ("SCI", 2), ("ERR", 2))
    ]
    for image in images:
        image.header["INHERIT"], image.header["FILTER"] = value, "own"
    return written(primary, *images)


def test_inherit():
    """FITS 4.0, section 4.4.2.6: keywords of the primary header hold for the extension, its own before them."""
    ds = opened(inherit(True), hdu=("SCI", 1))
    assert (ds.attrs["TELESCOP"], ds.attrs["FILTER"], ds.attrs["EXTNAME"]) == ("HST", "own", "SCI")
    assert scichunk.open(inherit(True))["SCI,2"].attrs["DATE-OBS"] == "2020-01-01"
    assert "TELESCOP" not in opened(inherit(False), hdu=("SCI", 1)).attrs


def test_hdus_by_the_names_of_groups():
    data = inherit(True)
    for same in (
        {"hdu": "SCI,2"},
        {"hdu": "sci,2"},
        {"hdu": ("SCI", 2)},
        {"group": "SCI,2"},
        {"group": "/sci,2"},
        {"hdu": 3},
    ):
        assert opened(data, **same).attrs["EXTVER"] == 2
    assert scichunk.from_fits(data, hdu="err, 2").shape == (3, 4)
    with pytest.raises(FormatError, match="1 SCI,1, 2 ERR,1, 3 SCI,2, 4 ERR,2"):
        scichunk.from_fits(data, hdu="SCI,3")
    alone = written(
        fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 4)), name="SCI"), fits.ImageHDU(np.zeros((3, 4)), name="a,b")
    )
    assert opened(alone, hdu="SCI,1").attrs["EXTNAME"] == "SCI"
    assert opened(alone, group="sci,1").attrs["EXTNAME"] == "SCI"
    assert opened(alone, hdu="a,b").attrs["EXTNAME"] == "A,B"  # a name may have a comma
    assert "A,B" in scichunk.open(alone).children


@pytest.mark.parametrize("unit", ["s", "sec", "min", "h", "hr", "d", "ms", "seconds", "day"])
def test_short_units_of_times_are_stored(tmp_path, unit):
    """xarray decodes those, and fails to encode them again."""
    primary = fits.PrimaryHDU(np.arange(12.0).reshape(3, 4))
    primary.header["BUNIT"] = f"{unit} since 2000-01-01"
    ds = opened(written(primary))
    assert ds.data.dtype.kind == "M"
    ds.to_netcdf(tmp_path / "t.nc")
    ds.to_zarr(tmp_path / "t.zarr", consolidated=False)
    for stored in (xr.open_dataset(tmp_path / "t.nc"), xr.open_zarr(tmp_path / "t.zarr", consolidated=False)):
        with stored:
            xr.testing.assert_equal(stored, ds)


@pytest.mark.parametrize("name", ["FLUX/ERR", "/", "A//B/", ".", "..", "X", "A B"])
@pytest.mark.parametrize("count", [1, 2])
def test_any_name_makes_a_tree(tmp_path, name, count):
    """A slash or dots mean something else in the paths of trees, netCDF and Zarr."""
    data = written(fits.PrimaryHDU(), *(fits.ImageHDU(np.full((3, 4), i, "i2"), name=name) for i in range(count)))
    tree = scichunk.open(data)
    assert len(tree.children) == count
    tree.to_netcdf(tmp_path / "out.nc")
    with xr.open_datatree(tmp_path / "out.nc") as stored:
        xr.testing.assert_equal(stored, tree)
    for i, group in enumerate(tree.children):
        (variable,) = opened(data, group=group).data_vars.values()
        assert (variable == i).all()
    assert (scichunk.from_fits(data, hdu=name) == 0).all()


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "quantised"])
def test_headers_of_compressed_images(kind):
    data = np.arange(1200, dtype="f4" if kind == "quantised" else "i4").reshape(30, 40)
    image = fits.CompImageHDU(data, compression_type="RICE_1" if kind == "quantised" else kind, name="SCI")
    for name, value in SKY.items():
        image.header[name] = value
    image.header["OBSERVER"] = ("somebody", "a comment")
    image.header["HISTORY"] = "made for a test"
    whole = written(fits.PrimaryHDU(), image)
    with fits.open(io.BytesIO(whole)) as file:
        want = file[1].header.copy()
    ds = opened(whole)
    got = fits.Header.fromstring(ds.sci.attrs["fits_header"])
    assert got == want
    assert WCS(got).array_shape == (30, 40)
    assert not {k for k in ds.attrs if k.startswith(("Z", "T"))}
    assert scichunk.wcs(ds.sci[::2]).array_shape == (15, 40)
    fits.ImageHDU(ds.sci.values, got).writeto(io.BytesIO(), output_verify="exception")


def test_what_netcdf_refuses_has_another_form(tmp_path):
    lines = [
        "CLASS   = 'x'", "NAME    = 'y'", "LOGICAL = T", "HUGE    = 123456789012345678901234567890", "HIERARCH ESO DET/CHIP = 3",
        "HIERARCH -odd = 4", "HIERARCH DIMENSION_LIST = 5", "EMPTY   = ''",
    ]  # fmt: skip
    long = [f"HISTORY {i:070d}" for i in range(1500)]  # more than 64 kB
    ds = opened(raw(*lines, *long, **SKY))
    assert (ds.attrs["CLASS_"], ds.attrs["NAME_"], ds.attrs["LOGICAL"]) == ("x", "y", 1)
    assert ds.attrs["HUGE"] == "123456789012345678901234567890"
    assert ds.attrs["ESO DET_CHIP"] == 3
    for engine, library in (("netcdf4", "netCDF4"), ("h5netcdf", "h5netcdf")):
        pytest.importorskip(library, reason=f"needs {library}")
        ds.to_netcdf(tmp_path / engine, engine=engine)
        with xr.open_dataset(tmp_path / engine, engine=engine) as again:
            assert again.data.attrs["fits_header"] == ds.data.attrs["fits_header"]
            assert again.attrs.keys() == ds.attrs.keys()


@pytest.mark.parametrize("unit", ["km/s", "m/s", "km.s-1", "m s-1"])
def test_units_that_other_libraries_read(unit):
    cards = SKY | {"CTYPE3": "VRAD", "CRVAL3": 5.0, "CDELT3": 1.0, "CRPIX3": 1.0, "CUNIT3": unit, "RESTFRQ": 1.4e9}
    units = opened(raw(shape=(4, 3, 1), **cards)).velocity.attrs["units"]
    assert units == "m / s"
    assert u.Unit(units) == u.m / u.s
    pint = pytest.importorskip("pint", reason="needs pint")
    registry = pint.UnitRegistry()
    assert registry(units).units == registry("meter / second").units


# ---------------------------------------------------------------- times


def times(values=(0.0, 10.0, 20.0), **cards):
    axis = {"CTYPE1": "TIME", "CRVAL1": values[0], "CDELT1": values[1] - values[0], "CRPIX1": 1.0, "CUNIT1": "s"}
    axis |= cards
    data = raw(
        shape=(len(values),), data=np.zeros(len(values), ">i2"), **{k: v for k, v in axis.items() if v is not None}
    )
    return opened(data).time


def equal(found, want):
    difference = np.abs(found.values - np.asarray(want, "M8[ns]")).astype("m8[ns]").astype(int)
    assert difference.max() < 1000, difference


@pytest.mark.parametrize("scale", ["utc", "tai", "tt", "tdb"])
@pytest.mark.parametrize("reference", [51544.0, 57203.25, 41317.0, 58849.123456789])
def test_times_are_those_of_astropy(scale, reference):
    """Over twenty years, leap seconds included, which an axis of UTC counts as it counts all others."""
    values = np.arange(8) * 1.1e8 - 1e8
    found = times(values, MJDREF=reference, TIMESYS=scale.upper())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = Time(reference, format="mjd", scale=scale) + TimeDelta(values, format="sec")
        equal(found, want.datetime64)
    assert found.attrs["time_scale"] == scale
    assert "units" not in found.attrs


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
def test_times_are_stored(tmp_path, engine):
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    primary = fits.PrimaryHDU(np.arange(3 * 4 * 5, dtype="f4").reshape(3, 4, 5))
    cards = {"CTYPE3": "TIME", "CUNIT3": "s", "CRVAL3": 0.25, "CDELT3": 1.5, "CRPIX3": 1.0, "MJDREF": 58849.0}
    primary.header.update(
        {
            **cards,
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150.0,
            "CRVAL2": 2.0,
            "CDELT1": -0.1,
            "CDELT2": 0.1,
        }
    )
    primary.writeto(tmp_path / "t.fits")
    ds = xr.open_dataset(tmp_path / "t.fits", engine="fits")
    assert ds.time.dtype.kind == "M"
    ds.to_netcdf(tmp_path / "t.nc", engine=engine)
    with xr.open_dataset(tmp_path / "t.nc", engine=engine) as back:
        xr.testing.assert_equal(back.load(), ds)
        assert back.time.attrs["time_scale"] == "utc"


def test_scale_of_times():
    assert times(MJDREF=58849.0).attrs["time_scale"] == "utc"  # the standard's default
    cube = opened(raw(shape=(4, 3, 1), **SKY, CTYPE3="TIME", CUNIT3="s", CDELT3=1.0, CRPIX3=1.0, MJDREF=58849.0))
    assert cube.time.attrs["time_scale"] == "utc"
    assert times(CTYPE1="TT", MJDREF=58849.0, TIMESYS="UTC").attrs["time_scale"] == "tt"
    assert times(CTYPE1="TDT", MJDREF=58849.0).attrs["time_scale"] == "tt"
    assert times(MJDREF=58849.0, TIMESYS="TDB").attrs["time_scale"] == "tdb"


def test_references_of_times():
    start = np.datetime64("2020-01-01T00:00:00", "ns")
    want = start + np.array([0, 10, 20], "m8[s]")
    for cards in (
        {"MJDREF": 58849.0}, {"MJDREFI": 58849, "MJDREFF": 0.0}, {"JDREF": 2458849.5}, {"JDREFI": 2458849, "JDREFF": 0.5},
        {"DATEREF": "2020-01-01"}, {"DATEREF": "2020-01-01T00:00:00", "JDREF": 2458849.5},
        {"MJDREF": 58849.0, "JDREF": 2400000.5}, {"MJDREF": 1.0, "MJDREFI": 58849},
    ):  # fmt: skip
        equal(times(TIMESYS="TT", **cards), want)
    split = times((100.0, 101.0), TIMESYS="TT", MJDREFI=51910, MJDREFF=7.428703703703703e-4)
    equal(split, np.array(["2001-01-01T00:02:44.184", "2001-01-01T00:02:45.184"], "M8[ns]"))
    assert times().dtype.kind == "f"  # nothing says from when they count
    assert times().attrs["units"] == "s"
    equal(times(MJDREF=0.0, TIMESYS="TT"), np.datetime64("1858-11-17", "ns") + np.array([0, 10, 20], "m8[s]"))


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [({"CUNIT1": "d"}, 86400), ({"CUNIT1": None, "TIMEUNIT": "d"}, 86400), ({"CUNIT1": None}, 1), ({"CUNIT1": "s", "TIMEUNIT": "d"}, 1), ({"CUNIT1": "min"}, 60), ({"CUNIT1": "h"}, 3600), ({"CUNIT1": None, "TIMEUNIT": "a"}, 31557600), ({"CUNIT1": "ms"}, 1e-3)],
)  # fmt: skip
def test_units_of_times(cards, seconds):
    found = times((1.0, 2.0, 3.0), MJDREF=58849.0, TIMESYS="TT", **cards)
    want = np.datetime64("2020-01-01", "ns") + (np.arange(1, 4) * seconds * 1e9).astype("m8[ns]")
    equal(found, want)


def test_times_beyond_datetime64_stay_numbers():
    with pytest.warns(MetadataWarning, match="beyond"):
        found = times((1e12, 1e12 + 1), MJDREF=58849.0)
    assert found.values.tolist() == [1e12, 1e12 + 1]
    assert (found.attrs["units"], found.attrs["time_reference_mjd"]) == ("s", 58849.0)


def test_leap_seconds():
    start = 57753.0  # the day that ended with the last leap second
    values = 86398.5 + np.arange(5) * 0.5
    with pytest.warns(MetadataWarning, match="2 times.*leap second"):
        found = times(values, MJDREF=start)
    want = ["2016-12-31T23:59:58.5", "2016-12-31T23:59:59", "2016-12-31T23:59:59.5", "NaT", "NaT"]
    assert np.isnat(found.values).tolist() == [False, False, False, True, True]
    equal(found[:3], np.array(want[:3], "M8[ns]"))
    after = times(86401 + np.arange(3.0), MJDREF=start)
    equal(after, np.datetime64("2017-01-01", "ns") + np.arange(3).astype("m8[s]"))


# ---------------------------------------------------------------- tables


def table(form, rows, *cards, kind="BINTABLE", width=None, heap=b""):
    width = len(rows[0]) if width is None else width
    lines = [f"XTENSION= '{kind:<8}'", "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {width}", f"NAXIS2  = {len(rows)}",
             f"PCOUNT  = {len(heap)}", "GCOUNT  = 1", f"TFIELDS = {len(form)}"]  # fmt: skip
    lines += [f"TFORM{i}  = '{f}'" for i, f in enumerate(form, 1)] + [
        f"TTYPE{i}  = 'c{i}'" for i in range(1, len(form) + 1)
    ]
    text = b"".join(line.encode().ljust(80) for line in [*lines, *cards, "END"])
    data = b"".join(rows) + heap
    primary = fits.PrimaryHDU().header.tostring().encode()
    return primary + text.ljust(-(-len(text) // 2880) * 2880) + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


@pytest.mark.parametrize(("tdim", "want"), [("(1)", ["abcdef", "gh"]), ("(3)", ["abcdef", "gh"]), ("(6)", ["abcdef", "gh"]), ("(3,2)", [["abc", "def"], ["gh", ""]])])  # fmt: skip
def test_shapes_of_texts(tdim, want):
    """A TDIM of one axis that is shorter than the field would cut its text; writers mean nothing by it."""
    data = table(["6A"], [b"abcdef", b"gh    "], f"TDIM1   = '{tdim}'")
    assert scichunk.read_fits_table(data).compute().c1.tolist() == want
    assert opened(data).c1.values.tolist() == want


@pytest.mark.parametrize("form", ["E", "D", "F", "I", "A"])
def test_fields_without_a_width(form):
    """They reach to the next column, or to the end of the row, as in astropy."""
    texts = [("1", "22"), ("-3", "4")]
    rows = [a.rjust(9).encode() + b" " + b.rjust(10).encode() for a, b in texts]
    data = table([form, form], rows, "TBCOL1  = 1", "TBCOL2  = 11", kind="TABLE")
    got = scichunk.read_fits_table(data).compute()
    want = [a.rjust(9) if form == "A" else float(a) for a, _ in texts]
    assert got.c1.tolist() == want
    assert [str(v).strip() if form == "A" else v for v in got.c2] == (["22", "4"] if form == "A" else [22, 4])
    with pytest.raises(FormatError, match="width"):
        scichunk.read_fits_table(table(["E"], [b"1.0"], "TBCOL1  = 9", kind="TABLE"))


def test_blank_integers_of_ascii_tables():
    """Without TNULL they are 0 (FITS 4.0, section 7.2.5), in frames and datasets alike; with it, what TNULL says."""
    rows = [b"   7 1.5", b"        "]
    data = table(["I4", "F4.1"], rows, "TBCOL1  = 1", "TBCOL2  = 5", kind="TABLE")
    with fits.open(io.BytesIO(data)) as file:
        want = file[1].data["c1"].tolist()
    frame, ds = scichunk.read_fits_table(data).compute(), opened(data)
    assert frame.c1.tolist() == ds.c1.values.tolist() == want == [7, 0]
    assert frame.c2.isna().tolist() == np.isnan(ds.c2.values).tolist() == [False, True]
    marked = table(
        ["I4", "F4.1"], [b"   7 1.5", b" -99    "], "TBCOL1  = 1", "TBCOL2  = 5", "TNULL1  = '-99'", kind="TABLE"
    )
    assert scichunk.read_fits_table(marked).compute().c1.isna().tolist() == [False, True]


def test_names_of_columns_without_regard_to_case():
    """FITS 4.0, sections 7.2.2 and 7.3.2."""
    columns = [fits.Column(n, "J", array=[i, i + 1]) for i, n in enumerate(["RA", "Dec", "mag", "MAG"])]
    data = written(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))
    found = scichunk.read_fits_table(data, columns=["dec", "ra", "mag"]).compute()
    assert found.columns.tolist() == ["Dec", "RA", "mag"]
    assert found["Dec"].tolist() == [1, 2]
    assert scichunk.read_table(data, columns=["ra"], filters=[("DEC", ">", 1)]).compute()["RA"].tolist() == [1]
    with pytest.raises(FormatError, match="Mag"):
        scichunk.read_fits_table(data, columns=["Mag"])  # of two
    with pytest.raises(FormatError, match="nothing"):
        scichunk.read_fits_table(data, columns=["nothing"])


def test_heaps_beyond_two_gigabytes(tmp_path):
    """Descriptors of form P are signed by the standard, but cfitsio and others count on."""
    far = (1 << 31) + 2880
    pairs = np.array([[2, 0], [3, far]], ">u4")
    text = table(["1PJ(3)"], [p.tobytes() for p in pairs], width=8)
    size = far + 100
    text = text.replace(b"PCOUNT  = 0".ljust(80), f"PCOUNT  = {size}".encode().ljust(80))
    path, begin = tmp_path / "far.fits", len(text) - 2880
    with path.open("wb") as file:
        file.write(text[: begin + 16])
        file.write(np.array([1, 2], ">i4").tobytes())
        file.seek(begin + 16 + far)
        file.write(np.array([3, 4, 5], ">i4").tobytes())
        file.truncate(begin + -(-(16 + size) // 2880) * 2880)
    got = scichunk.read_fits_table(path).compute().c1
    assert [list(v) for v in got] == [[1, 2], [3, 4, 5]]
    outside = text.replace(f"PCOUNT  = {size}".encode(), f"PCOUNT  = {far}".encode())
    with pytest.raises(FormatError, match="outside the heap"):
        scichunk.read_fits_table(outside.ljust(1 << 16, b"\0")).compute()
