"""From Arrow types to fields of a binary table, and from Arrow arrays to the bytes of rows (FITS 4.0, section 7.3)."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.tables import Column
from scichunk.errors import FormatError, UnsupportedFeature
from scichunk.tables.arrow import dtype_of
from scichunk.tables.writing import check_ends

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FITSColumnWriter", "field_for"]

Bytes = npt.NDArray[np.uint8]

_FORMS: Final = {
    "b": "L", "u1": "B", "i1": "B", "i2": "I", "u2": "I", "i4": "J",
    "u4": "J", "i8": "K", "u8": "K", "f2": "E", "f4": "E", "f8": "D", "c8": "C", "c16": "M",
}  # fmt: skip
_STORED: Final = {
    "L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16", "A": "u1",
}  # fmt: skip
_CANDIDATES: Final = 8


@dataclass
class FITSColumnWriter:
    """One column on its way into a file; what is learnt from the rows goes into it before they are written."""

    column: Column
    code: str
    """Letter of TFORM, of the elements if they are in the heap."""
    cell: tuple[int, ...]
    variable: bool
    dtype: np.dtype[Any]
    """Of single values."""
    text: int = 0
    """Bytes of the longest text."""
    fixed_text: bool = False
    """Whether that is known."""
    null: int | None = None
    candidates: list[int] = field(default_factory=list)
    """Values that may stand for null: those that do not occur."""
    has_null: bool = False
    longest: int = 0
    """Elements of the longest array of variable length."""
    offset: int = 0

    @property
    def settled(self) -> bool:
        """Whether rows can be written without having seen all of them."""
        return (self.code != "A" or self.variable or self.fixed_text) and not self.candidates

    @property
    def repeat(self) -> int:
        """Elements in a row."""
        return math.prod(self.cell) * (self.text if self.code == "A" else 1)

    @property
    def width(self) -> int:
        """Bytes in a row."""
        if self.variable:
            return 16
        if self.code == "X":
            return -(-self.repeat // 8)
        return self.repeat * np.dtype(_STORED[self.code]).itemsize

    @property
    def zero(self) -> int:
        """TZERO of the conventions for unsigned integers and signed bytes."""
        # FITS has signed integers of 16 bits and more, and unsigned bytes; the others are shifted by TZERO (table 19).
        if self.dtype.kind == "u" and self.dtype.itemsize > 1:
            return 1 << (8 * self.dtype.itemsize - 1)
        return -128 if self.dtype == np.int8 else 0

    def column_cards(self) -> list[tuple[str, Any]]:
        """Keywords without their number."""
        form = f"1Q{self.code}({self.longest})" if self.variable else f"{self.repeat}{self.code}"
        found: list[tuple[str, Any]] = [("TTYPE", self.column.name), ("TFORM", form)]
        shape = (*self.cell, self.text) if self.code == "A" else self.cell
        # TDIM is needed where TFORM does not say the shape: cells of several axes, and arrays of one element, which are no scalars.
        if not self.variable and (len(shape) > 1 or shape == (1,)):
            found.append(("TDIM", f"({','.join(str(n) for n in reversed(shape))})"))
        scale, zero = self.column.encoding.get("tscal"), self.column.encoding.get("tzero")
        if self.dtype.kind in "iufc" and not self.variable and (scale or zero):
            # of what is stored, which is the values less the zero of their type
            found += [("TSCAL", float(scale or 1)), ("TZERO", float(zero or 0) + float(scale or 1) * self.zero)]
        elif self.zero:
            found.append(("TZERO", self.zero))
        declared = self.column.attrs.get("null") if self.variable and self.dtype.kind in "iu" else None
        if self.null is not None or declared is not None:
            null = _whole(declared) if self.null is None else self.null - self.zero
            found += [] if null is None else [("TNULL", null)]
        return found

    # ---- looking at rows

    def observe(self, array: pa.Array) -> None:
        """Learn from rows what the header needs."""
        flat = _flatten_cells(array)
        if self.code == "A" and not self.fixed_text and not self.variable and len(flat):
            import pyarrow.compute as pc

            self.text = max(self.text, pc.max(pc.binary_length(flat)).as_py() or 0)
        if self.dtype.kind in "iu":
            self.has_null |= flat.null_count > 0
            # Values from both ends of the type are taken as candidates: those that occur fall out, and the first that is left is TNULL.
            if self.candidates and len(flat) > flat.null_count:
                import pyarrow as pa
                import pyarrow.compute as pc

                found = pc.filter(flat, pc.is_in(flat, pa.array(self.candidates, flat.type)))
                there = set(pc.unique(found).to_pylist()) if len(found) else set()
                self.candidates = [c for c in self.candidates if c not in there]

    def settle(self) -> None:
        """Choose what nulls are written as.

        Raises
        ------
        UnsupportedFeature
            If every value that could stand for null occurs.
        """
        if self.code == "A" and not self.variable:
            self.text = max(1, self.text)
        if self.dtype.kind in "iu" and self.null is None and self.has_null:
            if not self.candidates:
                msg = f"column {self.column.name!r} has nulls, and no value is left that could stand for them"
                raise UnsupportedFeature(msg)
            self.null = self.candidates[0]
        self.candidates = []

    # ---- writing rows

    def put_cells(self, array: pa.Array, rows: Bytes, heap: int) -> bytes:
        """Write a column of rows into their bytes; returns what goes into the heap, which has ``heap`` bytes already."""
        if self.variable:
            return self._put_variable(array, rows, heap)
        target = rows[:, self.offset : self.offset + self.width]
        flat = _flatten_cells(array)
        if self.code == "A":
            target[...] = self._encode_texts(flat).reshape(len(rows), -1)
        elif self.code == "X":
            target[...] = np.packbits(self._encode_elements(flat).reshape(len(rows), -1) == ord("T"), axis=1)
        elif self.width:
            target[...] = self._encode_elements(flat).view(np.uint8).reshape(len(rows), -1)
        return b""

    def _put_variable(self, array: pa.Array, rows: Bytes, heap: int) -> bytes:
        """Write descriptors into the rows; return the elements for the heap."""
        import pyarrow as pa

        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            check_ends(array, self.column.name)
            texts = [(t or "").encode() for t in array.to_pylist()]
            counts, data = np.array([len(t) for t in texts], np.int64), b"".join(texts)
            size = 1
        else:
            import pyarrow.compute as pc

            counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
            elements = self._encode_elements(array.flatten())
            data, size = elements.tobytes(), elements.dtype.itemsize
        ends = np.cumsum(counts) * size
        # Arrays of no elements need no place in the heap; 0 is one that is always there.
        pair = np.stack([counts, np.where(counts > 0, heap + ends - counts * size, 0)], axis=1)
        rows[:, self.offset : self.offset + 16] = pair.astype(">i8").view(np.uint8)
        self.longest = max(self.longest, int(counts.max(initial=0)))
        return data

    def _encode_texts(self, flat: pa.Array) -> Bytes:
        """Texts of one length, filled up with NUL."""
        check_ends(flat, self.column.name)
        out = np.zeros((len(flat), self.text), np.uint8)
        encoded = [(t or "").encode() for t in flat.to_pylist()]
        longest = max(map(len, encoded), default=0)
        if longest > self.text:
            msg = f"a text of {longest} bytes in column {self.column.name!r} of {self.text}"
            raise FormatError(msg)
        if self.text and encoded:
            out[...] = np.array(encoded, f"S{self.text}").view(np.uint8).reshape(len(encoded), self.text)
        return out

    def _encode_elements(self, flat: pa.Array) -> npt.NDArray[Any]:
        """Values as they are stored: big-endian, nulls replaced."""
        stored = np.dtype(_STORED["L" if self.code == "X" else self.code])
        if self.code in "LX":
            nulls = np.asarray(flat.is_null())
            values = flat.fill_null(False).to_numpy(zero_copy_only=False)
            logical: Bytes = np.where(nulls, 0, np.where(values, ord("T"), ord("F"))).astype(np.uint8)
            return logical
        if self.code in "CM":
            half = stored.newbyteorder("=").type(0).real.dtype
            parts = [flat.field(i).to_numpy(zero_copy_only=False).astype(half) for i in range(2)]
            found = np.empty(len(flat), stored)
            found.real, found.imag = parts
            if flat.null_count:
                found[np.asarray(flat.is_null())] = np.nan
            return found
        if self.dtype.kind == "f":
            return np.asarray(flat.to_numpy(zero_copy_only=False)).astype(stored)
        filled = flat.fill_null(0) if flat.null_count else flat
        values = np.array(filled.to_numpy(zero_copy_only=False), self.dtype)
        self._check_null(flat, values)
        if self.zero:
            unsigned = values.view(f"u{values.dtype.itemsize}")
            turned = np.bitwise_xor(unsigned, unsigned.dtype.type(1 << (8 * unsigned.dtype.itemsize - 1)))
            swapped: npt.NDArray[Any] = turned.view(stored.newbyteorder("=")).astype(stored)
            return swapped
        return values.astype(stored)

    def _check_null(self, flat: pa.Array, values: npt.NDArray[Any]) -> None:
        """Replace nulls; refuse values that would become null."""
        nulls = np.asarray(flat.is_null()) if flat.null_count else None
        if self.null is None:
            if nulls is not None:
                msg = f"column {self.column.name!r} has nulls, but no value stands for them"
                raise FormatError(msg)
            return
        same = values == self.null
        if nulls is not None:
            same &= ~nulls
        if same.any():
            msg = f"{self.null} in column {self.column.name!r} would become null"
            raise FormatError(msg)
        if nulls is not None:
            values[nulls] = self.null


def _flatten_cells(array: pa.Array) -> pa.Array:
    """Elements of fixed cells; those of null cells are null."""
    import pyarrow as pa

    while pa.types.is_fixed_size_list(array.type):
        if array.null_count:
            array = array.fill_null([None] * array.type.list_size)
        array = array.flatten()
    return array


def field_for(column: Column) -> FITSColumnWriter:
    """Choose the form of a column.

    Raises
    ------
    UnsupportedFeature
        If FITS has none for its type.
    """
    import pyarrow as pa

    kind, cell, variable = column.type, [], False
    while pa.types.is_fixed_size_list(kind):
        cell.append(kind.list_size)
        kind = kind.value_type
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and not cell:
        kind, variable = kind.value_type, True
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if variable:
            msg = f"column {column.name!r}: lists of texts have no form in FITS"
            raise UnsupportedFeature(msg)
        form = str(column.encoding.get("tform", ""))
        # Texts that came from a heap go back into one.
        variable = form.upper().lstrip("01").startswith(("PA", "QA"))
        width = _known_width(column)
        return FITSColumnWriter(column, "A", tuple(cell), variable, np.dtype("S"), width or 0, fixed_text=bool(width))
    dtype = dtype_of(kind)
    if dtype.kind == "O":
        hint = (
            ": numbers have one (decode_times=False keeps those of a file), texts too"
            if pa.types.is_temporal(kind)
            else ""
        )
        msg = f"column {column.name!r} of type {kind} has no form in FITS{hint}"
        raise UnsupportedFeature(msg)
    code = _FORMS["b" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"]
    if code == "L" and cell and str(column.encoding.get("tform", "")).upper().endswith("X"):
        code = "X"
    found = FITSColumnWriter(column, code, tuple(cell), variable, dtype)
    if dtype == np.uint64 and not variable and (column.encoding.get("tscal") or column.encoding.get("tzero")):
        msg = f"column {column.name!r}: unsigned integers of 64 bits that are to be scaled have no form in FITS: scale them"
        raise UnsupportedFeature(msg)
    if dtype.kind in "iu" and not variable:
        info = np.iinfo(dtype)
        low, high = int(info.min), int(info.max)
        if column.null is not None:
            found.null = int(column.null)
        elif (declared := _whole(column.encoding.get("tnull"))) is not None and "tscal" not in column.encoding:
            found.null = declared + found.zero
        if found.null is None or not low <= found.null <= high:  # headers declare values that the type does not have
            found.null = None
            found.candidates = [*range(low, low + _CANDIDATES), *range(high, high - _CANDIDATES, -1)]
    return found


def _whole(value: Any) -> int | None:
    """Return what is declared to be null as an integer; None if it is none: in ASCII tables it may be any text."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return int(str(value))
    return None


def _known_width(column: Column) -> int:
    """Bytes of a text if the array's type says them; each may be an ASCII character only if it came from FITS."""
    form = str(column.encoding.get("tform", "")).upper()
    return column.dtype.itemsize // 4 if column.dtype.kind == "U" and form.endswith("A") else 0
