"""Where the values of a column go while rows are read: an Arrow array or a NumPy array that grows block by block."""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.bits import unpack_arrays
from scichunk.core.tables import Column
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.fits.table.columns import (
    Rows2D,
    convert_numbers,
    decode_text,
    decode_texts,
    element_type,
    text_cells,
    values_of,
)
from scichunk.formats.fits.table.layout import TEXT, TableField
from scichunk.formats.fits.table.rows import Block, HeapCells, to_native
from scichunk.formats.fits.table.text import parse_texts
from scichunk.tables.arrow import allocate_array, from_numpy, make_lists, make_strings, nest_cells, offsets_of, to_numpy

__all__ = ["Sink", "arrow_sink", "numpy_sink"]

Array = npt.NDArray[Any]

_MOST_OFFSET: Final = (1 << 31) - 1
"""Offsets of Arrow's ``string`` and ``list`` have 32 bits."""


class Sink(Protocol):
    """Takes blocks in order, then gives the whole."""

    def put(self, block: Block, at: int, /) -> None:
        """Take a block whose first row is row ``at`` of the whole."""
        ...

    def finish(self) -> Any:
        """Return the column."""
        ...


def arrow_sink(field: TableField, rows: int) -> Sink:
    """Make what collects a column as an Arrow array."""
    if field.codec == TEXT:
        return _Parsed(field)
    if field.cell is None:
        return _Lists(field, arrow=True)
    if field.code == "A":
        return _Texts(field, rows)
    # Rows of whole bytes: the bits of all rows follow each other without gaps, as Arrow wants them.
    if field.code == "X" and field.repeat % 8 == 0 and math.prod(field.cell) == field.repeat:
        return _Bits(field, rows)
    return _Numbers(field, rows, element_type(field), nulls=True)


def numpy_sink(field: TableField, rows: int, column: Column, *, raw: bool) -> Sink:
    """Make what collects a column as a NumPy array, see :meth:`TableSource.read_column`."""
    if field.codec == TEXT:
        return _Parsed(field, column)
    if field.cell is None:
        return _Lists(field, arrow=False)
    if field.code == "A":
        return _WideTexts(field, rows, column.dtype)
    return _Numbers(field, rows, column.dtype, raw=raw)


class _Numbers:
    """Numbers, logicals and bits."""

    def __init__(
        self, field: TableField, rows: int, dtype: np.dtype[Any], *, nulls: bool = False, raw: bool = False
    ) -> None:
        self.field, self.raw, self.nulls = field, raw, nulls
        self.out = allocate_array((rows, *(field.cell or ())), dtype)
        marked = nulls and (field.code == "L" or (field.null is not None and field.code in "BIJK"))
        self.mask = np.zeros(self.out.shape, bool) if marked else None

    def put(self, block: Block, at: int) -> None:
        end = at + block.stop - block.start
        mask = None if self.mask is None else self.mask[at:end]
        convert_numbers(self.field, block.rows[self.field.number], self.out[at:end], mask, raw=self.raw)

    def finish(self) -> Any:
        return from_numpy(self.out, self.mask) if self.nulls else self.out


class _Bits:
    """Whole bytes of bits: Arrow has them as well, in the other order."""

    def __init__(self, field: TableField, rows: int) -> None:
        self.field = field
        self.out = allocate_array((rows, field.width), np.dtype(np.uint8))

    def put(self, block: Block, at: int) -> None:
        fits_columns = ways.choose("text.fits_columns")

        data, first = block.rows[self.field.number]
        out = self.out[at : at + len(data)]
        if not fits_columns.reverse_bits(data.reshape(-1), data.shape[1], first, out):
            msg = f"column {self.field.name!r} lies outside its rows"
            raise FormatError(msg)

    def finish(self) -> Any:
        import pyarrow as pa

        bits_of_all = pa.Array.from_buffers(pa.bool_(), 8 * self.out.size, [None, pa.py_buffer(self.out)])
        return nest_cells(bits_of_all, self.field.cell or (), len(self.out))


class _WideTexts:
    """Texts of kind U."""

    def __init__(self, field: TableField, rows: int, dtype: np.dtype[Any]) -> None:
        self.field, self.out = field, allocate_array((rows, *(field.cell or ())), dtype)

    def put(self, block: Block, at: int) -> None:
        text_cells(self.field, block.rows[self.field.number], self.out[at : at + block.stop - block.start])

    def finish(self) -> Array:
        return self.out


class _Texts:
    """Texts as Arrow strings."""

    def __init__(self, field: TableField, rows: int) -> None:
        self.field, self.count, self.rows = field, math.prod(field.cell or ()), rows
        total = rows * self.count * field.text
        _check_offset(field, total, "bytes of text")
        self.out = allocate_array((total,), np.dtype(np.uint8))
        self.ends = np.zeros(rows * self.count + 1, np.int32)
        self.at = 0

    def put(self, block: Block, at: int) -> None:
        fits_columns = ways.choose("text.fits_columns")

        data, first = rows = block.rows[self.field.number]
        ends = self.ends[1 + at * self.count : 1 + (at + len(data)) * self.count]
        size, width = self.field.text, data.shape[1]
        if self.at + ends.size * size > _MOST_OFFSET:  # not, perhaps, once blanks are cut off
            self.at = self._put_slowly(rows, ends)
            return
        found = fits_columns.trim_rows(data.reshape(-1), width, first, self.count, size, self.out, ends, self.at)
        if found == -2:
            msg = f"column {self.field.name!r} lies outside its rows"
            raise FormatError(msg)
        self.at = found if found >= 0 else self._put_slowly(rows, ends)

    def _put_slowly(self, rows: Rows2D, ends: npt.NDArray[np.int32]) -> int:
        """Texts beyond ASCII: in UTF-8 they may be longer than in Latin-1."""
        texts = [t.encode() for t in decode_texts(self.field, rows, self.count)]
        joined = np.frombuffer(b"".join(texts), np.uint8)
        _check_offset(self.field, self.at + joined.size, "bytes of text")
        # What is here, and as much as all rows still to come can need.
        room = self.at + joined.size + len(self.ends) * self.field.text - len(texts) * self.field.text
        if room > self.out.size:
            self.out = np.concatenate([self.out, np.empty(room - self.out.size, np.uint8)])
        self.out[self.at : self.at + joined.size] = joined
        ends[:] = self.at + np.cumsum([len(t) for t in texts])
        return self.at + joined.size

    def finish(self) -> Any:
        return nest_cells(make_strings(self.ends, self.out[: self.at]), self.field.cell or (), self.rows)


class _Lists:
    """Arrays and texts of variable length."""

    def __init__(self, field: TableField, *, arrow: bool) -> None:
        self.field, self.arrow = field, arrow
        self.counts: list[Array] = []
        self.values: list[Array] = []
        self.texts: list[Any] = []

    def put(self, block: Block, _at: int) -> None:
        cells = block.heaps[self.field.number]
        self.counts.append(cells.counts)
        if self.field.code == "A":
            self.texts.append(_heap_texts(self.field, cells))
            return
        data = to_native(self.field, cells)
        self.values.append(unpack_arrays(data, cells.counts) if self.field.code == "X" else values_of(self.field, data))

    def finish(self) -> Any:
        import pyarrow as pa

        counts = np.concatenate([*self.counts, np.empty(0, np.int64)])
        if self.field.code == "A":
            joined = pa.chunked_array(self.texts, pa.string()).combine_chunks()
            return joined if self.arrow else np.array([*joined.to_pylist(), None], object)[:-1]
        dtype = np.dtype(bool) if self.field.code in "LX" else element_type(self.field)
        values = self.values[0] if len(self.values) == 1 else np.concatenate([*self.values, np.empty(0, dtype)])
        ends = np.cumsum(counts)
        if not self.arrow:
            out = np.empty(len(counts), object)
            for row, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
                out[row] = values[end - count : end]
            return out
        _check_offset(self.field, values.size, "elements")
        return make_lists(np.append(0, ends).astype(np.int32), from_numpy(values))


def _check_offset(field: TableField, size: int, what: str) -> None:
    if size > _MOST_OFFSET:
        msg = f"{size} {what} in column {field.name!r} do not fit into one partition; use a smaller blocksize"
        raise LimitExceeded(msg)


def _heap_texts(field: TableField, cells: HeapCells) -> Any:
    """Texts of a heap as Arrow strings."""
    import pyarrow as pa

    fits_columns = ways.choose("text.fits_columns")

    ends = offsets_of(cells.counts)
    out = np.empty(int(ends[-1]), np.uint8)
    size = fits_columns.trim_texts(cells.data, cells.starts, cells.counts, out, ends[1:])
    if size == -2:
        msg = f"texts of column {field.name!r} lie outside the heap"
        raise FormatError(msg)
    if size < 0:
        pairs = zip(cells.starts.tolist(), cells.counts.tolist(), strict=True)
        return pa.array([decode_text(bytes(cells.data[a : a + n])) for a, n in pairs], pa.string())
    return make_strings(ends, out[:size])


class _Parsed:
    """Fields of ASCII tables."""

    def __init__(self, field: TableField, column: Column | None = None) -> None:
        self.field, self.column = field, column
        self.parts: list[Any] = []

    def put(self, block: Block, _at: int) -> None:
        rows = _Texts(self.field, block.stop - block.start)
        rows.put(block, 0)
        self.parts.append(parse_texts(self.field, rows.finish(), block.start))

    def finish(self) -> Any:
        import pyarrow as pa

        parts = self.parts or [parse_texts(self.field, pa.array([], pa.string()), 0)]
        joined = pa.chunked_array(parts).combine_chunks()
        return joined if self.column is None else to_numpy(joined, self.column)
