"""Table headers: where the fields of a row lie and what they are (FITS 4.0, sections 7.2, 7.3 and 10.3)."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from scichunk.core.limits import check_axes
from scichunk.core.tables import unique_names
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.fits.cards import Cards
from scichunk.formats.fits.structure import HDU

__all__ = ["SIZES", "TEXT", "TableField", "TableLayout", "read_layout"]

SIZES: Final = {"L": 1, "X": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}
"""Bytes of an element by letter of TFORM; X: of eight."""
TEXT: Final = "text"
_BINARY: Final = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(.*)")
_ASCII: Final = re.compile(r"([AIJFED])(\d*)(?:\.(\d+))?.*")
_MOST_REPEATS: Final = 1 << 48
_MOST_DIGITS: Final = 19
_MOST_EMPTY: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class TableField:
    """One field of a row."""

    number: int
    """From 1, as in TFORMn."""
    name: str
    form: str
    """TFORM (of a compressed table: ZFORM)."""
    code: str
    """Letter of the elements, in the heap if there is a descriptor."""
    repeat: int
    """Elements (bits for X, characters for A) in a row; of ASCII tables: characters."""
    offset: int
    """First byte within a row."""
    width: int
    """Bytes within a row."""
    cell: tuple[int, ...] | None = ()
    """Shape of the values of a row, texts being one value; None: variable."""
    text: int = 0
    """Characters of one text."""
    descriptor: int = 0
    """Bytes of an array descriptor: 8 (P) or 16 (Q); 0 if there is none."""
    scale: float = 1
    zero: float = 0
    null: int | str | None = None
    """TNULL, compared with stored values; a text in ASCII tables."""
    codec: str = ""
    """ZCTYP of a compressed table; :data:`TEXT` in an ASCII table."""
    decimals: int = 0
    """Of ASCII tables: digits behind a point that a number does not have."""

    @property
    def flip(self) -> int:
        """Bit that is turned by the conventions for unsigned integers and signed bytes (table 19); 0: scaled otherwise."""
        high = {"B": 7, "I": 15, "J": 31, "K": 63}.get(self.code)
        if high is None or self.scale != 1 or self.codec == TEXT:
            return 0
        return 1 << high if self.zero == (-128 if self.code == "B" else 1 << high) else 0

    @property
    def scaled(self) -> bool:
        """Whether values are floats computed from what is stored."""
        return self.code not in "LXA" and (self.scale != 1 or self.zero != 0) and not self.flip


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table: its fields and where its rows are."""

    fields: tuple[TableField, ...] = field(repr=False)
    ascii: bool
    width: int
    """Bytes of a row."""
    rows: int
    data: int
    """First byte of the rows."""
    heap: int
    """First byte of the heap."""
    heap_end: int
    tile_rows: int = 0
    """Rows of a tile of a compressed table; 0 if it is none."""
    tiles: int = 0
    """Rows of the table that holds the tiles."""
    tile_descriptor: int = 16
    """Bytes of a descriptor of that table: 16 (1QB) or 8 (1PB)."""


def _count_fields(cards: Cards) -> int:
    """TFIELDS; where it is missing, which FITS 4.0 (sections 7.2.1, 7.3.1) does not allow, how many fields have a form."""
    if cards.get("TFIELDS") is not None:
        return cards.get_integer("TFIELDS")
    return next(i for i in itertools.count() if cards.get(f"TFORM{i + 1}") is None)


def read_layout(hdu: HDU) -> TableLayout:
    """Parse the header of a table.

    Raises
    ------
    FormatError
        If fields are missing, overlap the end of the row, or are of no known form.
    LimitExceeded
        If sizes are beyond any file.
    """
    cards = hdu.cards
    width, rows = cards.get_integer("NAXIS1"), cards.get_integer("NAXIS2")
    # Each field has a card of its own at least; a count beyond that would only make us loop.
    count = _count_fields(cards)
    if not 0 <= count <= len(cards.text) // 80:
        msg = f"TFIELDS is {count}, but there are only {len(cards.text) // 80} cards"
        raise FormatError(msg)
    is_ascii = hdu.kind == "ascii"
    compressed = cards.get("ZTABLE") is True and not is_ascii
    names = unique_names([_column_name(cards, i) for i in range(1, count + 1)])
    fields, at = [], 0
    parse: Callable[[Cards, int, str, int], TableField] = _compressed_field if compressed else _binary_field
    if is_ascii:
        parse = partial(_ascii_field, starts=sorted(cards.get_integer(f"TBCOL{i}", 0) for i in range(1, count + 1)))
    for number, name in enumerate(names, 1):
        found = parse(cards, number, name, at)
        at = found.offset + found.width
        fields.append(found)
    row = max((f.offset + f.width for f in fields), default=0)
    outer, outer_rows = width, rows
    if compressed:
        width, rows = cards.get_integer("ZNAXIS1"), cards.get_integer("ZNAXIS2")
    if row > width or min(width, rows) < 0:
        msg = f"columns of {row} bytes in {rows} rows of {width}"
        raise FormatError(msg)
    # Rows without bytes are bounded by no file size.
    if (width == 0 or not fields) and rows > _MOST_EMPTY:
        msg = f"{rows} empty rows"
        raise LimitExceeded(msg)
    # By default the heap follows the rows (section 7.3.5).
    heap = cards.get_integer("THEAP", outer * outer_rows)
    if not 0 <= heap <= hdu.nbytes:
        if compressed or any(f.descriptor for f in fields):
            msg = f"the heap begins at byte {heap} of {hdu.nbytes} (THEAP)"
            raise FormatError(msg)
        heap = hdu.nbytes  # of no meaning
    tile, descriptor = _read_tiling(cards, rows, (count, outer, outer_rows)) if compressed else (0, 16)
    return TableLayout(
        tuple(fields),
        is_ascii,
        width,
        rows,
        hdu.data,
        hdu.data + heap,
        hdu.data + hdu.nbytes,
        tile,
        outer_rows,
        descriptor,
    )


def _read_tiling(cards: Cards, rows: int, outer: tuple[int, int, int]) -> tuple[int, int]:
    """Rows of a tile of a compressed table, and bytes of a descriptor; ``outer``: columns, row bytes and rows of the table around it."""
    count, width, tiles = outer
    descriptor = width // max(1, count)
    if descriptor not in {8, 16} or descriptor * count != width:
        msg = f"rows of {width} bytes are no descriptors of {count} columns"
        raise FormatError(msg)
    tile = cards.get_integer("ZTILELEN", max(1, rows))
    if tile < 1 or -(-rows // tile) > tiles:
        msg = f"tiles of {tile} rows for {rows} rows, but there are {tiles} tiles"
        raise FormatError(msg)
    return tile, descriptor


def _column_name(cards: Cards, number: int) -> str:
    value = cards.get(f"TTYPE{number}")
    return "" if value is None else str(value).strip()


def _binary_field(cards: Cards, number: int, name: str, at: int) -> TableField:
    return _read_field(cards, number, name, at, cards.get_string(f"TFORM{number}").strip())


def _compressed_field(cards: Cards, number: int, name: str, at: int) -> TableField:
    codec = cards.get_string(f"ZCTYP{number}").strip().upper() or "GZIP_2"
    return _read_field(cards, number, name, at, cards.get_string(f"ZFORM{number}").strip(), codec=codec)


def _read_field(cards: Cards, number: int, name: str, at: int, form: str, *, codec: str = "") -> TableField:
    """Parse the form of a column of a binary table that begins at a byte of the row."""
    parsed = _BINARY.match(form.upper())
    if parsed is None:
        msg = f"the form of column {number} is {form!r}"
        raise FormatError(msg)
    code, more = parsed[2], parsed[3].strip()
    digits = (
        more if code == "A" and not parsed[1] and more.isdecimal() else parsed[1]
    )  # "A7" is a common mistake for "7A"
    # Digits first: Python refuses to convert thousands of them, which fit into a long text.
    repeat = _MOST_REPEATS + 1 if len(digits) > _MOST_DIGITS else int(digits or 1)
    if repeat > _MOST_REPEATS:
        msg = f"the form of column {number} is {form[:80]!r}"
        raise LimitExceeded(msg)
    values: dict[str, Any] = {"number": number, "name": name, "form": form, "offset": at, "codec": codec}
    scale, zero, null = _read_scaling(cards, number)
    # P: two 32-bit numbers in the row, count and offset; Q: two of 64 bits (section 7.3.5).
    if code in "PQ":
        size = 8 if code == "P" else 16
        letter = more[:1]
        if repeat > 1 or letter not in SIZES:
            msg = f"an array descriptor of form {form[:80]!r} in column {number}"
            raise UnsupportedFeature(msg)
        size *= repeat
        values |= {"code": letter, "descriptor": size, "cell": None if repeat else (0,)}
        return TableField(repeat=repeat, width=size, scale=scale, zero=zero, null=null, **values)
    width = -(-repeat // 8) if code == "X" else repeat * SIZES[code]
    cell, text = _read_cell_shape(cards.get(f"TDIM{number}"), code, repeat)
    if (
        code == "A"
        and not text
        and cell == ()
        and more.isdecimal()
        and len(more) <= _MOST_DIGITS
        and 0 < int(more) < repeat
    ):
        text = int(more)  # rAw: texts of w characters
        cell = (repeat // text,)
    elif code == "A" and not text:
        text = repeat
    return TableField(code=code, repeat=repeat, width=width, cell=cell, text=text, scale=scale, zero=zero, null=null, **values)  # fmt: skip


def _read_cell_shape(tdim: Any, code: str, repeat: int) -> tuple[tuple[int, ...], int]:
    """Shape of a cell in NumPy's order, and the characters of a text if TDIM says them (section 7.3.2)."""
    plain: tuple[int, ...] = () if code == "A" or (repeat == 1 and code != "X") else (repeat,)
    if not isinstance(tdim, str):
        return plain, 0
    parts = tdim.strip().strip("()").split(",")
    if len(parts) > 999 or not all(p.strip().isdecimal() and len(p) < 20 for p in parts):
        return plain, 0
    shape = tuple(int(p) for p in reversed(parts))
    if not 0 < math.prod(shape) <= repeat:  # does not fit: ignored, as others do
        return plain, 0
    if code == "A" and len(shape) == 1 and shape[0] < repeat:  # one text, which would lose its end: "(1)" on "6A"
        return plain, 0
    check_axes("rows of cells", 1 + len(shape) - (code == "A"))
    return (shape[:-1], shape[-1]) if code == "A" else (shape, 0)


def _read_scaling(cards: Cards, number: int) -> tuple[float, float, int | str | None]:
    null = cards.get(f"TNULL{number}")
    if isinstance(null, str):
        try:
            null = int(null)
        except ValueError:
            null = None
    # TNULL is an integer in binary tables; other forms of a number are let pass where they are whole.
    if isinstance(null, float):
        null = int(null) if null.is_integer() else None
    if isinstance(null, bool) or (null is not None and abs(null) >= 1 << 63 and null != -(1 << 63)):
        null = None
    return cards.get_number(f"TSCAL{number}", 1), cards.get_number(f"TZERO{number}", 0), null


def _ascii_field(cards: Cards, number: int, name: str, at: int, *, starts: Sequence[int]) -> TableField:
    """Parse a column of an ASCII table (FITS 4.0, section 7.2); ``starts``: of all columns, ascending."""
    form = cards.get_string(f"TFORM{number}").strip().upper()
    parsed = _ASCII.fullmatch(form)
    if parsed is None or max(map(len, parsed.groups(""))) > 9:
        msg = f"TFORM{number} is {form[:80]!r}"
        raise FormatError(msg)
    start = cards.get_integer(f"TBCOL{number}", at + 1)
    if start < 1:
        msg = f"TBCOL{number} is {start}"
        raise FormatError(msg)
    width = int(parsed[2]) if parsed[2] else _find_width(cards, number, start, starts)
    null = cards.get(f"TNULL{number}")
    scale, zero = cards.get_number(f"TSCAL{number}", 1), cards.get_number(f"TZERO{number}", 0)
    decimals = int(parsed[3] or 0) if parsed[1] in "FED" else 0
    return TableField(
        number, name, form, parsed[1], width, start - 1, width, (), width,
        scale=scale, zero=zero, null=None if null is None else str(null).strip(), codec=TEXT, decimals=decimals,
    )  # fmt: skip


def _find_width(cards: Cards, number: int, start: int, starts: Sequence[int]) -> int:
    """Width of a field whose form has none, which the standard does not allow: up to the next column, or the end of the row."""
    after = bisect.bisect_right(starts, start)
    width = (starts[after] if after < len(starts) else cards.get_integer("NAXIS1") + 1) - start
    if width < 1:
        msg = f"column {number} has no width, and begins at {start} in rows of {cards.get_integer('NAXIS1')} bytes"
        raise FormatError(msg)
    return width
