"""The same values through the libraries that are the oracle of the tests; each says when it read with a complaint."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.fuzz.readers import BANDS, EDGE, ROWS

_HARMLESS = ("W03", "W06", "W07", "W09", "W17", "W20", "W21", "W22", "W24", "W27", "W29", "W32", "W33", "W35", "W40", "W41",
             "W42", "W43", "W45", "W48", "W50", "W51", "W54", "W55", "W56", "W57", "W58")  # fmt: skip
"""Warnings of astropy's VOTable reader that are about names, versions and units, not about values."""


class Complaint(Exception):
    """The library read the file, but not as it should be."""


def read(kind: str, data: bytes) -> dict[str, Any]:
    """Values by the name of the way that gives ours.

    Raises
    ------
    Exception
        Whatever the library raises, or a :class:`Complaint`.
    """
    return {"fits": _fits, "geotiff": _geotiff, "jpeg2000": _jpeg2000, "votable": _votable}[kind](data)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextlib.contextmanager
def _beside_what_we_read(plane: tuple[int, ...], bands: tuple[int, ...]) -> Iterator[None]:
    """Of an image that is larger than what we read of it, turn errors into complaints: the library reads all of it."""
    try:
        yield
    except Exception as error:
        if max(plane) > EDGE or max(bands, default=0) > BANDS:
            raise Complaint(str(error)) from error
        raise


def _geotiff(data: bytes) -> dict[str, Any]:
    import rasterio
    from rasterio.windows import Window

    log = _Log()
    logger = logging.getLogger("rasterio")
    logger.handlers, logger.propagate = [log], False
    logger.setLevel(logging.INFO)
    with rasterio.Env(GDAL_CACHEMAX=1 << 24), rasterio.MemoryFile(data) as memory, memory.open(driver="GTiff") as ds:
        window = Window(0, 0, min(EDGE, ds.width), min(EDGE, ds.height))
        codec, types = str(ds.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "")), set(ds.dtypes)
        if len(types) > 1:
            raise Complaint("bands of different types")
        found = ds.read(list(range(1, min(BANDS, ds.count) + 1)), window=window)
    texts = [t for t in log.texts if "GDALMultiDomainMetadata" not in t]
    if texts:
        raise Complaint(texts[0])
    return {"pixels": found, "codec": codec}


def _jpeg2000(data: bytes) -> dict[str, Any]:
    import os
    import tempfile

    from scichunk.formats.jpeg2000.reference import lend_glymur
    from tests.fuzz.ordered import ordered
    from tests.fuzz.packed import is_packed, unpacked

    if is_packed(data):
        data = unpacked(data) or data
    data = ordered(data)
    handle, path = tempfile.mkstemp(suffix=".jp2" if data[4:6] == b"jP" else ".j2k")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with lend_glymur() as glymur:
                image = glymur.Jp2k(path)
                image.ignore_pclr_cmap_cdef = True
                if image.shape[0] * image.shape[1] > 1 << 24:
                    raise Complaint("too large")
                with _beside_what_we_read(image.shape[:2], image.shape[2:]):
                    found = image[:]
    finally:
        os.unlink(path)
    if caught:
        raise Complaint(str(caught[0].message))
    if isinstance(found, list):
        raise Complaint("components of several types")
    found = found[None] if found.ndim == 2 else np.moveaxis(found, -1, 0)
    return {"pixels": found[:BANDS, :EDGE, :EDGE]}


def _fits(data: bytes) -> dict[str, Any]:
    from astropy.io import fits

    found: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with fits.open(io.BytesIO(data), lazy_load_hdus=False, memmap=False) as file:
            file.verify("exception")
            for hdu in file:
                if hdu.header.get("ZTABLE") is True:
                    raise Complaint("astropy decompresses no tables")
                if isinstance(hdu, fits.GroupsHDU):
                    raise Complaint("random groups")
                if hdu.is_image and "pixels" not in found and hdu.shape:
                    if isinstance(hdu, fits.CompImageHDU):
                        _check_rows(data, file.index(hdu))
                    with _beside_what_we_read(hdu.shape[-2:], hdu.shape[:-2]):
                        array = np.asarray(hdu.data)
                    lead = tuple(slice(0, BANDS) for _ in array.shape[:-2])
                    found["pixels"] = array[(*lead, *(slice(0, EDGE) for _ in array.shape[-2:]))]
                    if isinstance(hdu, fits.CompImageHDU):
                        _check_heap(data, file.index(hdu))
                elif isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and "rows" not in found and not hdu.is_image:
                    found["rows"] = _fits_rows(hdu)
    if caught:
        raise Complaint(str(caught[0].message))
    return found


def _check_rows(data: bytes, number: int) -> None:
    """Complain of a table of tiles whose rows are wider than its columns: astropy does not look at NAXIS1."""
    from astropy.io import fits

    with fits.open(io.BytesIO(data), disable_image_compression=True, memmap=False) as file:
        if file[number].columns.dtype.itemsize != file[number].header["NAXIS1"]:
            raise Complaint("rows that are wider than their columns, or narrower")


def _check_heap(data: bytes, number: int) -> None:
    """Complain of tiles that end behind the heap: astropy decodes what is left of them."""
    from astropy.io import fits

    with fits.open(io.BytesIO(data), disable_image_compression=True, memmap=False) as file:
        table = file[number]
        size = table.header["PCOUNT"] - max(
            0, table.header.get("THEAP", 0) - table.header["NAXIS1"] * table.header["NAXIS2"]
        )
        for place, column in enumerate(table.columns):
            if {"P", "Q"} & set(str(column.format)):
                ends = np.recarray.field(table.data, place).astype("i8").sum(axis=-1)
                if ends.size and ends.max() > size:
                    raise Complaint("tiles that end behind the heap")


def _fits_rows(hdu: Any) -> dict[int, np.ndarray]:
    if hdu.columns.dtype.itemsize != hdu.header["NAXIS1"]:
        raise Complaint("rows that are wider than their columns, or narrower: astropy does not look at NAXIS1")
    rows: dict[int, np.ndarray] = {-1: np.array([min(ROWS, len(hdu.data)), len(hdu.columns)], "f8")}
    for place, column in enumerate(hdu.columns):
        values = hdu.data.field(place)[:ROWS]
        if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf":
            floats = values.astype("f8")
            stored, null = np.recarray.field(hdu.data, place)[:ROWS], column.null
            # What equals TNULL is no value in columns that are scaled too, where astropy hands it out (docs/formats/tables.md).
            if null not in {None, ""} and stored.dtype.kind in "iu":
                floats[stored == null] = np.nan
            rows[place] = floats
    return rows


_ITEMS = re.compile(rb"""(arraysize\s*=\s*["'])[0-9x]+x\*""")
"""Arrays of arrays, of variable number: ``2x*``."""


def _votable(data: bytes) -> dict[str, Any]:
    """Rows; and, where streams hold arrays of arrays, also what they hold if their lengths count elements."""
    found = {"rows": _votable_rows(data)}
    if b"BINARY" in data and _ITEMS.search(data):
        try:
            found["rows by elements"] = _votable_rows(_ITEMS.sub(rb"\1*", data))
        except Exception as error:  # astropy raises what it meets
            found["by elements"] = str(error)
    return found


def _votable_rows(data: bytes) -> dict[int, np.ndarray]:
    from astropy.io.votable import parse

    if b"PARQUET" in data:
        raise Complaint("astropy reads no PARQUET within a document")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = parse(io.BytesIO(data), verify="warn").get_first_table()
        array = table.array
    bad = [str(w.message) for w in caught if not any(f"{code}:" in str(w.message) for code in _HARMLESS)]
    if bad:
        raise Complaint(bad[0])
    rows: dict[int, np.ndarray] = {-1: np.array([min(ROWS, len(array)), len(table.fields)], "f8")}
    for place, name in enumerate(array.dtype.names or ()):
        values = array[name][:ROWS]
        if values.ndim == 1 and values.dtype.kind in "iuf":
            floats = np.ma.getdata(values).astype("f8")
            floats[np.ma.getmaskarray(values)] = np.nan
            rows[place] = floats
    return rows
