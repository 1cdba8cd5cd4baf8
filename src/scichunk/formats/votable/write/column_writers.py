"""Columns on their way into a BINARY2 stream: their FIELD, and the bytes of their cells (VOTable 1.5, sections 2.1 and 5.4)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.limits import check_decoded
from scichunk.core.tables import Column
from scichunk.errors import FormatError, UnsupportedFeature
from scichunk.formats.votable.values.column_part import find_sentinel, read_null
from scichunk.formats.votable.write.xml_text import escape_text, plain_text, quote_value
from scichunk.tables.arrow import dtype_of
from scichunk.tables.writing import check_ends

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Piece", "VOTableColumnWriter"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Piece = tuple[Bytes, "Ints | int"]
"""Bytes of all rows one behind the other, and how many each row has."""

_DATATYPES: Final = {
    "b1": "boolean",
    "u1": "unsignedByte",
    "i1": "short",
    "i2": "short",
    "u2": "int",
    "i4": "int",
    "u4": "long",
    "i8": "long",
    "u8": "long",
    "f2": "float",
    "f4": "float",
    "f8": "double",
    "c8": "floatComplex",
    "c16": "doubleComplex",
}
_INTEGERS: Final = {"unsignedByte", "short", "int", "long"}
_KEPT_LENGTH: Final = 256
"""Texts of a declared length up to this keep it; longer ones that are far shorter than declared would take up what is not there."""
_FIRST_TIME, _LAST_TIME = np.datetime64("-9999-01-01", "D"), np.datetime64("10000-01-01", "D")
"""Between these times have a form (ISO 8601 has years of four digits): Arrow writes other years, if these are far away, as wrong ones."""
_STORED: Final = {"short": "i2", "int": "i4", "long": "i8", "unsignedByte": "u1", "float": "f4", "double": "f8"}


class VOTableColumnWriter:
    """One column.

    Raises
    ------
    UnsupportedFeature
        If VOTable has no form for its type.
    """

    def __init__(self, column: Column) -> None:
        import pyarrow as pa

        self.column, self.name = column, column.name
        kind, self.cell, self.variable = column.type, [], False
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self.variable, kind = True, kind.value_type
        while pa.types.is_fixed_size_list(kind):
            self.cell.append(kind.list_size)
            kind = kind.value_type
        self.kind = kind
        times = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind)
        self.text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind) or times
        dtype = dtype_of(kind)
        if not self.text and (dtype.kind == "O" or (pa.types.is_temporal(kind) and self.cell)):
            msg = f"VOTable has no form for the type {column.type}"
            raise UnsupportedFeature(msg, part=f"column {self.name!r}")
        encoding = dict(column.encoding)
        if encoding.get("tscal", 1) != 1 or encoding.get("tzero", 0) != 0:  # of stored values that are not scaled yet
            msg = "VOTable has no form for values that are to be scaled: open the file with mask_and_scale=True, or scale them"
            raise UnsupportedFeature(msg, part=f"column {self.name!r}")
        before = str(encoding.get("votable_datatype", ""))
        self.datatype = "" if self.text else _DATATYPES[f"{dtype.kind}{dtype.itemsize}"]
        self.declared: Any = read_null(
            str(encoding.get("null", column.null)), np.dtype(_STORED.get(self.datatype, "O"))
        )
        """Value that the file declared to be null, if the type that is written holds it: documents declare others too."""
        self.null = int(self.declared) if self.declared is not None and self.datatype in _INTEGERS else None
        self.is_value = self._stands_in = False
        """Whether that value occurs without being null; whether it stands among the elements of cells that are none."""
        self.ascii, self.longest = True, 0
        self._wants_null = self._clash = False
        if self.text:
            self.datatype = before if before in {"char", "unicodeChar"} else "char"
            arraysize = str(encoding.get("arraysize", "*"))
            self.fixed = int(arraysize) if before and re.fullmatch(r"[0-9]{1,9}", arraysize) else 0
        elif before == "bit" and self.datatype == "boolean":
            self.datatype = "bit"

    @property
    def settled(self) -> bool:
        """Whether the FIELD is known before the values are."""
        whole = self.datatype in _INTEGERS
        return not self.text and not (whole and self.null is None and (self.cell or self.variable))

    @property
    def size(self) -> int:
        """Elements of a cell or item."""
        return math.prod(self.cell)

    def observe(self, array: pa.Array) -> None:
        """Learn how long texts are, whether they are ASCII, and whether elements of arrays are null."""
        if not self.text:
            if not self.settled:
                self._look_for_nulls(self._flatten_cells(array), array)
            return
        texts = self._encode_texts(self._flatten_cells(array))
        check_ends(texts, self.name)
        sizes = np.diff(texts.offsets.to_numpy()) if hasattr(texts, "offsets") else _text_bytes(texts)
        if len(sizes) and self.ascii:
            self.ascii = len(_join_texts(texts)) == 0 or int(_join_texts(texts).max()) < 128
        if not self.ascii:
            # Characters of UTF-16, of which those beyond 16 bits take two.
            sizes = np.array([len(t.encode("utf-16-le", "surrogatepass")) // 2 for t in texts.to_pylist()], np.int64)
        self.longest = max(self.longest, int(sizes.max(initial=0)))

    def _look_for_nulls(self, flat: pa.Array, cells: pa.Array) -> None:
        if flat.null_count and not self._whole_rows(flat, cells):
            self._wants_null = True
        values = np.asarray(flat.drop_null())
        self._clash |= bool((values == find_sentinel(np.dtype(_STORED[self.datatype]))).any())

    def settle(self) -> None:
        """Decide the datatype of texts and the null of elements, once all have been looked at.

        Raises
        ------
        UnsupportedFeature
            If elements are null and no value is free to stand for that.
        """
        if not self.text:
            if self._wants_null:
                if self._clash:
                    msg = 'elements are null and the value for that occurs: give the column another as encoding["null"]'
                    raise UnsupportedFeature(msg, part=f"column {self.name!r}")
                self.null = find_sentinel(np.dtype(_STORED[self.datatype]))
            return
        if not self.ascii:
            self.datatype = "unicodeChar"
        if self.cell or self.variable:
            self.fixed = max(1, self.longest, self.fixed)
        elif not self.longest <= self.fixed <= max(_KEPT_LENGTH, 4 * self.longest):
            self.fixed = 0

    @property
    def arraysize(self) -> str:
        """The arraysize of the FIELD."""
        axes = [str(n) for n in reversed(self.cell)]
        if self.text and (self.cell or self.variable):
            axes.insert(0, str(self.fixed))
        elif self.text:
            return str(self.fixed) if self.fixed else "*"
        return "x".join([*axes, "*"] if self.variable else axes)

    def field_element(self) -> str:
        """Return the FIELD element."""
        attrs, encoding = dict(self.column.attrs), dict(self.column.encoding)
        import pyarrow as pa

        if pa.types.is_timestamp(self.kind):
            attrs.setdefault("xtype", "timestamp")
        given = {"ID": attrs.get("id"), "name": self.name, "datatype": self.datatype, "arraysize": self.arraysize}
        given |= {"unit": attrs.get("units")} | {k: attrs.get(k) for k in ("ucd", "utype", "xtype", "ref")}
        given |= {k: encoding.get(k) for k in ("precision", "width")}
        text = "".join(f" {k}={quote_value(v)}" for k, v in given.items() if str("" if v is None else v) or k == "name")
        inside = "".join(self._field_children(attrs))
        return f"<FIELD{text}>{inside}</FIELD>" if inside else f"<FIELD{text}/>"

    def _field_children(self, attrs: dict[str, Any]) -> Iterator[str]:
        if description := plain_text(attrs.get("description")):
            yield f"<DESCRIPTION>{escape_text(description)}</DESCRIPTION>"
        null = "" if self.null is None or self.is_value else f" null={quote_value(self.null)}"
        limits = "".join(
            f"<{tag} value={quote_value(attrs[name])}/>"
            for tag, name in (("MIN", "minimum"), ("MAX", "maximum"))
            if attrs.get(name) is not None
        )
        for option in _list_values(attrs.get("options")):
            value, _, name = option.partition("=")
            limits += f"<OPTION{f' name={quote_value(name)}' if name else ''} value={quote_value(value)}/>"
        if null or limits:
            yield f"<VALUES{null}>{limits}</VALUES>"
        for link in _list_values(attrs.get("links")):
            yield f"<LINK href={quote_value(link)}/>"

    def encode_cells(self, array: pa.Array) -> list[Piece]:
        """Bytes of the cells of some rows."""
        rows = len(array)
        if self.text and not self.cell and not self.variable:
            return self._text_pieces(self._encode_texts(self._flatten_cells(array)))
        if not self.variable:
            data = self._encode_elements(array, rows * self.size)
            return [(data, data.size // max(1, rows))]
        array = array.combine_chunks() if hasattr(array, "combine_chunks") else array
        counts = np.asarray(array.value_lengths().fill_null(0)).astype(np.int64)
        total = int(counts.sum())
        data = self._encode_elements(array, total * self.size)
        if self.datatype == "bit" and not self.cell:
            data, sizes = _packed_ranges(data, counts)
        else:
            sizes = counts * (data.size // max(1, total))
        return [(counts.astype(">i4").view(np.uint8), 4), (data, sizes)]

    def _flatten_cells(self, array: pa.Array) -> pa.Array:
        """Elements of all rows; those of null rows are null."""
        import pyarrow as pa

        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if self.variable:
            array = array.flatten()
        for _ in self.cell:
            if array.null_count:
                array = array.fill_null([None] * array.type.list_size)
            array = array.flatten()
        return array

    def _encode_texts(self, flat: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_temporal(flat.type):
            _check_times(flat, self.name)
        if pa.types.is_timestamp(flat.type):
            # the field has none: what has one is written as UTC, and says so (DALI 1.1, section 3.3.3)
            zone = flat.type.tz
            flat = flat.cast(pa.timestamp(flat.type.unit, "UTC")) if zone else flat
            flat = pc.strftime(flat, "%Y-%m-%dT%H:%M:%SZ" if zone else "%Y-%m-%dT%H:%M:%S")
        flat = flat.cast(pa.large_string())
        return flat.fill_null("") if flat.null_count else flat

    def _encode_elements(self, cells: pa.Array, count: int) -> Bytes:
        """Big-endian bytes of the elements of cells."""
        flat = self._flatten_cells(cells)
        if len(flat) != count:
            msg = f"{len(flat)} elements where {count} belong"
            raise FormatError(msg, part=f"column {self.name!r}")
        if self.text:
            return self._fixed_texts(flat)
        if self.datatype in {"boolean", "bit"}:
            values = np.asarray(flat.fill_null(False))
            if self.datatype == "boolean":
                letters = np.where(values, ord("T"), ord("F")).astype(np.uint8)
                if flat.null_count:
                    letters[np.asarray(flat.is_null())] = ord("?")
                return letters
            if flat.null_count and (self.variable or not self._whole_rows(flat, cells)):
                msg = "a null among the bits of a cell has no form: delete 'votable_datatype' from the encoding to write booleans"
                raise FormatError(msg, part=f"column {self.name!r}")
            if self.variable and not self.cell:
                return values.astype(np.uint8)
            return np.packbits(values.reshape(-1, max(1, self.size)), axis=1).reshape(-1)
        if self.datatype.endswith("Complex"):
            half = ">f4" if self.datatype == "floatComplex" else ">f8"
            parts = [np.asarray(flat.field(i).fill_null(math.nan)) for i in (0, 1)]
            pair = np.stack(parts, axis=1).astype(half)
            pair[np.asarray(flat.is_null())] = np.nan
            return pair.reshape(-1).view(np.uint8)
        if flat.null_count and (self.variable or (self.cell and not self._whole_rows(flat, cells))):
            self._stands_in = True
        return self._encode_numbers(flat)

    def _encode_numbers(self, flat: pa.Array) -> Bytes:
        import pyarrow as pa

        stored = np.dtype(_STORED[self.datatype])
        if pa.types.is_uint64(flat.type) and int(np.asarray(flat.drop_null()).max(initial=0)) >= 1 << 63:
            msg = "integers beyond 2**63 - 1 have no form in VOTable"
            raise FormatError(msg, part=f"column {self.name!r}")
        self._look_for_declared(flat)
        if flat.null_count:  # the null need not be a value of the column's own, smaller type
            kind = pa.from_numpy_dtype(stored)
            fill = math.nan if stored.kind == "f" else self.null or 0
            flat = flat.cast(kind).fill_null(pa.scalar(fill, kind))
        values = np.asarray(flat)
        return values.astype(stored.newbyteorder(">")).view(np.uint8)

    def _look_for_declared(self, flat: pa.Array) -> None:
        """Note whether the value that was declared to be null occurs as a value: then the FIELD must not say that it is null.

        Raises
        ------
        FormatError
            If it also stands for elements of cells, which have no other null.
        """
        if self.declared is not None and not self.is_value:
            self.is_value = bool((np.asarray(flat.drop_null()) == self.declared).any())
        if self.is_value and self._stands_in and self.null is not None:
            msg = f"{self.null} would become null"
            raise FormatError(msg, part=f"column {self.name!r}")

    def _whole_rows(self, flat: pa.Array, cells: pa.Array) -> bool:
        """Whether elements are null only where their whole cell is null: those have a flag."""
        if self.variable:
            return False
        null = np.asarray(flat.is_null()).reshape(-1, self.size)
        return not null[np.asarray(cells.is_valid())].any()

    def _text_pieces(self, texts: pa.Array) -> list[Piece]:
        if self.fixed:
            return [(self._fixed_texts(texts), self.fixed * (1 if self.datatype == "char" else 2))]
        if self.datatype == "char":
            data, sizes = _join_texts(texts), _text_bytes(texts)
            counts = sizes
        else:
            encoded = [t.encode("utf-16-be", "surrogatepass") for t in texts.to_pylist()]
            sizes = np.array([len(e) for e in encoded], np.int64)
            data, counts = np.frombuffer(b"".join(encoded), np.uint8), sizes // 2
        return [(counts.astype(">i4").view(np.uint8), 4), (data, sizes)]

    def _fixed_texts(self, flat: pa.Array) -> Bytes:
        """Texts of one length, filled with NUL."""
        code, width = ("ascii", 1) if self.datatype == "char" else ("utf-16-be", 2)
        size = max(1, self.fixed) * width
        check_decoded("texts of one length", size * len(flat), part=lambda: f"column {self.name!r}")
        texts = self._encode_texts(flat).to_pylist()
        return np.frombuffer(b"".join(t.encode(code)[:size].ljust(size, b"\0") for t in texts), np.uint8)


def _check_times(flat: pa.Array, name: str) -> None:
    """Refuse dates and times that have no form.

    Raises
    ------
    FormatError
        If there is a date of a year of more than four digits, or a time beyond a day.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = flat.type
    unit = {pa.date32(): "D", pa.date64(): "ms"}.get(kind) or kind.unit
    if pa.types.is_time(kind):
        first, last = 0, 86400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    elif unit == "ns":  # these reach for 292 years on each side, and count no year that is refused
        return
    else:
        first, last = (int(t.astype(f"M8[{unit}]").astype(np.int64)) for t in (_FIRST_TIME, _LAST_TIME))
    counts = flat.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    ends = pc.min_max(counts)
    if ends["min"].is_valid and not (first <= ends["min"].as_py() and ends["max"].as_py() < last):
        msg = "dates of years of more than four digits, or times beyond a day, have no form in VOTable"
        raise FormatError(msg, part=f"column {name!r}")


def _list_values(value: Any) -> list[str]:
    return [] if value is None else [str(v) for v in np.atleast_1d(np.asarray(value, object))]


def _text_bytes(texts: pa.Array) -> Ints:
    """UTF-8 bytes of each text."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.diff(offsets)


def _join_texts(texts: pa.Array) -> Bytes:
    """UTF-8 bytes of all texts."""
    if not len(texts) or texts.buffers()[2] is None:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(texts.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]


def _packed_ranges(bits: Bytes, counts: Ints) -> tuple[Bytes, Ints]:
    """Bits of each row in as few bytes as hold them."""
    sizes = (counts + 7) // 8
    spread = np.zeros(int(sizes.sum()) * 8, np.uint8)
    skipped = np.cumsum(sizes * 8 - counts) - (sizes * 8 - counts)
    spread[np.arange(bits.size) + np.repeat(skipped, counts)] = bits
    return np.packbits(spread), sizes
