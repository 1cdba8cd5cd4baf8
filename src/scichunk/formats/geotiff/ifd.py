"""Image file directories: the bounded parser of classic TIFF (TIFF 6.0, section 2) and BigTIFF."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from scichunk.core.paged import PagedTable
from scichunk.errors import FormatError
from scichunk.sources.read_ahead import HeaderReader

__all__ = ["LAYOUT", "Directory", "Tag", "TiffHeader", "read_directory", "read_header"]

Order = Literal["<", ">"]

# Field types (TIFF 6.0, section 2); 13 is IFD (an offset), 16 to 18 are those of BigTIFF.
_TYPES: Final = {
    1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4",
    10: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
LAYOUT: Final = frozenset({
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 284, 288, 289, 292, 293, 297, 301, 317, 321, 322, 323, 324, 325,
    330, 332, 339, 347, 400, 401, 402, 403, 404, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34665, 34853, 40965,
    50674, 50838, 50839, 65563,
})  # fmt: skip
"""Tags that say how pixels are stored, and where other directories lie. All others describe."""
_ASCII: Final = 2
_TABLES: Final = frozenset({273, 279, 324, 325})
_TEXT_BYTES: Final = 4096
"""Of a text, what is looked at: a number is all that is expected."""
_RATIONAL: Final = (5, 10)
_SIZES: Final = {code: int(kind[1]) * (2 if code in _RATIONAL else 1) for code, kind in _TYPES.items()}
_UNSIGNED: Final = {code: _SIZES[code] for code in (1, 3, 4, 13, 16, 18)}
"""Bytes of a value of each unsigned type."""
_MASKS: Final = {size: (1 << 8 * size) - 1 for size in (1, 2, 4, 8)}


@lru_cache(maxsize=64)  # making a type costs as much as reading a few values
def _dtypes(kind: str, order: Order) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Type of values as they are stored, and in native byte order."""
    return np.dtype(kind).newbyteorder(order), np.dtype(kind)


@dataclass(slots=True)  # not frozen: a file has dozens, and a frozen one costs three times as much to make
class Tag:
    """One directory entry; its values are read when asked for."""

    code: int
    type: int
    count: int
    start: int
    """Where the values lie in the file."""
    nbytes: int
    """Length of the values; 0 if their type is unknown."""
    entry: int
    """The last field of the entry as a number: it holds the values themselves if they fit in, else where they lie."""


@dataclass(slots=True)  # not frozen, as above
class Directory:
    """One image file directory."""

    offset: int
    next: int
    order: Order
    """``"<"`` or ``">"``."""
    tags: Mapping[int, Tag]
    reader: HeaderReader
    room: int
    """Bytes of values that fit into an entry: 4, or 8 in BigTIFF."""
    lost: tuple[int, ...] = ()
    """Tags that describe, whose values lie outside the file: left out of ``tags``, as libtiff does."""

    @property
    def value_bytes(self) -> int:
        """Bytes of all values that libtiff reads as it opens the directory: all but the places of strips and tiles."""
        return sum(tag.nbytes for code, tag in self.tags.items() if code not in _TABLES)

    def raw_bytes(self, code: int) -> bytes:
        """Return the bytes of a tag's values as they lie in the file; empty where there is no such tag."""
        tag = self.tags.get(code)
        if tag is None or not tag.nbytes:
            return b""
        return bytes(self.reader.get(tag.start, tag.start + tag.nbytes))

    def get_array(self, code: int, most: int) -> npt.NDArray[Any]:
        """Return a tag's first values in native byte order; empty where there is no such tag, or a text. Rationals become floats.

        Parameters
        ----------
        code
            Of the tag.
        most
            How many values are wanted at most: the tag may say that it has any number of them.

        Raises
        ------
        FormatError
            If the values lie outside the file.
        """
        tag = self.tags.get(code)
        kind = _TYPES.get(tag.type) if tag else None
        if tag is None or kind is None or not tag.count or tag.type == _ASCII:
            return np.zeros(0, np.int64)
        data = self.reader.get(tag.start, tag.start + min(tag.count, most) * _SIZES[tag.type])
        stored, native = _dtypes(kind, self.order)
        found = np.frombuffer(data, stored).astype(native)
        # Two LONGs: numerator and denominator, of which the latter may be 0.
        if tag.type in _RATIONAL:
            with np.errstate(all="ignore"):
                found = found[::2] / found[1::2]
        return found

    def paged_table(self, code: int) -> PagedTable | None:
        """Return a tag's values as a table that stays in the file; None where they are no unsigned integers.

        Raises
        ------
        FormatError
            If the values lie outside the file.
        """
        tag = self.tags.get(code)
        if tag is None or tag.type not in _UNSIGNED:
            return None
        return PagedTable(self.reader.source, tag.start, _dtypes(_TYPES[tag.type], self.order)[0], tag.count)

    def get_integer(self, code: int, default: int) -> int:
        """Return the first value of a tag as an integer."""
        tag = self.tags.get(code)
        if tag is None or not tag.count:
            return default
        size = _UNSIGNED.get(tag.type)
        if size is not None:  # the common case, ten times faster than through an array
            if tag.nbytes <= self.room:
                return tag.entry & _MASKS[size] if self.order == "<" else tag.entry >> 8 * (self.room - size)
            data = self.reader.get(tag.start, tag.start + size)
            return int.from_bytes(data, "little" if self.order == "<" else "big")
        found = self.get_array(code, 1)
        return int(found[0]) if found.size and found.dtype.kind in "if" and np.isfinite(found[0]) else default

    def get_integers(self, wanted: Sequence[tuple[int, int]]) -> list[int]:
        """Return the first values of several tags as integers, from pairs of tag and default."""
        tags, room, little = self.tags, self.room, self.order == "<"
        found = []
        for code, default in wanted:
            tag = tags.get(code)
            if tag is None:
                found.append(default)
            elif (
                tag.count == 1 and tag.nbytes <= room and tag.type in _UNSIGNED
            ):  # as in get_integer, in less than half of its time
                found.append(tag.entry & _MASKS[tag.nbytes] if little else tag.entry >> 8 * (room - tag.nbytes))
            else:
                found.append(self.get_integer(code, default))
        return found

    def get_text(self, code: int) -> str:
        """Return the beginning of an ASCII tag up to its first NUL, undecodable bytes replaced."""
        tag = self.tags.get(code)
        if tag is None:
            return ""
        data = bytes(self.reader.get(tag.start, tag.start + min(tag.nbytes, _TEXT_BYTES)))
        return data.split(b"\0", 1)[0].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first bytes of a TIFF file."""

    order: Order
    big: bool
    first: int


def read_header(reader: HeaderReader) -> TiffHeader:
    """Parse the file header.

    Raises
    ------
    FormatError
        If this is no TIFF file.
    """
    head = bytes(reader.get(0, min(16, reader.size)))
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        msg = "not a TIFF file: it does not begin with II or MM"
        raise FormatError(msg, url=reader.source.url)
    magic, first = struct.unpack(order + "HI", head[2:8])
    if magic == 42:
        return TiffHeader(order, big=False, first=first)
    # BigTIFF says that its offsets have 8 bytes, and a constant 0.
    if magic != 43 or len(head) < 16 or struct.unpack(order + "HH", head[4:8]) != (8, 0):
        msg = f"not a TIFF file: version {magic}, expected 42, or 43 for BigTIFF"
        raise FormatError(msg, url=reader.source.url)
    return TiffHeader(order, big=True, first=struct.unpack(order + "Q", head[8:16])[0])


def read_directory(reader: HeaderReader, header: TiffHeader, offset: int) -> Directory:
    """Parse one directory; values that do not fit into their entries stay where they are.

    Raises
    ------
    FormatError
        If the directory lies outside the file.
    """
    big, order = header.big, header.order
    width, head = (20, 8) if big else (12, 2)
    count = int.from_bytes(reader.get(offset, offset + head), "little" if order == "<" else "big")
    # Classic TIFF counts entries in 16 bits; BigTIFF in 64, where more than that is no image.
    if count > 1 << 16 or count == 0:
        msg = f"a directory of {count} tags at byte {offset}"
        raise FormatError(msg, url=reader.source.url)
    end = offset + head + count * width
    body = reader.get(offset + head, end)
    room, size = (8 if big else 4), reader.size
    inside = offset + head + width - room  # where an entry has room for its values
    tags: dict[int, Tag] = {}
    lost: list[int] = []
    for code, kind, number, value in struct.iter_unpack(order + ("HHQQ" if big else "HHII"), body):
        # The first of several entries counts, as in libtiff.
        if code not in tags:
            # Values that fit into the entry stand in it, left-justified; else it holds their offset (TIFF 6.0, section 2).
            nbytes = number * _SIZES.get(kind, 0)
            start = value if nbytes > room else inside
            if start + nbytes > size and code not in LAYOUT:
                lost.append(code)
            else:
                tags[code] = Tag(code, kind, number, start, nbytes, value)
        inside += width
    following = 0
    if end + room <= size:  # some writers end the file right here
        following = int.from_bytes(reader.get(end, end + room), "little" if order == "<" else "big")
    return Directory(offset, following, order, tags, reader, room, tuple(lost))
