"""Rows of tile-compressed tables (FITS 4.0, section 10.3): each column of each tile is in the heap by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.tiled_tables import decode_column, gunzip_exactly
from scichunk.core.limits import check_decoded
from scichunk.core.manifest import most_encoded
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.fits.table.layout import TableField, TableLayout
from scichunk.formats.fits.table.rows import Block, HeapCells, decoded_bytes, nbytes_of, read_descriptors, read_heap
from scichunk.sources import ByteSource

__all__ = ["tiled_blocks"]

Bytes = npt.NDArray[np.uint8]
_DESCRIPTOR_BYTES = 16  # bytes of a descriptor of form 1QB


def tiled_blocks(
    source: ByteSource, layout: TableLayout, fields: Sequence[TableField], start: int, stop: int
) -> Iterator[Block]:
    """Read rows ``[start, stop)`` tile by tile.

    Raises
    ------
    FormatError
        If a tile is corrupt or lies outside the file.
    UnsupportedFeature
        If a column is compressed in a way that is not known.
    LimitExceeded
        If a tile is larger than ``options.max_chunk_bytes``.
    """
    size = layout.tile_rows * max((f.width for f in fields), default=0)
    limit = options.get().max_chunk_bytes
    if size > limit:
        msg = f"tiles of {size} bytes, more than {limit} (options.max_chunk_bytes)"
        raise LimitExceeded(msg)
    for tile in range(start // layout.tile_rows, -(-stop // layout.tile_rows)):
        first, last = tile * layout.tile_rows, min((tile + 1) * layout.tile_rows, layout.rows)
        encoded = _fetch_tile(source, layout, fields, tile)
        low, high = max(start, first), min(stop, last)
        block = Block(low, high, {}, {})
        for field in fields:
            with located(part=f"column {field.name!r}, tile {tile}"):
                if field.descriptor and field.cell is None:
                    cells = _decode_arrays(source, layout, field, encoded[field.number], (first, last))
                    # A tile is decoded as a whole, also where only some of its rows are wanted.
                    part = slice(low - first, high - first)
                    block.heaps[field.number] = HeapCells(cells.data, cells.starts[part], cells.counts[part])
                else:
                    rows = _decode_rows(field, encoded[field.number], last - first)
                    block.rows[field.number] = (rows[low - first : high - first], 0)
        yield block


def _fetch_tile(source: ByteSource, layout: TableLayout, fields: Sequence[TableField], tile: int) -> dict[int, Bytes]:
    """Compressed columns of a tile."""
    width = layout.tile_descriptor
    at = layout.data + tile * width * len(layout.fields)
    row = np.frombuffer(source.read_ranges([at], [at + width * len(layout.fields)])[0], np.uint8).copy()
    stored = {f.number: _stored_field(f, width) for f in fields}
    found = {
        f.number: read_descriptors(stored[f.number], (row.reshape(1, -1), (f.number - 1) * width), tile, layout)
        for f in fields
    }
    for field in fields:
        counts, starts = found[field.number]
        # Of arrays of variable length the tile holds two descriptors each.
        nbytes = field.descriptor + _DESCRIPTOR_BYTES if field.descriptor and field.cell is None else field.width
        found[field.number] = np.minimum(counts, most_encoded(layout.tile_rows * nbytes)), starts
    cells = read_heap(source, list(stored.values()), found)
    out = {}
    for number, cell in cells.items():
        first, count = int(cell.starts[0]), int(cell.counts[0])
        out[number] = cell.data[first : first + count].copy()
    return out


def _stored_field(field: TableField, width: int) -> TableField:
    """The field of the table that holds the tiles."""
    return TableField(
        field.number,
        field.name,
        "1QB" if width == _DESCRIPTOR_BYTES else "1PB",
        "B",
        1,
        0,
        width,
        None,
        descriptor=width,
    )


def _decode_rows(field: TableField, encoded: Bytes, rows: int) -> Bytes:
    """One column of a tile, shape (rows, width)."""
    nbytes = rows * field.width
    if not nbytes:
        return np.empty((rows, field.width), np.uint8)
    return decode_column(field.codec, field.code, encoded, nbytes).reshape(rows, field.width)


def _decode_arrays(
    source: ByteSource, layout: TableLayout, field: TableField, encoded: Bytes, rows: tuple[int, int]
) -> HeapCells:
    """Arrays of variable length: the tile holds their own descriptors, then those of the compressed arrays."""
    count = rows[1] - rows[0]
    blob = gunzip_exactly(encoded, count * (field.descriptor + _DESCRIPTOR_BYTES))
    word = ">i4" if field.descriptor == 8 else ">i8"
    counts = blob[: count * field.descriptor].view(word).reshape(count, 2)[:, 0].astype(np.int64)
    packed = TableField(
        field.number, field.name, "1QB", "B", 1, 0, _DESCRIPTOR_BYTES, None, descriptor=_DESCRIPTOR_BYTES
    )
    where = blob[count * field.descriptor :].reshape(count, _DESCRIPTOR_BYTES)
    cells = read_heap(source, [packed], {field.number: read_descriptors(packed, (where, 0), rows[0], layout)})[
        field.number
    ]
    if counts.min(initial=0) < 0:
        msg = f"an array of {counts.min()} elements"
        raise FormatError(msg)
    check_decoded("arrays of variable length of a tile", decoded_bytes(field, counts))
    sizes = nbytes_of(field, counts)
    starts = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    data = cells.data.copy()
    for begin, size, first, length in zip(
        starts.tolist(), sizes.tolist(), cells.starts.tolist(), cells.counts.tolist(), strict=True
    ):
        if size:
            cell = data[first : first + length]
            out[begin : begin + size] = decode_column(field.codec, field.code, cell, size, variable=True)
    return HeapCells(out, starts, counts)
