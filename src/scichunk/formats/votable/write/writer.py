"""Writing a VOTable: the header that the table came with, or a new one, around a BINARY2 stream."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from scichunk.codecs import ways
from scichunk.core.tables import TableStream
from scichunk.errors import FormatError
from scichunk.formats.votable.write.column_writers import VOTableColumnWriter
from scichunk.formats.votable.write.header import write_header
from scichunk.tables.writing import append, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_table"]

_LINE_BYTES: Final = 48  # bytes of a line of 64 letters
_DATA: Final = '<DATA>\n<BINARY2>\n<STREAM encoding="base64">\n', "</STREAM>\n</BINARY2>\n</DATA>"


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
    fields = [VOTableColumnWriter(c) for c in stream.columns]
    with write_rows(stream, path, fields, overwrite=overwrite, storage_options=storage_options) as (file, body, parts):
        rows = _write_body(body, fields, parts)
        before, after = write_header(stream.attrs, fields, rows=rows, name=name)
        file.write((before + _DATA[0]).encode())
        append(file, body)
        file.write((_DATA[1] + after).encode())


def _write_body(out: IO[bytes], fields: Sequence[VOTableColumnWriter], parts: Iterator[pa.RecordBatch]) -> int:
    """Write the lines of base64; returns the rows."""
    rows, rest = 0, b""
    for part in parts:
        rest += _encode_rows(fields, part)
        whole = len(rest) // _LINE_BYTES * _LINE_BYTES
        _write_lines(out, rest[:whole])
        rest = rest[whole:]
        rows += part.num_rows
    _write_lines(out, rest)
    return rows


def _write_lines(out: IO[bytes], data: bytes) -> None:
    text = np.frombuffer(base64.b64encode(data), np.uint8)
    whole = text.size // 64
    lines = np.full((whole, 65), 10, np.uint8)
    lines[:, :64] = text[: whole * 64].reshape(whole, 64)
    out.write(lines.tobytes())
    if text.size > whole * 64:
        out.write(text[whole * 64 :].tobytes() + b"\n")


def _encode_rows(fields: Sequence[VOTableColumnWriter], batch: pa.RecordBatch) -> bytes:
    """Bytes of some rows: flags of nulls, then the fields (VOTable 1.5, section 5.4)."""
    import pyarrow as pa

    count = batch.num_rows
    # A null may stand among the values of a dictionary, where an array does not count it.
    arrays = [a.dictionary_decode() if pa.types.is_dictionary(a.type) else a for a in batch.columns]
    flags = np.zeros((count, (len(fields) + 7) // 8 * 8), np.bool_)
    for number, array in enumerate(arrays):
        if array.null_count:
            flags[:, number] = np.asarray(array.is_null())
    masks = np.packbits(flags, axis=1)
    pieces: list[Any] = [(masks.reshape(-1), masks.shape[1])]
    for field, array in zip(fields, arrays, strict=True):
        pieces += field.encode_cells(array)
    sizes = [np.full(count, s, np.int64) if isinstance(s, int) else s for _, s in pieces]
    widths = np.sum(sizes, axis=0, dtype=np.int64) if sizes else np.zeros(count, np.int64)
    targets = np.cumsum(widths) - widths
    out = np.empty(int(widths.sum()), np.uint8)
    ways.announce("binary", out.size)
    scatter_ranges = ways.choose("text.votable_rows").scatter_ranges
    for (data, _), size in zip(pieces, sizes, strict=True):
        if not scatter_ranges(np.ascontiguousarray(data), np.ascontiguousarray(size, np.int64), targets, out):
            msg = "fields whose bytes are not as many as their sizes say"
            raise FormatError(msg)
        targets = targets + size
    return out.tobytes()
