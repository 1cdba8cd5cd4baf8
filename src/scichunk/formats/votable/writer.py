"""Writing a VOTable: the header that the table came with, or a new one, around a BINARY2 stream."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from scichunk.core.tables import TableStream
from scichunk.errors import FormatError
from scichunk.formats.votable.out_fields import OutField
from scichunk.formats.votable.rewrite import rewrite
from scichunk.sources.output import open_output, scratch_folder
from scichunk.tables.writing import spooled

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_table"]

_ROWS: Final = 1 << 16
_COPY: Final = 1 << 20
_LINE: Final = 48  # bytes of a line of 64 letters
_SKIPPED: Final = (
    "votable_header",
    "votable_warnings",
    "votable_version",
    "name",
    "ID",
    "ucd",
    "utype",
    "description",
    "links",
)
_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_table(
    stream: TableStream,
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
    name: str | None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a document of one table.

    Rows are written as they come; columns of texts and of integer arrays are looked through first, since their FIELD depends on
    them, and kept in a temporary file meanwhile.

    Raises
    ------
    UnsupportedFeature
        If VOTable has no form for the type of a column.
    FormatError
        If a value has none.
    SourceError
        If the file exists, or cannot be written.
    """
    fields = [OutField(c) for c in stream.columns]
    folder = scratch_folder(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_output(path, overwrite=overwrite, storage_options=storage_options))
        batches: Iterator[pa.RecordBatch] = iter(stream.batches)
        if not all(f.settled for f in fields):
            batches = spooled(batches, fields, stack.enter_context(tempfile.TemporaryFile(dir=folder)))
        for field in fields:
            field.settle()
        body = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        rows = _body(body, fields, batches)
        before, after = _document(stream.attrs, fields, rows, name)
        file.write(before.encode())
        body.seek(0)
        while piece := body.read(_COPY):
            file.write(piece)
        file.write(after.encode())


def _body(out: IO[bytes], fields: Sequence[OutField], batches: Iterator[pa.RecordBatch]) -> int:
    """Write the lines of base64; returns the rows."""
    rows, rest = 0, b""
    for batch in batches:
        for first in range(0, batch.num_rows, _ROWS):
            part = batch.slice(first, _ROWS)
            rest += _rows(fields, part)
            whole = len(rest) // _LINE * _LINE
            _lines(out, rest[:whole])
            rest = rest[whole:]
            rows += part.num_rows
    _lines(out, rest)
    return rows


def _lines(out: IO[bytes], data: bytes) -> None:
    text = np.frombuffer(base64.b64encode(data), np.uint8)
    whole = text.size // 64
    lines = np.full((whole, 65), 10, np.uint8)
    lines[:, :64] = text[: whole * 64].reshape(whole, 64)
    out.write(lines.tobytes())
    if text.size > whole * 64:
        out.write(text[whole * 64 :].tobytes() + b"\n")


def _rows(fields: Sequence[OutField], batch: pa.RecordBatch) -> bytes:
    """Bytes of some rows: flags of nulls, then the fields (VOTable 1.5, section 5.4)."""
    from scichunk.codecs.kernels_fields import scatter_ranges

    count = batch.num_rows
    flags = np.zeros((count, (len(fields) + 7) // 8 * 8), np.bool_)
    for number, array in enumerate(batch.columns):
        if array.null_count:
            flags[:, number] = np.asarray(array.is_null())
    masks = np.packbits(flags, axis=1)
    pieces: list[Any] = [(masks.reshape(-1), masks.shape[1])]
    for field, array in zip(fields, batch.columns, strict=True):
        pieces += field.pieces(array)
    sizes = [np.full(count, s, np.int64) if isinstance(s, int) else s for _, s in pieces]
    widths = np.sum(sizes, axis=0, dtype=np.int64) if sizes else np.zeros(count, np.int64)
    place = np.cumsum(widths) - widths
    out = np.empty(int(widths.sum()), np.uint8)
    for (data, _), size in zip(pieces, sizes, strict=True):
        if not scatter_ranges(np.ascontiguousarray(data), np.ascontiguousarray(size, np.int64), place, out):
            msg = "fields whose bytes are not as many as their sizes say"
            raise FormatError(msg)
        place = place + size
    return out.tobytes()


def _document(attrs: Mapping[str, Any], fields: Sequence[OutField], rows: int, name: str | None) -> tuple[str, str]:
    """What stands before and behind the lines of the stream."""
    stream = '<DATA>\n<BINARY2>\n<STREAM encoding="base64">\n', "</STREAM>\n</BINARY2>\n</DATA>"
    header = attrs.get("votable_header")
    if isinstance(header, str):
        found = rewrite(header, attrs, fields, rows=rows, name=name, params=_params)
        if found is not None:
            return found[0] + stream[0], stream[1] + found[1]
    said = {k: attrs.get(k) for k in ("ID", "name", "ucd", "utype")} | ({"name": name} if name else {})
    given = "".join(f" {k}={quoteattr(str(v))}" for k, v in said.items() if v)
    description = attrs.get("description")
    before = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n<TABLE{given} nrows="{rows}">\n'
        + (f"<DESCRIPTION>{_clean(description)}</DESCRIPTION>\n" if description else "")
        + "".join(f.element() + "\n" for f in fields)
        + _params({k: v for k, v in attrs.items() if k not in _SKIPPED})
        + "".join(f"<LINK href={quoteattr(str(v))}/>\n" for v in np.atleast_1d(attrs.get("links", [])))
    )
    return before + stream[0], stream[1] + "\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def _clean(value: Any) -> str:
    return escape(_XML.sub("?", str(value)))


def _params(attrs: Mapping[str, Any]) -> str:
    """Attributes as PARAM elements."""
    text = ""
    for key, value in attrs.items():
        one = value.item() if isinstance(value, np.generic) else value
        if isinstance(one, bool):
            kind, written = 'datatype="boolean"', "T" if one else "F"
        elif isinstance(one, int) and -(1 << 63) <= one < 1 << 63:
            kind, written = 'datatype="long"', str(one)
        elif isinstance(one, float):
            kind, written = 'datatype="double"', str(one).replace("inf", "Inf")
        elif isinstance(one, complex):
            kind, written = 'datatype="doubleComplex"', f"{one.real} {one.imag}"
        else:
            kind, written = 'datatype="unicodeChar" arraysize="*"', _XML.sub("?", str(one))
        text += f"<PARAM name={quoteattr(_XML.sub('?', str(key)))} {kind} value={quoteattr(written)}/>\n"
    return text
