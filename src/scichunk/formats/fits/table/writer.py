"""Writing a binary table, batch by batch (FITS 4.0, section 7.3)."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from scichunk.core.tables import TableStream
from scichunk.errors import MetadataWarning, UnsupportedFeature
from scichunk.formats.fits.structure import BLOCK_BYTES
from scichunk.formats.fits.table.column_writers import FITSColumnWriter, field_for
from scichunk.formats.fits.table.columns import NAMES
from scichunk.formats.fits.table.keywords import STRUCTURAL, is_column_keyword, keyword_of
from scichunk.quiet import quiet
from scichunk.tables.writing import append, write_rows
from scichunk.warned import warn_caller

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_table"]

_STRUCTURAL: Final = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|TFIELDS|THEAP|CHECKSUM|DATASUM|END|CONTINUE|"
    r"Z(?:TABLE|IMAGE|NAXIS\d*|PCOUNT|TILELEN|HEAPPTR|THEAP|FORM\d+|CTYP\d+|HECKSUM|DATASUM)"
)
_MOST_COLUMNS: Final = 999
_MOST_NAME: Final = 65
"""Characters of a HIERARCH keyword. With longer ones astropy makes cards that are none, behind which nobody finds the end of the header."""
_BLOCK_BYTES: Final = 1 << 24
"""Bytes of rows that are made at once."""
_STORAGE: Final = re.compile(rf"(?:{'|'.join(sorted(STRUCTURAL))})\d+")
"""Keywords that say how a column is stored, which the writer decides: as attributes they would change its values."""


def write_table(
    stream: TableStream,
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
    extname: str | None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a FITS file with an empty primary HDU and one binary table.

    Rows are written as they come. Where a column has texts of unknown length, or integers that may have nulls without a value
    for them, they go to a temporary file first, since the header and the width of a row depend on them.

    Raises
    ------
    UnsupportedFeature
        If FITS has no form for the type of a column, or for so many columns.
    FormatError
        If a value would be read back as null.
    SourceError
        If the file exists, or cannot be written.
    """
    if len(stream.columns) > _MOST_COLUMNS:
        msg = f"{len(stream.columns)} columns: a table of FITS has {_MOST_COLUMNS} at most (FITS 4.0, section 7.3.1)"
        raise UnsupportedFeature(msg)
    fields = [field_for(c) for c in stream.columns]
    with write_rows(stream, path, fields, overwrite=overwrite, storage_options=storage_options) as (file, heap, parts):
        _write_rows((file, heap), fields, parts, attrs=stream.attrs, extname=extname)


def _write_rows(
    files: tuple[IO[bytes], IO[bytes]],
    fields: Sequence[FITSColumnWriter],
    parts: Iterator[pa.RecordBatch],
    *,
    attrs: Mapping[str, Any],
    extname: str | None,
) -> None:
    """Write batches of rows, and their heaps behind all rows."""
    (file, heap), width = files, 0
    for out in fields:
        out.offset = width
        width += out.width
    base = _base_header(attrs, extname)
    start = len(_primary_header())
    size = len(_table_header(base, fields, width, 1 << 62, 1 << 62))  # as long as it can get
    file.write(_primary_header() + b" " * size)
    rows = heaped = 0
    for part in _cut_rows(parts, max(1, _BLOCK_BYTES // max(1, width))):
        block = np.zeros((part.num_rows, width), np.uint8)
        for out, array in zip(fields, part.columns, strict=True):
            data = out.put_cells(array, block, heaped)
            heap.write(data)
            heaped += len(data)
        file.write(block.tobytes())
        rows += part.num_rows
    append(file, heap)
    file.write(b"\0" * (-(rows * width + heaped) % BLOCK_BYTES))
    file.seek(start)
    file.write(_table_header(base, fields, width, rows, heaped).ljust(size))


def _cut_rows(parts: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Cut batches into some rows each: one long text makes all rows wide, so that those of a batch may be any number of gigabytes."""
    for part in parts:
        yield from (part.slice(first, most) for first in range(0, part.num_rows, most))


def _primary_header() -> bytes:
    from astropy.io import fits

    found: str = fits.PrimaryHDU().header.tostring()
    return found.encode("ascii")


def _base_header(attrs: Mapping[str, Any], extname: str | None) -> Any:
    """Cards that do not depend on the rows: those of the original header, changed as the attributes say."""
    from astropy.io import fits

    header = fits.Header()
    text = attrs.get("fits_header")
    if isinstance(text, str):
        for card in fits.Header.fromstring(text).cards:
            if not _STRUCTURAL.fullmatch(card.keyword) and not is_column_keyword(card.keyword):
                header.append(card, end=True)
    for name, value in attrs.items():
        key = str(name).upper()
        if name != "fits_header" and not _STRUCTURAL.fullmatch(key) and not _STORAGE.fullmatch(key):
            _set_card(header, str(name), value)
    if extname:
        header["EXTNAME"] = extname
    return header


def _set_card(header: Any, name: str, value: Any) -> None:
    """Set a card if its value is not that already; what has no form in FITS is left out with a warning."""
    from astropy.io.fits.verify import VerifyError, VerifyWarning

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return
    if name not in header and name.endswith("_") and name[:-1] in header:
        name = name[:-1]  # datasets have it so where netCDF reserves the keyword itself
    key = name.upper() if len(name) <= 8 else f"HIERARCH {name}"
    known = header.get(name)
    if isinstance(known, bool) and isinstance(value, int) and value in (0, 1):
        value = bool(value)  # datasets have no logicals among their attributes
    if isinstance(known, int) and isinstance(value, str) and str(known) == value:
        return  # nor integers beyond 64 bits
    if isinstance(value, str | bool | int | float | complex) and known == value:
        return
    with quiet(VerifyWarning):
        try:
            _check_card(key, value)
            header[key] = (
                list(value) if isinstance(value, tuple) else value
            )  # it refuses all but numbers, texts and logicals
            str(header.cards[key])
        except (ValueError, VerifyError, KeyError):
            with contextlib.suppress(KeyError):
                del header[key]
            warn_caller(f"attribute {name!r} has no form in a FITS header and is left out", MetadataWarning)


def _check_card(key: str, value: Any) -> None:
    """Raise ValueError for what astropy makes a card of that is none."""
    if len(key.removeprefix("HIERARCH ")) > _MOST_NAME:
        msg = f"a keyword of {len(key)} characters"
        raise ValueError(msg)
    if isinstance(value, complex) and not (math.isfinite(value.real) and math.isfinite(value.imag)):
        msg = "a complex number that is not finite"
        raise ValueError(msg)


def _table_header(base: Any, fields: Sequence[FITSColumnWriter], width: int, rows: int, heaped: int) -> bytes:
    """Make the header of the table, with the cards that its rows have decided."""
    from astropy.io import fits

    header = fits.Header()
    for key, value in (
        ("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", rows),
        ("PCOUNT", heaped), ("GCOUNT", 1), ("TFIELDS", len(fields)),
    ):  # fmt: skip
        header[key] = value
    codes = {label: stem for stem, label in reversed(NAMES.items())}
    numbers = {out.column.name: number for number, out in enumerate(fields, 1)}
    for number, out in enumerate(fields, 1):
        for key, value in out.column_cards():
            _set_card(header, f"{key}{number}", value)
        for name, value in out.column.attrs.items():
            keyword = keyword_of(codes.get(name, name), number, numbers)
            if keyword is not None and not _STORAGE.fullmatch(keyword):
                _set_card(header, keyword, value)
    header.extend(base.cards, unique=False, end=True)
    found: str = header.tostring()
    return found.encode("ascii", "replace")
