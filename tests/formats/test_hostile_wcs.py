"""Headers whose world coordinates wcslib cannot be given: it ends the process, or does not come back."""

import warnings

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, MetadataWarning
from scichunk.sky.distortions import checked_distortions
from scichunk.sky.wcs import find_wcs

PLATE = {
    "PLTRAH": 23, "PLTRAM": 19, "PLTRAS": 21.49, "PLTDECSN": "+", "PLTDECD": 6, "PLTDECM": 47, "PLTDECS": 32.2, "CNPIX1": 7152, "CNPIX2": 4123,
    "PLTSCALE": 67.2, "XPIXELSZ": 25.2845, "YPIXELSZ": 25.2845, "PPO1": 0.0, "PPO2": 0.0, "PPO3": 177500.0, "PPO4": 0.0, "PPO5": 0.0,
    "PPO6": 177500.0, "AMDX1": 67.25, "AMDX2": 0.02, "AMDX3": -51.2, "AMDX4": 6e-6, "AMDX13": 0.0, "AMDY1": 67.27, "AMDY2": -0.02, "AMDY3": -186.8,
    "AMDY13": 0.0,
}  # fmt: skip


def header(*records, **cards):
    found = fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 10, "NAXIS2": 10})
    found.update(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 5.0, "CRPIX2": 5.0, "CRVAL1": 10.0, "CRVAL2": 20.0}
    )
    found.update({"CDELT1": 0.1, "CDELT2": 0.1} | cards)
    lines = [f"{name:8}= '{value}'" for name, value in records]
    return found.tostring(endcard=False, padding=False) + "".join(line.ljust(80) for line in lines)


def distorted(kind, *records):
    return header((f"C{kind}DIS1", "TPD"), (f"C{kind}DIS2", "TPD"), (f"D{kind}1", "NAXES: 2"), *records)


@pytest.mark.parametrize("kind", "PQ")
@pytest.mark.parametrize(
    "record",
    [
        "SCALE.0: 1", "SCALE.3: 1", "OFFSET.99: 1", "OFFSET.-1: 1", "TPD.SCALE.99: 1", "AXIS.0: 1", "AXIS.1: 99", "AXIS.1: -1", "AXIS.99: 1",
        "NAXES: 99", "NAXES: -1", "AXIS.4294967297: 1", "DSS.AMD.14: 1", "DSS.AMD.0: 1", "AXIS.x: 1",
    ],
)  # fmt: skip
def test_records_of_what_there_is_not(kind, record):
    with pytest.raises(FormatError, match="a record of a distortion"):
        find_wcs(distorted(kind, (f"D{kind}1", record)))
    with pytest.raises(FormatError, match="of 0 axes"):
        checked_distortions(f"D{kind}1.{record.replace(':', ' =')}".ljust(80))


def test_records_of_axes_beyond_those_of_their_description():
    records = [("WCSAXESB", "x"), ("DP2B", "AXIS.1: 2")]
    sound = header(*records)
    assert checked_distortions(sound) == sound
    with pytest.raises(FormatError):
        checked_distortions(header(records[1], WCSAXESB=1))
    with pytest.raises(FormatError):
        checked_distortions(header(("DP3", "NAXES: 2")))


@pytest.mark.parametrize("card", ["WCSAXES = 100", "WCSAXES = 99999", "WCSAXESZ= 3000", "WCSAXES = 1E9", "WCSAXES = 3+", "wcsaxes = 3000", "WCSAXESA=  99999 / axes"])  # fmt: skip
def test_more_axes_than_keywords_can_speak_of(card):
    """wcslib makes matrices for each version; of 99,999 axes their size wraps around, and it ends the process."""
    with pytest.raises(FormatError, match="world coordinates of more than 99 axes: 'WCSAXES"):
        find_wcs(header() + card.ljust(80))
    assert find_wcs(header() + "WCSAXESA= 99 / axes".ljust(80)).naxis == 2


def test_records_that_come_twice_and_distortions_beside_plates():
    """Where wcslib takes axes apart, it makes room for one list of axes each, and writes beyond it."""
    for more in ((("DQ1", "NAXES: 2"),), (("DQ2", "NAXES: 2"), ("DQ02", "NAXES: 1"))):
        with pytest.raises(FormatError, match="comes twice"):
            find_wcs(distorted("Q", *more))
    for record in ("NAXES: 2", "AXIS.1: 1"):
        with pytest.raises(FormatError, match="beside a plate solution"):
            find_wcs(header(("DQ1", record), **PLATE))
    # Each description has records of its own.
    sound = header(("DP1", "NAXES: 2"), ("DQ1", "NAXES: 2"), ("DP2", "NAXES: 2"), ("DP1B", "NAXES: 2"), WCSAXESB=2)
    assert checked_distortions(sound) == sound


def test_sound_records_count():
    sound = distorted(
        "Q", ("DQ1", "AXIS.1: 1"), ("DQ1", "AXIS.2: 2"), ("DQ1", "OFFSET.2: 1.5"), ("DQ1", "TPD.FWD.1: 1.0"), ("DQ1", "TPD.FWD.3: 0.25"),
        ("DQ2", "NAXES: 2"), ("DQ2", "TPD.FWD.1: 1.0"),
    )  # fmt: skip
    assert checked_distortions(sound) == sound
    plain, found = (find_wcs(text).wcs_pix2world([[3.0, 4.0]], 1) for text in (header(), sound))
    assert 0 < np.abs(plain - found).max() < 1


@pytest.mark.parametrize("term", ["AMDX14", "AMDY18", "AMDX20", "AMDY99"])
def test_terms_of_brightness_of_plates(term):
    """GASP has terms of magnitude and colour: none of the place, and nothing that wcslib can be given."""
    plain, found = (find_wcs(header(**PLATE, **more)).wcs_pix2world([[3.0, 4.0]], 1) for more in ({}, {term: 1e-3}))
    np.testing.assert_array_equal(found, plain)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["PLTRAH", "PLTRAM", "PLTRAS", "PLTDECD", "PLTDECM", "PLTDECS", "XPIXELSZ", "YPIXELSZ", "CNPIX1", "CNPIX2", "PPO3", "AMDX1", "AMDY13"])  # fmt: skip
def test_numbers_of_plates_that_are_none(name):
    """Of other keywords wcslib passes over a value that is not of its type; of these it ends the process."""
    for value in ("'HDO     '", "''", "'3.5'", "T", "NaN", "0x10", "3x", "(1.0, 2.0)"):
        with pytest.raises(FormatError, match=f"no value of its type: .{name}"):
            find_wcs(header() + f"{name:8}= {value}".ljust(80))
    with pytest.raises(FormatError, match="no value of its type"):  # astropy makes capitals of keywords
        find_wcs(header() + f"{name.lower():8}= 'HDO'".ljust(80))
    for text in (name, f"{name:8}=", f"{name:8}=3", f"{name:8}= / of the plate"):
        cards = header() + text.ljust(80)
        assert checked_distortions(cards) == header(), "a card without a value is as good as none"
        assert find_wcs(cards).naxis == 2
    for value in ("3", "-3.5", ".5", "1.", "+1.5D-3", "2E400 / far", "99999999999999999999"):
        cards = header(**PLATE | {name: 1}).replace(f"{name:8}= {1:20}".ljust(80), f"{name:8}= {value}".ljust(80))
        assert value in cards
        assert checked_distortions(cards) == cards


@pytest.mark.parametrize("fewer", [{"NAXIS": 1}, {"WCSAXES": 1}, {"NAXIS": 0}])
def test_plates_of_fewer_axes_than_two(fewer):
    """A plate is of two axes: wcslib writes what it says of the second, whether there is one or not."""
    with pytest.raises(FormatError, match="a plate solution, of two axes"):
        find_wcs(header(**PLATE, **fewer))
    cube = header(**PLATE, NAXIS=3, NAXIS3=2)
    assert checked_distortions(cube) == cube


def test_signs_of_plates_that_are_none():
    for value in ("3", "T", "(1.0, 2.0)"):
        with pytest.raises(FormatError, match="no value of its type: 'PLTDECSN"):
            find_wcs(header() + f"PLTDECSN= {value}".ljust(80))
    for text in ("PLTDECSN=", "PLTDECSN='+'"):
        assert checked_distortions(header() + text.ljust(80)) == header(), "a value is behind '= '"
    assert checked_distortions(header(**PLATE)) == header(**PLATE)


@pytest.mark.parametrize("name", ["A_0_2", "B_1_1", "AP_0_1", "BP_2_0", "A_9_9", "A_ORDER"])
def test_texts_for_coefficients_of_polynomials(name):
    with pytest.raises(FormatError, match=f"no value of its type: .{name}"):
        find_wcs(header((name, "NAXIS: 2")))


@pytest.mark.parametrize(
    "surface", ["1. 2147483647. 2. 0.", "1. 3000. 3000. 0. 1 1 1 1", "2. 1e300 2. 0.", "1. -5. 2. 0.", "3. x 2."]
)
@pytest.mark.parametrize("kind", ["TNX", "ZPX"])
def test_surfaces_of_very_many_terms(kind, surface):
    text = f'wtype={kind.lower()} axtype=ra lngcor = "{surface} -1. 1. -1. 1. 0. 1. 1. 1." latcor = "1. 2. 2. 0."'
    cards = [(f"WAT1_{i + 1:03d}", text[at : at + 68]) for i, at in enumerate(range(0, len(text), 68))]
    wrong = header(*cards, CTYPE1=f"RA---{kind}", CTYPE2=f"DEC--{kind}", WAT0_001="system=image")
    with pytest.raises(FormatError, match="a surface of"):
        find_wcs(wrong)


@pytest.mark.parametrize(
    "records", [(("CQDIS1", "TPD"), ("DQ1", "SCALE.0: 1")), (("PLTRAH", "HDO"),), (("A_0_2", "NAXIS: 2"),)]
)
def test_images_stay_readable(records):
    data = (header(*records) + "END".ljust(80)).encode()
    data = data.ljust(-(-len(data) // 2880) * 2880) + bytes(range(100)).ljust(2880, b"\0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        found = xr.open_dataset(data, engine="fits")
        assert found["data"].values.reshape(-1).tolist() == list(range(100))
        assert scichunk.from_fits(data)[1, 2].compute() == 12
