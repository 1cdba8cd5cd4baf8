"""Headers that declare a null that the type of the column does not have: what is read is written again."""

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

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
