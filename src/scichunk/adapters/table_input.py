"""Datasets and frames on their way into a file: columns, and batches of rows one after another."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from scichunk.core.files import STORED_DTYPE, STORED_FILL
from scichunk.core.tables import Column, TableStream
from scichunk.errors import FormatError, ScichunkError, UnsupportedFeature, located
from scichunk.tables.arrow import arrow_type, dtype_of, from_numpy, make_lists, rows_alone, value_type
from scichunk.tables.nulls import LOGICAL

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr

__all__ = ["table_stream"]

_BATCH_BYTES: Final = 1 << 25  # bytes of rows that are in memory at once
_FILL = "_FillValue"
_Made = TypeVar("_Made")


def table_stream(obj: Any) -> TableStream:
    """Turn what a user has into a table to be written; nothing is computed before the batches are asked for.

    Parameters
    ----------
    obj
        ``xarray.Dataset`` (variables that share their first dimension), ``dask.dataframe.DataFrame``, ``pandas.DataFrame``,
        ``pyarrow.Table`` or ``pyarrow.RecordBatch``.

    Raises
    ------
    TypeError
        If it is none of these, or variables do not share their first dimension.
    """
    import pandas as pd
    import pyarrow as pa
    import xarray as xr

    if isinstance(obj, xr.Dataset):
        return _from_dataset(obj)
    if isinstance(obj, pd.DataFrame):
        return _from_frames(obj, obj, iter([obj]), len(obj))
    if isinstance(obj, pa.RecordBatch):
        obj = pa.Table.from_batches([obj])
    if isinstance(obj, pa.Table):
        table = obj
        return TableStream(_arrow_columns(table.schema, {}), iter(table.to_batches(1 << 20)), {}, table.num_rows)
    if hasattr(obj, "to_delayed") and isinstance(getattr(obj, "_meta", None), pd.DataFrame):
        # Of a frame of one partition that is filtered by its own column, dask's `partitions[0]` is that column alone.
        whole = obj.npartitions == 1
        parts = (obj.compute() if whole else obj.partitions[i].compute() for i in range(obj.npartitions))
        return _from_frames(obj, obj._meta, parts, None)  # noqa: SLF001  # dask's own name for types without rows
    msg = f"expected a Dataset, a dask or pandas DataFrame or a pyarrow Table, got {type(obj).__name__}"
    raise TypeError(msg)


def _arrow_columns(schema: pa.Schema, attrs: Mapping[str, Mapping[str, Any]]) -> tuple[Column, ...]:
    return tuple(Column(f.name, f.type, np.dtype(object), None, _named(attrs.get(f.name, {}))) for f in schema)


def _named(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes by texts: xarray and pandas take names of any kind."""
    return {str(name): value for name, value in attrs.items()}


def _from_frames(obj: Any, meta: Any, parts: Iterator[Any], rows: int | None) -> TableStream:
    """Frames of pandas one after another; all have the types of the first that has rows."""
    import pyarrow as pa

    from scichunk.adapters.columns import COLUMNS, TABLE, columns

    first = next(parts)
    filled = first
    while not len(filled) and (more := next(parts, None)) is not None:
        filled = more
    keep = any(name is not None for name in meta.index.names)
    table = _arrow_table(filled, keep)
    schema = pa.schema([f if not pa.types.is_null(f.type) else f.with_type(pa.string()) for f in table.schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for frame in itertools.chain([filled], parts):
            if not len(schema):
                yield rows_alone(len(frame))
                continue
            yield from _arrow_table(frame, keep, schema).to_batches(1 << 20)

    computed: Mapping[str, Any] = first.attrs.get(COLUMNS) or {}  # where a function of the user's made the partitions
    known = columns(obj)
    attributes = {str(name): attrs or computed.get(name, {}) for name, attrs in known.items()}
    others = _named(known.attrs) | _named({k: v for k, v in meta.attrs.items() if k not in {COLUMNS, TABLE}})
    return TableStream(_arrow_columns(schema, attributes), batches(), others, rows)


def _with_texts_for_names(frame: Any) -> Any:
    """Return a frame whose columns and index have texts for names, as Arrow has them."""
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    names = [name if name is None else str(name) for name in frame.index.names]
    return frame if names == list(frame.index.names) else frame.set_axis(frame.index.set_names(names), axis=0)


def _arrow_table(frame: Any, keep: bool, schema: pa.Schema | None = None) -> pa.Table:
    """Make a table of Arrow of a frame of pandas; with the types of another one, if these are given.

    Raises
    ------
    FormatError
        If the frame does not have these columns and types.
    UnsupportedFeature
        If Arrow has no type for a column.
    """
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(_with_texts_for_names(frame), schema=schema, preserve_index=keep)
    except MemoryError:  # that of Arrow is an ArrowException, too
        raise
    except (pa.ArrowException, KeyError, TypeError, ValueError, OverflowError) as error:
        if schema is None:
            msg = f"the frame has a column for which Arrow has no type: {error}"
            raise UnsupportedFeature(msg) from error
        msg = f"a partition of the frame does not have the columns and types of the first one: {error}"
        raise FormatError(msg) from error


def _from_dataset(ds: xr.Dataset) -> TableStream:
    """Read the variables of a dataset that lie along its rows as columns."""
    names = [str(n) for n in ds.variables]
    dims = {v.dims[:1] for v in ds.variables.values()}
    if not names:
        return TableStream((), iter(()), _named(ds.attrs), 0)
    if len(dims) != 1 or dims == {()}:
        msg = f"the variables of a table share their first dimension; here they begin with {sorted(map(str, dims))}"
        raise TypeError(msg)
    (row,) = next(iter(dims))
    rows = int(ds.sizes[row])
    cuts = _find_cuts(ds, str(row), rows)
    first = _load_rows(ds, str(row), 0, cuts[1] if len(cuts) > 1 else 0)
    columns = tuple(_converted(n, _describe_column, n, ds.variables[n], first[n]) for n in names)

    def batches() -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = pa.schema([(c.name, c.type) for c in columns])
        for start, stop in itertools.pairwise(cuts):
            values = first if start == 0 else _load_rows(ds, str(row), start, stop)
            arrays = [_converted(c.name, _to_arrow, values[c.name], c) for c in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return TableStream(columns, batches(), _named(ds.attrs), rows)


def _converted(name: str, convert: Callable[..., _Made], *given: Any) -> _Made:
    """Call what converts a variable; errors of libraries about its values become ours, with its name."""
    import pyarrow as pa

    with located(part=f"column {name!r}"):
        try:
            return convert(*given)
        except (ScichunkError, MemoryError):
            raise
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            msg = f"values that have no form in a table: {error}"
            raise FormatError(msg) from error


def _find_cuts(ds: xr.Dataset, row: str, rows: int) -> list[int]:
    """Choose where batches begin and end: about 32 MB each, on borders of dask's chunks where there are any."""
    each = max(1, sum(v.nbytes for v in ds.variables.values()) // max(1, rows))
    step = max(1, _BATCH_BYTES // each)
    chunked = next((v.chunksizes[row] for v in ds.variables.values() if v.chunks), None)
    if chunked is None:
        return [*range(0, rows, step), rows] if rows else [0]
    found, borders = [0], np.cumsum(chunked).tolist()
    for border, following in zip(borders, [*borders[1:], None], strict=True):
        if following is None or following - found[-1] > step:
            found += [*range(found[-1] + max(step, border - found[-1]), border, step), border]
    return found


def _load_rows(ds: xr.Dataset, row: str, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
    """Values of some rows; chunks of dask are computed together."""
    part = ds.isel({row: slice(start, stop)}).compute()
    return {str(n): np.asarray(v.values) for n, v in part.variables.items()}


def _describe_column(name: str, variable: xr.Variable, sample: npt.NDArray[Any]) -> Column:
    """The column of a variable; integers that were masked become integers with nulls again."""
    attrs, encoding = _named(variable.attrs), dict(variable.encoding)
    fill = attrs.pop(_FILL, None)
    if STORED_FILL in encoding:
        encoding |= {_FILL: encoding.pop(STORED_FILL), "dtype": encoding.pop(STORED_DTYPE)}
    stored = (
        np.dtype(encoding.get("dtype", "O")) if not isinstance(encoding.get("dtype"), str | type) else np.dtype("O")
    )
    if encoding.get(LOGICAL) and variable.dtype.kind in "if":
        form: np.dtype[Any] = np.dtype(bool)
        return Column(name, arrow_type(form, variable.shape[1:]), form, variable.shape[1:], attrs, encoding, fill)
    if fill is None and stored.kind in "iu" and variable.dtype.kind == "f" and _FILL in encoding:
        fill = encoding[_FILL]
        form = np.dtype(stored).newbyteorder("=")
        return Column(name, arrow_type(form, variable.shape[1:]), form, variable.shape[1:], attrs, encoding, fill)
    cell = variable.shape[1:]
    if variable.dtype.kind == "O":
        kind = _object_type(sample, cell)
        return Column(name, kind, np.dtype(object), cell or None, attrs, encoding)
    dtype = variable.dtype
    for key, label in (("scale_factor", "tscal"), ("add_offset", "tzero")):
        encoding.pop(label, None)  # of the file that the values came from; they are scaled unless the attributes say so
        if (value := attrs.pop(key, None)) is not None:
            encoding[label] = float(np.asarray(value).reshape(()).item())
    fill = _as_integer(fill, dtype) if dtype.kind in "iu" else None
    kind = arrow_type(np.dtype(object), cell) if dtype.kind in "ST" else _time_or(dtype, cell)
    return Column(name, kind, dtype, cell, attrs, encoding, fill)


def _as_integer(fill: Any, dtype: np.dtype[Any]) -> Any:
    """Return a fill value as an integer of a type; None if it is none, so that no value equals it."""
    if fill is None or np.size(fill) != 1:
        return None
    one = np.asarray(fill).reshape(-1)[0]
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        found = dtype.type(one)
        return found if found == one else None
    return None


def _time_or(dtype: np.dtype[Any], cell: tuple[int, ...]) -> pa.DataType:
    import pyarrow as pa

    if dtype.kind in "mM":
        kind = pa.from_numpy_dtype(dtype)
        for length in reversed(cell):
            kind = pa.list_(kind, length)
        return kind
    return arrow_type(dtype, cell)


def _object_type(sample: npt.NDArray[Any], cell: tuple[int, ...]) -> pa.DataType:
    """Type of cells that are Python objects: texts, or arrays of variable length."""
    import pyarrow as pa

    found = next((v for v in sample.reshape(-1) if v is not None), "")
    if isinstance(found, np.ndarray | list | tuple):
        filled = [np.asarray(v) for v in sample.reshape(-1) if v is not None and len(v)] or [np.asarray(found)]
        kinds = dict.fromkeys(map(_element_dtype, filled))
        known = [k for k in kinds if k.kind != "O"] or [np.dtype(object)]
        kind, values = np.result_type(*known) if all(k.kind in "biufc" for k in known) else known[0], filled[0]
        one = np.dtype(object) if kind.kind in "OUS" else kind.newbyteorder("=")
        return pa.list_(arrow_type(one, values.shape[1:]))
    return arrow_type(np.dtype(object), cell)


def _element_dtype(values: npt.NDArray[Any]) -> np.dtype[Any]:
    """Type of the elements of an array; of those of objects, as there are with nulls among them, of all that are there."""
    if values.dtype.kind != "O":
        return values.dtype
    known = [v for v in values.reshape(-1) if v is not None]
    return np.asarray(known).dtype if known else values.dtype


def _to_arrow(values: npt.NDArray[Any], column: Column) -> pa.Array:
    """Rows of a variable as Arrow; the fill value, and NaN of integers that were masked, are null."""
    import pandas as pd
    import pyarrow as pa

    dtype = column.dtype
    if dtype.kind == "b" and values.dtype.kind != "b":
        null = np.isnan(values) | (values == column.null if column.null is not None else False)
        return _without_empty_cells(from_numpy((values != 0) & ~null, null), null)
    if dtype.kind in "iu" and values.dtype.kind == "f":
        mask = np.isnan(values)
        return from_numpy(_to_integers(np.where(mask, 0, values), column), mask)
    if dtype.kind in "iu" and column.null is not None:
        return from_numpy(values, values == column.null)
    if dtype.kind in "ST":
        texts = np.char.decode(values, "utf-8") if dtype.kind == "S" else values.astype(object)
        return from_numpy(np.asarray(texts, object))
    if pa.types.is_list(column.type) and dtype.kind == "O":
        return _make_lists(values, column.type)
    if dtype.kind == "O":  # texts: xarray leaves NaN for None behind
        null, texts = pd.isna(values), values.copy()
        texts[null] = None
        return _without_empty_cells(from_numpy(texts), null)
    if dtype.kind in "mM":
        return pa.array(list(values) if values.ndim > 1 else values, column.type)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return from_numpy(values.astype(object) if dtype.kind == "U" and _has_inner_nul(values) else values)


def _has_inner_nul(texts: npt.NDArray[np.str_]) -> bool:
    """Whether there is a NUL before the end of a text: Arrow takes it for the end where NumPy does not."""
    codes = np.ascontiguousarray(texts).reshape(-1, 1).view(np.uint32)
    return bool(((codes[:, :-1] == 0) & (codes[:, 1:] != 0)).any())


def _without_empty_cells(array: pa.Array, null: npt.NDArray[np.bool_]) -> pa.Array:
    """Make cells null of which all elements are: bits have no other null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = null.reshape(len(null), -1).all(axis=1) if null.ndim > 1 and null.size else np.zeros(0, bool)
    return pc.if_else(pa.array(empty), pa.scalar(None, array.type), array) if empty.any() else array


def _to_integers(values: npt.NDArray[Any], column: Column) -> npt.NDArray[Any]:
    """Make integers again of floats that were integers when they were read."""
    with np.errstate(invalid="ignore"):
        whole = values.astype(column.dtype)
    if (odd := whole != values).any():
        msg = (
            f"column {column.name!r} was read as {column.dtype} and holds {values[odd][0]}, which is none: delete 'dtype' from the "
            "encoding of the variable to write floats"
        )
        raise FormatError(msg)
    return whole


def _make_lists(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Make an Arrow array of lists of NumPy objects, one for each row."""
    import pyarrow as pa

    mask = np.array([v is None for v in values], bool)
    inner = value_type(kind)
    cell: list[int] = []
    item = kind.value_type
    while pa.types.is_fixed_size_list(item):
        cell.append(item.list_size)
        item = item.value_type
    listed = [np.asarray(v) for v in values if v is not None]
    if pa.types.is_string(inner) or any(v.dtype.kind == "O" for v in listed):
        return pa.array([None if v is None else np.asarray(v, object).tolist() for v in values], kind)
    counts = np.array([0 if v is None else len(v) for v in values], np.int64)
    dtype = dtype_of(inner)
    flat = np.concatenate([np.empty((0, *cell), dtype), *(_as_items(v, dtype, tuple(cell)) for v in listed)])
    offsets = np.append(0, np.cumsum(counts)).astype(np.int32)
    return make_lists(offsets, from_numpy(flat), mask if mask.any() else None)


def _as_items(values: npt.NDArray[Any], dtype: np.dtype[Any], cell: tuple[int, ...]) -> npt.NDArray[Any]:
    """Give the array of one row the type and the items of the first rows; what would become other values is refused."""
    with np.errstate(invalid="ignore", over="ignore"):
        found = values.astype(dtype)
    if values.size and values.shape[1:] != cell:
        msg = f"a cell of shape {values.shape}, where items of the first rows have the shape {cell}"
        raise FormatError(msg)
    if not np.can_cast(values.dtype, dtype) and not np.array_equal(found, values, equal_nan=dtype.kind in "fc"):
        msg = f"a cell of {values.dtype} with values that are no {dtype}, which the first rows hold"
        raise FormatError(msg)
    return found.reshape(-1, *cell)
