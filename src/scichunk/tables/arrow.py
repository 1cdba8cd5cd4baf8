"""Between NumPy columns and Arrow arrays: types, nulls, fixed and variable cells, without copies where there need be none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scichunk.core.tables import Column
from scichunk.errors import FormatError, LimitExceeded

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "allocate_array",
    "arrow_type",
    "dtype_of",
    "from_numpy",
    "make_lists",
    "make_strings",
    "mask_value",
    "nest_cells",
    "offsets_of",
    "rows_alone",
    "to_numpy",
    "value_type",
    "without_nan",
]

Array = npt.NDArray[Any]


def arrow_type(dtype: np.dtype[Any], cell: tuple[int, ...] | None = ()) -> pa.DataType:
    """Arrow type of a column.

    Parameters
    ----------
    dtype
        Of single values: booleans, numbers, complex (a struct of ``real`` and ``imag``), text of kind U or O (``string``).
    cell
        Shape of a cell: nested ``fixed_size_list``, the last axis innermost; None: ``list``.
    """
    import pyarrow as pa

    if dtype.kind in "UO":
        kind: Any = pa.string()
    elif dtype.kind == "S":
        kind = pa.binary()
    elif dtype.kind == "c":
        half = pa.from_numpy_dtype(np.dtype(f"f{dtype.itemsize // 2}"))
        kind = pa.struct([pa.field("real", half), pa.field("imag", half)])
    else:
        kind = pa.from_numpy_dtype(dtype)
    if cell is None:
        return pa.list_(kind)
    for length in reversed(cell):
        kind = pa.list_(kind, length)
    return kind


def dtype_of(kind: pa.DataType) -> np.dtype[Any]:
    """NumPy type of single values of an Arrow type: booleans, numbers, complex (structs of two), else object."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        pair = [f.name for f in kind] == ["real", "imag"] and kind[0].type == kind[1].type
        halves = {pa.float32(): "c8", pa.float64(): "c16"}
        return np.dtype(halves.get(kind[0].type, object) if pair else object)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return found
    return np.dtype(object)


def allocate_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an uninitialised array in memory of Arrow's pool, which keeps what is freed: threads do not wait for fresh pages.

    Its values become an Arrow array by :func:`from_numpy` without a copy.
    """
    import pyarrow as pa

    count = math.prod(shape)
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(pa.allocate_buffer(count * dtype.itemsize), dtype, count).reshape(shape)


def from_numpy(values: Array, mask: Array | None = None) -> pa.Array:
    """Make an Arrow array of rows; numbers share their memory.

    Parameters
    ----------
    values
        Shape (rows, *cell), native byte order: booleans, numbers, complex, or text of kind U, S or O (None is null).
    mask
        Same shape; True where there is no value.
    """
    rows, cell = values.shape[0], values.shape[1:]
    flat = np.ascontiguousarray(values).reshape(-1)
    off = None if mask is None or not mask.any() else np.ascontiguousarray(mask).reshape(-1)
    return nest_cells(_make_flat(flat, off), cell, rows)


def nest_cells(values: pa.Array, cell: tuple[int, ...], rows: int) -> pa.Array:
    """Wrap the elements of ``rows`` cells into nested ``fixed_size_list``, the last axis innermost."""
    import pyarrow as pa

    for axis in range(len(cell) - 1, -1, -1):
        kind = pa.list_(values.type, cell[axis])
        values = pa.Array.from_buffers(kind, rows * math.prod(cell[:axis]), [None], children=[values])
    return values


def _make_flat(values: Array, mask: Array | None) -> pa.Array:
    """Make an Arrow array of a flat NumPy array without copying where Arrow has the same layout."""
    import pyarrow as pa

    kind = values.dtype.kind
    if kind in "iuf":
        return pa.Array.from_buffers(
            pa.from_numpy_dtype(values.dtype), values.size, [_make_validity(mask), pa.py_buffer(values)]
        )
    if kind == "b":
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), values.size, [_make_validity(mask), pa.py_buffer(bits)])
    if kind == "c":
        half = np.dtype(f"f{values.dtype.itemsize // 2}")
        parts = [
            _make_flat(np.ascontiguousarray(p.astype(half, copy=False)), None)
            for p in (np.real(values), np.imag(values))
        ]
        return pa.Array.from_buffers(arrow_type(values.dtype), values.size, [_make_validity(mask)], children=parts)
    return pa.array(values, type=arrow_type(values.dtype), mask=mask, from_pandas=False)


def _make_validity(mask: Array | None) -> Any:
    import pyarrow as pa

    return None if mask is None else pa.py_buffer(np.packbits(~mask, bitorder="little"))


def offsets_of(sizes: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Return where each row begins among the bytes or elements of all rows, and the end of the last.

    Parameters
    ----------
    sizes
        Bytes or elements of each row.

    Returns
    -------
    ndarray of int32, shape (rows + 1,)

    Raises
    ------
    LimitExceeded
        If they are more than the 32-bit integers of Arrow can count.
    """
    ends = np.cumsum(np.append(0, np.asarray(sizes, np.int64)))
    total, most = int(ends[-1]), np.iinfo(np.int32).max
    if total > most:
        msg = (
            f"{total} bytes or elements of a column are more than the {most} of one partition; use a smaller blocksize"
        )
        raise LimitExceeded(msg)
    return ends.astype(np.int32)


def make_lists(offsets: npt.NDArray[np.int32], values: pa.Array, mask: Array | None = None) -> pa.Array:
    """Make a ``list`` array.

    Parameters
    ----------
    offsets
        Where each row begins in ``values``, and the end of the last; shape (rows + 1,).
    values
        Elements of all rows.
    mask
        True for rows that are null.
    """
    import pyarrow as pa

    where = np.ascontiguousarray(offsets, np.int32)
    buffers = [_make_validity(mask), pa.py_buffer(where)]
    return pa.Array.from_buffers(pa.list_(values.type), len(where) - 1, buffers, children=[values])


def make_strings(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8], mask: Array | None = None) -> pa.Array:
    """Make a ``string`` array of UTF-8 bytes that have been validated; parameters as those of :func:`make_lists`."""
    import pyarrow as pa

    where, text = np.ascontiguousarray(offsets, np.int32), np.ascontiguousarray(data)
    return pa.Array.from_buffers(
        pa.string(), len(where) - 1, [_make_validity(mask), pa.py_buffer(where), pa.py_buffer(text)]
    )


def mask_value(array: pa.Array, value: np.generic) -> pa.Array:
    """Make every single value below all lists that equals ``value`` null; the same array where there is none.

    Parameters
    ----------
    array
        Of numbers, or of lists of them.
    value
        Of the type of the numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if not hasattr(kind, "value_type"):
        comparable = array.cast(pa.float32()) if pa.types.is_float16(kind) else array
        found = pc.equal(comparable, pa.scalar(value.item(), comparable.type))
        return pc.if_else(found, pa.scalar(None, kind), array) if pc.any(found).as_py() else array
    below = mask_value(array.values, value)
    if below is array.values:
        return array
    # Its own buffers, before those of what is below, say where elements are among all of them, wherever the array itself begins.
    buffers = array.buffers()[: len(array.buffers()) - len(array.values.buffers())]
    return pa.Array.from_buffers(kind, len(array), buffers, offset=array.offset, children=[below])


def without_nan(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Make NaN null in columns of single floats; the same batch where there is none.

    pandas takes a NaN in a column of Arrow for a value in sums and for a missing one elsewhere, and dask leaves out of the sum of a column
    whatever partition has one.

    Parameters
    ----------
    batch
        Of any columns; cells of several values stay as they are.
    """
    import pyarrow as pa

    changed = {}
    for number, array in enumerate(batch.columns):
        if pa.types.is_floating(array.type) and len(array):
            values = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())[
                array.offset : array.offset + len(array)
            ]
            gaps = np.isnan(values)
            if gaps.any():
                gaps = gaps | np.asarray(array.is_null()) if array.null_count else gaps
                buffers = [_make_validity(gaps), pa.py_buffer(values)]  # Arrow's own if_else takes 60 ns a value
                changed[number] = pa.Array.from_buffers(array.type, len(array), buffers)
    if not changed:
        return batch
    arrays = [changed.get(number, array) for number, array in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Type of the single values below all lists."""
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind


def to_numpy(array: pa.Array, column: Column) -> Array:
    """Turn rows of a column into its NumPy form: the inverse of :func:`from_numpy` and :func:`make_lists`.

    A null becomes ``column.null`` if there is one; else NaN, False, 0 or an empty text (None in object columns of text).

    Parameters
    ----------
    array
        Of ``column.type``.
    column
        Says dtype and cell.

    Returns
    -------
    ndarray, shape (rows, *cell)
    """
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column.cell is None:
        return _make_objects(array, column)
    flat = array
    for _ in column.cell:
        if flat.null_count:  # flatten() would drop the elements of null lists
            flat = flat.fill_null([None] * flat.type.list_size)
        flat = flat.flatten()
    values = _take_values(flat, column)
    return values.reshape(len(array), *column.cell)


def _take_values(flat: pa.Array, column: Column) -> Array:
    """Take values out of an Arrow array: nulls become NaN, or the column's own value for null."""
    kind = column.dtype.kind
    if kind == "c":
        real, imaginary = flat.field(0), flat.field(1)
        out = np.empty(len(flat), column.dtype)
        out.real, out.imag = (p.to_numpy(zero_copy_only=False) for p in (real, imaginary))
        if flat.null_count:
            out[~np.asarray(flat.is_valid())] = np.nan
        return out
    if kind == "O":
        objects: Array = np.array([*_list_values(flat, column), None], object)[:-1]
        return objects
    if kind in "US":
        texts = flat.fill_null("" if kind == "U" else b"") if flat.null_count else flat
        return np.array(texts.to_pylist(), column.dtype)
    if flat.null_count:
        default: Any = np.nan if kind == "f" else False if kind == "b" else 0
        fill = default if column.null is None else column.null
        flat = flat.fill_null(fill.item() if isinstance(fill, np.generic) else fill)
    found: Array = flat.to_numpy(zero_copy_only=False)
    return found.astype(column.dtype, copy=False)


def _list_values(array: pa.Array, column: Column) -> list[Any]:
    """List the values of an Arrow array as objects of Python.

    Raises
    ------
    FormatError
        If there is none for one of them: dates far away, times beyond a day.
    """
    try:
        found: list[Any] = array.to_pylist()
    except (OverflowError, ValueError) as error:
        kind = value_type(array.type)
        msg = f"column {column.name!r} has a {kind} that Python cannot hold, but a frame can (scichunk.read_table): {error}"
        raise FormatError(msg) from error
    return found


def _make_objects(array: pa.Array, column: Column) -> Array:
    """One array (or text) a row; None where the row is null."""
    out = np.full(len(array), None, object)
    if not hasattr(array.type, "value_type"):
        out[:] = _list_values(array, column)
        return out
    values, plain = _take_items(array.flatten(), column)
    if not values.flags.writeable:
        values = values.copy()
    mixed = values.dtype.kind == "O" and plain.kind in "iub"
    counts = np.asarray(array.value_lengths().fill_null(0))
    null = np.asarray(array.is_null())
    stops = np.cumsum(counts)
    for i, (stop, count) in enumerate(zip(stops.tolist(), counts.tolist(), strict=True)):
        if null[i]:
            continue
        cell = values[stop - count : stop]
        # A null in another row does not change the type of this one: which rows are read together would.
        out[i] = cell.astype(plain) if mixed and None not in cell.ravel().tolist() else cell
    return out


def _take_items(flat: pa.Array, column: Column) -> tuple[Array, np.dtype[Any]]:
    """Items of lists as one array: numbers with NaN for null, else objects with None where some are null; and their type without nulls."""
    import pyarrow as pa

    cell: list[int] = []
    count = len(flat)  # which cannot be told from the values of items without elements
    while pa.types.is_fixed_size_list(flat.type):
        size = flat.type.list_size
        cell.append(size)
        flat = (flat.fill_null([None] * size) if flat.null_count else flat).flatten()
    kind = flat.type
    dtype = dtype_of(kind)
    if dtype.kind == "O" or (dtype.kind in "iub" and flat.null_count):
        listed = _list_values(flat, column)
        found = np.empty(len(listed), object)
        found[:] = [np.array(v, object) if isinstance(v, list) else v for v in listed]
    else:
        found = _take_values(flat, Column("", kind, dtype))
    return found.reshape(count, *cell), dtype


def rows_alone(count: int) -> Any:
    """Make a record batch of rows without columns, which any other way of making one forgets."""
    import pyarrow as pa

    return pa.RecordBatch.from_struct_array(pa.nulls(count, pa.struct([])))
