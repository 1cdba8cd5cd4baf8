"""Which rows of a table are wanted: filters in the way of ``dask.dataframe.read_parquet``, on the types that columns have."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import UnsupportedFeature

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Filters", "check_filters", "filter_rows", "nest_filters"]

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: Final = (*_COMPARISONS, "in", "not in")
Filters = Sequence[Any] | None
"""``[(column, operator, value), ...]``, all of which must hold; or a list of such lists, of which one must."""


def nest_filters(filters: Filters) -> list[list[tuple[str, str, Any]]] | None:
    """Return filters as a list of lists.

    Raises
    ------
    ValueError
        If they are no filters.
    """
    if not filters:
        return None
    found: list[list[tuple[str, str, Any]]]
    try:
        groups: Any = [filters] if isinstance(filters[0], tuple) or isinstance(filters[0][0], str) else filters
        found = [[(name, word, _keep(value)) for name, word, value in group] for group in groups]
    except (TypeError, ValueError, IndexError):
        found = [[("", "", None)]]  # no word of these, hence told below
    if any(not isinstance(name, str) or word not in _OPERATORS for group in found for name, word, _ in group):
        words = ", ".join(_OPERATORS)
        msg = f'filters are [(column, operator, value), ...], for example [("mag", "<", 15)], with {words}; got {filters!r}'
        raise ValueError(msg)
    return found


def _keep(value: Any) -> Any:
    """Return a value that can be looked at by each partition: what gives its items once is a list."""
    return list(value) if hasattr(value, "__next__") else value


def check_filters(schema: pa.Schema, filters: Sequence[Sequence[tuple[str, str, Any]]]) -> None:
    """Look whether rows can be chosen by filters, before any are read.

    Raises
    ------
    UnsupportedFeature
        If a column has complex numbers, or several values in a cell.
    TypeError
        If its values cannot be compared with what they should be compared with.
    """
    import pyarrow as pa

    for group in filters:
        for name, word, value in group:
            kind = schema.field(name).type
            if pa.types.is_nested(kind):
                what = "complex numbers" if pa.types.is_struct(kind) else "several values in a cell"
                msg = f"filters by the column {name!r}, which has {what} ({kind}); filter the frame instead"
                raise UnsupportedFeature(msg)
            try:
                pa.Table.from_arrays([pa.array([], kind)], [name]).filter(_make_condition(kind, name, word, value))
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                msg = f"the filter {(name, word, value)!r}: a column of {kind} cannot be compared so: {error}"
                raise TypeError(msg) from error


def filter_rows(
    batch: pa.RecordBatch, filters: Sequence[Sequence[tuple[str, str, Any]]]
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """Return the rows that at least one group of filters wants, and their places."""
    import pyarrow as pa

    number = "number of the row"
    while number in batch.schema.names:
        number += "_"
    groups = [
        reduce(operator.and_, [_make_condition(batch.schema.field(n).type, n, w, v) for n, w, v in group])
        for group in filters
    ]
    numbers = pa.array(np.arange(batch.num_rows))
    kept = pa.Table.from_batches([batch]).append_column(number, numbers).filter(reduce(operator.or_, groups))
    places = kept.column(number).to_numpy()
    kept = kept.drop_columns([number]).combine_chunks()
    arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in kept.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=kept.schema), places


def _make_condition(kind: pa.DataType, name: str, word: str, value: Any) -> Any:
    """Make the expression of one filter."""
    import pyarrow as pa
    import pyarrow.compute as pc

    field = pc.field(name)
    if word in {"in", "not in"}:
        if isinstance(value, str | bytes):
            msg = "a list of values is wanted, not a text"
            raise TypeError(msg)
        wanted = value
        if pa.types.is_integer(kind):
            values = [_to_python(v) for v in value]
            if all(v is None or _is_number(v) for v in values):
                fitting = [v if v is None else int(v) for v in values if v is None or _fits(v, kind)]
                wanted = pa.array(fitting, kind)
        found = field.isin(wanted)
        return found if word == "in" else ~found
    if pa.types.is_integer(kind) and _is_number(_to_python(value)):
        return _compare_integers(field, kind, word, _to_python(value))
    return _COMPARISONS[word](field, value)


def _to_python(value: Any) -> Any:
    """Return a number of NumPy as one of Python, which compares integers and floats exactly."""
    return value.item() if isinstance(value, np.number) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a number is one of the integers of a type."""
    info = np.iinfo(kind.to_pandas_dtype())
    return bool(math.isfinite(value)) and int(value) == value and info.min <= int(value) <= info.max


def _compare_integers(field: Any, kind: pa.DataType, word: str, value: Any) -> Any:
    """Compare integers with a number exactly: Arrow makes both of a common type, of which not all of them are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    info = np.iinfo(kind.to_pandas_dtype())
    nothing, everything = pc.scalar(False), field.is_valid()
    if math.isnan(value):
        return everything if word == "!=" else nothing
    whole = math.floor(value) if math.isfinite(value) else int(info.max) + 1 if value > 0 else int(info.min) - 1
    if whole != value:  # less than 2.5 is 2 at most
        if word in {"=", "==", "!="}:
            return everything if word == "!=" else nothing
        word = {"<": "<=", ">=": ">"}.get(word, word)
    if info.min <= whole <= info.max:
        return _COMPARISONS[word](field, pa.scalar(whole, kind))
    return everything if word == "!=" or word[0] == ("<" if whole > info.max else ">") else nothing
