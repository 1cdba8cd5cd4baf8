"""FITS tables that are seldom seen: ASCII tables whose numbers and nulls are written in unusual ways."""

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.errors import FormatError, ParserError
from tests.fits_tables import header, padded, table


@pytest.mark.parametrize("null", ["99999", "-99999", "1e9"])
def test_a_tnull_beyond_the_type_of_an_ascii_column(tmp_path, null):
    """It is compared by its first characters, and what is null was 0 in datasets."""
    path = tmp_path / "a.fits"
    field = null[:4].rjust(4).encode()
    path.write_bytes(table(["I4"], field + b"   5    ", 3, kind="TABLE", TBCOL1=1, TNULL1=null))
    assert scichunk.read_fits_table(path).compute()["c1"].isna().tolist() == [True, False, False]
    np.testing.assert_array_equal(xr.open_dataset(path, engine="fits", hdu=1).c1, [np.nan, 5, 0])


def test_underscores_are_no_part_of_a_number():
    for form, field in (("I4", b" 1_0"), ("F6.1", b"1_0.50")):
        content = table([form], field, 1, kind="TABLE", TBCOL1=1)
        with pytest.raises(FormatError, match="no number of form"):
            scichunk.read_fits_table(content).compute()


def test_a_form_of_thousands_of_decimals():
    digits = "F8." + "9" * 5000
    parts = [digits[i : i + 60] for i in range(0, len(digits), 60)]
    texts = [f"'{part}{'&' if i < len(parts) - 1 else ''}'" for i, part in enumerate(parts)]
    cards = "".join(("TFORM1  = " if not i else "CONTINUE  ") + text.ljust(70) for i, text in enumerate(texts))
    plain = header(
        ("XTENSION", "TABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 8), ("NAXIS2", 1), ("PCOUNT", 0), ("GCOUNT", 1),
        ("TFIELDS", 1), ("TBCOL1", 1),
    )  # fmt: skip
    head = plain[: plain.index(b"END")] + cards.encode() + b"END".ljust(80)
    content = table(["1J"], b"", 0, width=4)[:2880] + head.ljust(-(-len(head) // 2880) * 2880) + padded(b"     125")
    with pytest.raises(FormatError, match="TFORM1 is 'F8") as caught:
        scichunk.read_fits_table(content)
    assert not isinstance(caught.value, ParserError)
