"""Coordinates in tables (-TAB) whose parameters and arrays wcslib cannot be given: it frees memory twice, or goes beyond it."""

import io
import warnings

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, MetadataWarning
from scichunk.sky.tables import pack_tables
from scichunk.sky.tabular import check_tabular
from scichunk.sky.wcs import find_wcs


def make(coords, indexes, places=(1, 2), rows=1, **cards):
    """A file of an image whose first axes have their coordinates in a table."""
    count = len(indexes)
    columns = [
        fits.Column("coords", f"{coords.size}D", dim=str(coords.shape[::-1]), array=coords[None].repeat(rows, 0))
    ]
    for number, index in enumerate(indexes):
        values = np.asarray(index, "f8")
        columns.append(fits.Column(f"index{number}", f"{values.size}D", array=values[None].repeat(rows, 0)))
    table = fits.BinTableHDU.from_columns(columns, nrows=rows, name="COORDS")
    image = fits.PrimaryHDU(np.arange(4**count, dtype="u1").reshape((4,) * count))
    for number in range(count):
        axis = number + 1
        image.header.update(
            {
                f"CTYPE{axis}": ("WAVE-TAB", "AAAA-TAB")[number], f"CRPIX{axis}": 1.0, f"CDELT{axis}": 1.0, f"CRVAL{axis}": 1.0,
                f"PS{axis}_0": "COORDS", f"PS{axis}_1": "coords", f"PS{axis}_2": f"index{number}", f"PV{axis}_3": places[number],
            }
        )  # fmt: skip
    for name, value in cards.items():
        if value is None:
            del image.header[name]
        else:
            image.header[name] = value
    file = io.BytesIO()
    fits.HDUList([image, table]).writeto(file, output_verify="silentfix")
    return file.getvalue()


def world(data):
    hdus = fits.open(io.BytesIO(data))
    table = data[hdus[1]._header_offset :]
    return find_wcs(hdus[0].header.tostring(endcard=False, padding=False), pack_tables([table]))


LINE, PLANE = np.array([[1.0], [2.0], [4.0], [8.0]]), np.arange(24.0).reshape(4, 3, 2)
ONE, TWO = [[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("coords", [LINE, LINE[:, 0]], ids=["of one axis", "without a dimension for it"])
@pytest.mark.parametrize("index", [[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 2, 4]])
def test_sound_tables_of_a_line(coords, index):
    data = make(coords, [index])
    found = world(data).wcs_pix2world([[index[0] - 1]], 0)
    np.testing.assert_array_equal(found, [[1.0]])
    assert xr.open_dataset(data, engine="fits")["wavelength"].dims == ("wavelength",)


def test_sound_tables_of_a_plane():
    np.testing.assert_array_equal(world(make(PLANE, TWO)).wcs_pix2world([[1, 2]], 0), [PLANE[2, 1]])
    np.testing.assert_array_equal(world(make(PLANE, TWO, PS1_2=None)).wcs_pix2world([[1, 2]], 0), [PLANE[2, 1]])
    found = world(make(PLANE, TWO[::-1], places=(2, 1))).wcs_pix2world([[2, 1]], 0)
    np.testing.assert_array_equal(found, [PLANE[2, 1, ::-1]])


@pytest.mark.parametrize(
    "cards, said",
    [
        ({"PS1_0": None}, "names no table"),
        ({"PS1_1": None}, "names no table"),
        ({"PS1_1": "nothing"}, "has no column 'nothing'"),
        ({"PS1_0": 3}, "is no text"),
        ({"PS1_0": "OTHER", "PS2_0": "OTHER"}, "no table 'OTHER'"),
        ({"PV1_1": 2, "PV2_1": 2}, "no table 'COORDS', version 2"),
        ({"PV1_1": 2, "PV1_3": 1, "PV2_3": 1}, "no table 'COORDS', version 2"),
        ({"PV1_3": 99}, "have the numbers 99, 2"),
        ({"PV1_3": 2}, "have the numbers 2, 2"),
        ({"PV1_3": 0}, "no number from 1 on"),
        ({"PV1_3": 1e10}, "no number from 1 on"),
        ({"PV1_3": 1.5}, "no number from 1 on"),
        ({"PV1_2": -1}, "no number from 1 on"),
        ({"PV1_3": "x"}, "no number from 1 on"),
        ({"PS1_2": "index1"}, "has another size"),
        ({"PS1_2": "coords"}, "has another size"),
        ({"CTYPE2": "LINEAR"}, "which is none of 1 axes"),
        ({"CRVAL1": 1e300}, "a number beyond 1e"),
        ({"CDELT2": -1e31}, "a number beyond 1e"),
        ({"PC1_2": 1e300}, "a number beyond 1e"),
        ({"CPDIS1": "TPD"}, "a distortion beside"),
    ],
)  # fmt: skip
def test_parameters_that_lead_nowhere(cards, said):
    with pytest.raises(FormatError, match=said):
        world(make(PLANE, TWO, **cards))


@pytest.mark.parametrize("first", [[1, 3, 2], [1, 2, np.inf], [1, np.nan, 3], [-np.inf, 2, 3], [3, 1, 2]])
def test_indexes_that_neither_rise_nor_fall(first):
    with pytest.raises(FormatError, match="neither rises nor falls"):
        world(make(PLANE, [first, TWO[1]]))


@pytest.mark.parametrize(
    "coords, indexes, said",
    [
        (PLANE, [[2, 2, 2], TWO[1]], "is constant"),
        (PLANE, [TWO[0], [1, 2, 3]], "has another size"),
        (PLANE, [TWO[0], []], r"has another size|has no column"),  # of no numbers, which older astropy does not list
        (np.arange(36.0).reshape(4, 3, 3), TWO, "none of 2 axes"),
        (np.arange(12.0).reshape(4, 3), TWO, "none of 2 axes"),
        (np.arange(4.0).reshape(2, 2), ONE, "none of 1 axes"),
    ],
)
def test_arrays_that_do_not_fit(coords, indexes, said):
    with pytest.raises(FormatError, match=said):
        world(make(coords, indexes))


def test_tables_without_rows():
    with pytest.raises(FormatError, match="no column 'coords', or no row"):
        world(make(PLANE, TWO, rows=0))


def test_images_stay_readable():
    data = make(PLANE, TWO, PV1_3=99)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = xr.open_dataset(data, engine="fits")
    assert any("numbers 99, 2" in str(w.message) and w.category is MetadataWarning for w in said)
    assert found["data"].values.reshape(-1).tolist() == list(range(16))
    assert scichunk.from_fits(data)[1, 2].compute() == 6


def test_parameters_that_contradict():
    cards = ["CTYPE1  = 'WAVE-TAB'", "PS1_0   = 'T'", "PS1_1   = 'c'", "PV1_3   = 1", "PV1_3   = 99"]
    with pytest.raises(FormatError, match="two values of one parameter: 'PV1_3   = 99'"):
        check_tabular("".join(card.ljust(80) for card in cards), None)
