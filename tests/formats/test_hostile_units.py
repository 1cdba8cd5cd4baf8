"""Units that are powers of very many digits, of which astropy would compute each."""

import io

import numpy as np
import pytest
import xarray as xr
from astropy import units
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.core.limits import is_computable_unit
from scichunk.errors import FormatError, MetadataWarning
from tests.votable_docs import doc

HUGE = [
    "10**999999999",
    "10^(999999999)",
    "10+999999999",
    "m 10 ** (-999999999)",
    "10\u2079\u2079\u2079\u2079\u2079\u2079\u2079\u2079\u2079",
]


@pytest.mark.parametrize("unit", HUGE)
def test_powers_of_many_digits_are_no_units(unit):
    assert not is_computable_unit(unit)


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "m",
        "1.6021766e-19 J",
        "10**-17 erg/s",
        "10+21 W",
        "m**0.33333333",
        "0.0174532925199 rad",
        "10\u207b\u00b9\u2077 W",
    ],
)
def test_other_units_are_those_of_astropy(unit):
    assert is_computable_unit(unit)


@pytest.mark.parametrize("unit", HUGE)
def test_tables(unit):
    fields = f'<FIELD name="a" datatype="double" unit="{unit}"/><FIELD name="b" datatype="double" unit="m"/>'
    document = doc("<TR><TD>1</TD><TD>2</TD></TR>", fields).encode()
    found = scichunk.to_qtable(scichunk.read_votable(document))
    assert isinstance(found["a"].unit, units.UnrecognizedUnit)
    assert found["b"].unit == units.m
    with pytest.warns(MetadataWarning, match="too many digits"):
        header = scichunk.votable_header(document)
    assert [field.unit for field in header.get_first_table().fields] == [None, units.m]


@pytest.mark.parametrize("unit", HUGE[:3])
def test_fits(unit):
    table = fits.table_to_hdu(Table({"a": [1.0]}))
    table.header["TUNIT1"] = unit
    image = fits.PrimaryHDU(np.zeros((3, 4), "f4"))
    image.header.update({"CTYPE1": "LINEAR", "CRVAL1": 1.0, "CDELT1": 2.0, "CUNIT1": unit, "CTYPE2": "XX"})
    file = io.BytesIO()
    fits.HDUList([image, table]).writeto(file)
    with pytest.warns(MetadataWarning, match="CUNIT"):
        ds = xr.open_dataset(io.BytesIO(file.getvalue()), engine="fits")
    assert "LINEAR" not in ds.coords
    with pytest.raises(FormatError, match="CUNIT"):
        scichunk.wcs(ds)
    assert isinstance(scichunk.to_qtable(scichunk.read_fits_table(file.getvalue()))["a"].unit, units.UnrecognizedUnit)
