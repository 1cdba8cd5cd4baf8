"""Fields as columns, and decoded rows of one field on their way into Arrow and NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scichunk.core.tables import Column
from scichunk.errors import LimitExceeded
from scichunk.formats.votable.document.structure import Field
from scichunk.tables.arrow import arrow_type, from_numpy, make_lists, make_strings, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnPart", "column_of", "declared_null", "find_sentinel", "join_arrow", "read_null"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class ColumnPart:
    """Decoded rows of one field."""

    rows: int
    values: Array
    """Elements of all rows one behind the other: booleans, numbers, complex; of texts, their UTF-8 bytes."""
    null: Mask | None = None
    """Elements that are null."""
    row_null: Mask | None = None
    """Rows that are null as a whole."""
    texts: npt.NDArray[np.int32] | None = None
    """Where each text begins in ``values``, and the end of the last."""
    offsets: npt.NDArray[np.int32] | None = None
    """Items before each row, and all of them; None where every row has one cell of fixed shape."""

    def to_arrow(self, item: tuple[int, ...]) -> pa.Array:
        """Make the Arrow array; ``item`` is the fixed shape of a cell, or of each of its items."""
        if self.texts is not None:
            single = self.null is None and not item and self.offsets is None
            found = make_strings(self.texts, self.values, self.row_null if single else self.null)
        else:
            one = not item and self.offsets is None
            found = from_numpy(self.values, _either_mask(self.null, self.row_null) if one else self.null)
        count = self.rows if self.offsets is None else int(self.offsets[-1])
        for axis in range(len(item) - 1, -1, -1):
            outermost = axis == 0 and self.offsets is None
            found = _make_fixed(found, item[axis], count * math.prod(item[:axis]), self.row_null if outermost else None)
        return found if self.offsets is None else make_lists(self.offsets, found, self.row_null)

    def to_numpy(self, column: Column, field: Field) -> tuple[Array, int]:
        """Make the NumPy form; returns it and how many nulls were filled with a value that the file does not declare."""
        item = field.shape.item
        if self.texts is not None or self.offsets is not None:
            return to_numpy(self.to_arrow(item), column), 0
        values = self.values.reshape(self.rows, *item)
        null = None if self.null is None else self.null.reshape(values.shape)
        if self.row_null is not None and self.row_null.any():
            spread = np.broadcast_to(self.row_null.reshape(-1, *(1 for _ in item)), values.shape)
            null = _either_mask(null, spread)
        if null is None or not null.any():
            return values, 0
        fill = column.null if column.null is not None else find_sentinel(values.dtype)
        lost = int(null.sum()) if column.null is None and values.dtype.kind in "iub" else 0
        return np.where(null, values.dtype.type(fill), values), lost


def _either_mask(a: Mask | None, b: Mask | None) -> Mask | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


def _make_fixed(values: pa.Array, size: int, rows: int, null: Mask | None) -> pa.Array:
    import pyarrow as pa

    validity = None if null is None or not null.any() else pa.py_buffer(np.packbits(~null, bitorder="little"))
    return pa.Array.from_buffers(pa.list_(values.type, size), rows, [validity], children=[values])


def join_arrow(parts: list[ColumnPart], item: tuple[int, ...], kind: pa.DataType) -> pa.Array:
    """One array of consecutive parts, which are given up."""
    import pyarrow as pa

    if not parts:
        return pa.array([], kind)
    arrays = []
    while parts:
        arrays.append(parts.pop(0).to_arrow(item))
    try:
        return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
    except pa.ArrowInvalid as error:
        msg = f"a partition with more than Arrow's arrays hold, a smaller blocksize helps: {error}"
        raise LimitExceeded(msg) from None


def find_sentinel(dtype: np.dtype[Any]) -> Any:
    """What stands for null in NumPy form where the file declares nothing."""
    if dtype.kind in "fc":
        return np.nan
    if dtype.kind == "i":
        return np.iinfo(dtype).min
    return np.iinfo(dtype).max if dtype.kind == "u" else False


def declared_null(field: Field) -> Any:
    """Value that the file declares to be null, of the field's type; None if there is none, or it is no number."""
    if field.null is None or field.kind not in {"u1", "i2", "i4", "i8", "f4", "f8"}:
        return None
    return read_null(field.null, np.dtype(field.kind))


def read_null(text: str, dtype: np.dtype[Any]) -> Any:
    """Read what VALUES declares to be null as a value of a type; None if it is no number, or none that the type holds."""
    try:
        if dtype.kind == "f":
            number = float(text)
            with np.errstate(over="ignore"):
                found = dtype.type(number)
            return found if np.isinf(found) == math.isinf(number) else None
        return dtype.type(int(text, 16 if text.lower().startswith("0x") else 10)) if dtype.kind in "iu" else None
    except (ValueError, OverflowError):
        return None


def column_of(field: Field, attrs: dict[str, Any], encoding: dict[str, Any]) -> Column:
    """Describe a field as a column: its Arrow type and NumPy form."""
    shape = field.shape
    dtype = np.dtype(object if field.is_text else field.kind)
    kind = arrow_type(dtype, shape.item)
    null = declared_null(field)
    if shape.variable:
        import pyarrow as pa

        return Column(field.name, pa.list_(kind), np.dtype(object), None, attrs, encoding, None)
    if dtype.kind == "f":
        null = None  # NaN in NumPy form
    return Column(field.name, kind, dtype, shape.item, attrs, encoding, null)
