"""Boxes of JP2 and JPX files (ITU-T T.800, annex I): the bounded parser. What they say in full is glymur's business."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources.read_ahead import HeaderReader

__all__ = ["SIGNATURE", "Box", "ImageHeader", "Palette", "image_header", "walk_boxes"]

SIGNATURE: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_SUPERBOXES: Final = frozenset({b"jp2h", b"asoc", b"jpch", b"jplh", b"res ", b"uinf", b"ftbl"})
_MOST_LEVELS: Final = 8
_MOST_BOXES: Final = 1 << 16
_MOST_CHANNELS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Box:
    """One box."""

    kind: bytes
    """Four characters."""
    start: int
    """First byte of its header."""
    first: int
    """First byte of its content."""
    stop: int
    children: tuple[Box, ...] = ()

    def find_box(self, kind: bytes) -> list[Box]:
        """Children of a kind."""
        return [b for b in self.children if b.kind == kind]

    def iterate_boxes(self) -> Iterator[Box]:
        """Iterate over the box and all below it."""
        yield self
        for child in self.children:
            yield from child.iterate_boxes()


def walk_boxes(
    reader: HeaderReader,
    start: int,
    stop: int,
    *,
    until: bytes = b"",
    depth: int = 0,
    numbers: Iterator[int] | None = None,
) -> Iterator[Box]:
    """Boxes between two places of the file, in order.

    Parameters
    ----------
    reader
        The file.
    start, stop
        Where.
    until
        End behind the first box of this kind.
    depth
        Of the box that holds them.
    numbers
        Counts the boxes of all depths.

    Raises
    ------
    FormatError
        Where a length is impossible.
    LimitExceeded
        If there are too many.
    """
    at = start
    numbers = itertools.count() if numbers is None else numbers
    while at + 8 <= stop:
        if next(numbers) >= _MOST_BOXES:
            msg = f"more than {_MOST_BOXES} boxes"
            raise LimitExceeded(msg)
        length, kind = struct.unpack(">I4s", reader.get(at, at + 8))
        first = at + 8
        # 1: the length stands in eight bytes behind the type; 0: the box goes to the end of the file (I.4).
        if length == 1:
            length = int.from_bytes(reader.get(at + 8, at + 16), "big") if at + 16 <= stop else 0
            first = at + 16
        end = stop if length == 0 and depth == 0 else at + length
        # A codestream that is cut is still readable as far as it goes.
        if end < first or (end > stop and kind != b"jp2c"):
            if depth:
                return  # what is broken within a box is no reason not to read the image
            msg = f"a box {kind!r} of {length} bytes at byte {at}"
            raise FormatError(msg)
        children: tuple[Box, ...] = ()
        if kind in _SUPERBOXES and depth < _MOST_LEVELS:
            children = tuple(walk_boxes(reader, first, end, depth=depth + 1, numbers=numbers))
        yield Box(kind, at, first, min(end, stop), children)
        if kind == until:
            return
        at = end


@dataclass(frozen=True, slots=True)
class Palette:
    """The boxes ``pclr`` and ``cmap`` (I.5.3.4, I.5.3.5)."""

    table: npt.NDArray[Any]
    """Shape (entries, columns), of a type for all columns: signed where one is."""
    bits: tuple[int, ...]
    mapping: tuple[tuple[int, int, int], ...]
    """For each channel: component, 1 if through the palette, column."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What ``jp2h`` says beside the codestream."""

    size: tuple[int, int, int] | None = None
    """``ihdr`` (I.5.3.1): rows and columns of the image area, and the number of components."""
    colour: str = ""
    """Enumerated colour space, or ``"ICC profile"``."""
    icc: bytes = b""
    palette: Palette | None = None
    channels: tuple[tuple[int, int, int], ...] = ()
    """``cdef``: channel, type (0 colour, 1 opacity, 2 premultiplied opacity), association."""
    resolution: tuple[float, float] | None = None
    """(vertical, horizontal) samples per metre: ``resc``, else ``resd``."""


_SPACES: Final = {
    12: "CMYK",
    14: "CIELab",
    16: "sRGB",
    17: "greyscale",
    18: "sYCC",
    20: "e-sRGB",
    21: "ROMM-RGB",
    24: "e-sYCC",
}


def image_header(reader: HeaderReader, box: Box) -> ImageHeader:
    """Parse ``jp2h``; what makes no sense there is left out, the codestream says what is needed to decode."""
    colour, icc = _read_colour(reader, box)
    channels: tuple[tuple[int, int, int], ...] = ()
    for found in box.find_box(b"cdef")[:1]:
        body = bytes(reader.get(found.first, found.stop))
        count = int.from_bytes(body[:2], "big")
        if len(body) >= 2 + 6 * count:
            channels = tuple(struct.iter_unpack(">HHH", body[2 : 2 + 6 * count]))
    return ImageHeader(
        _read_size(reader, box), colour, icc, _read_palette(reader, box), channels, _read_resolution(reader, box)
    )


def _read_size(reader: HeaderReader, box: Box) -> tuple[int, int, int] | None:
    for found in box.find_box(b"ihdr")[:1]:
        if found.stop - found.first >= 10:
            rows, columns, components = struct.unpack(">IIH", reader.get(found.first, found.first + 10))
            return rows, columns, components
    return None


def _read_colour(reader: HeaderReader, box: Box) -> tuple[str, bytes]:
    for found in box.find_box(b"colr"):
        body = bytes(reader.get(found.first, found.stop))
        # METH 1 is an enumerated space, 2 and 3 are ICC profiles (I.5.3.3, and T.801 for 3).
        if body[:1] == b"\1" and len(body) >= 7:
            number = int.from_bytes(body[3:7], "big")
            return _SPACES.get(number, f"enumerated {number}"), b""
        if body[:1] in {b"\2", b"\3"}:
            return "ICC profile", body[3:]
    return "", b""


def _read_palette(reader: HeaderReader, box: Box) -> Palette | None:
    """Read palette and mapping; None where they do not fit together."""
    tables, maps = box.find_box(b"pclr"), box.find_box(b"cmap")
    if not tables or not maps:
        return None
    body = bytes(reader.get(tables[0].first, tables[0].stop))
    entries, columns = struct.unpack(">HB", body[:3]) if len(body) >= 3 else (0, 0)
    bits = tuple((b & 0x7F) + 1 for b in body[3 : 3 + columns])
    widths = [-(-b // 8) for b in bits]
    first, stop = maps[0].first, maps[0].stop
    # No component and no definition of channels (I.5.3.6) speaks of more channels than 16 bits can number.
    body_of_map = bytes(reader.get(first, stop)) if stop - first <= 4 * _MOST_CHANNELS else b""
    mapping = tuple(struct.iter_unpack(">HBB", _whole_items(body_of_map, 4)))
    if not 1 <= entries <= 1024 or len(bits) != columns or len(body) < 3 + columns + entries * sum(widths):
        return None
    if not mapping or not bits or max(bits) > 32 or any(column >= columns for _, used, column in mapping if used):
        return None
    rows = np.frombuffer(body, np.uint8, entries * sum(widths), 3 + columns).reshape(entries, -1).astype(np.int64)
    lowest = [-(1 << (n - 1)) if b & 0x80 else 0 for n, b in zip(bits, body[3:], strict=False)]
    kinds = [np.min_scalar_type(low or (1 << n) - 1) for n, low in zip(bits, lowest, strict=True)]
    table = np.empty((entries, columns), np.result_type(*kinds))
    at = 0
    for column, (width, low) in enumerate(zip(widths, lowest, strict=True)):
        values = np.zeros(entries, np.int64)
        for byte in range(width):
            values = (values << 8) | rows[:, at + byte]
        # Signed entries stand in the low bits of their bytes, as two's complement.
        table[:, column] = ((values - low) & (-2 * low - 1)) + low if low else values
        at += width
    return Palette(table, bits, mapping)


def _whole_items(body: bytes, step: int) -> bytes:
    return body[: len(body) // step * step]


def _read_resolution(reader: HeaderReader, box: Box) -> tuple[float, float] | None:
    for found in [r for outer in box.find_box(b"res ") for kind in (b"resc", b"resd") for r in outer.find_box(kind)]:
        body = bytes(reader.get(found.first, found.stop))
        if len(body) >= 10:
            # Numerators, denominators and powers of ten, vertical before horizontal (I.5.3.7).
            vn, vd, hn, hd, ve, he = struct.unpack(">4H2b", body[:10])
            if vd and hd:
                return vn / vd * 10.0**ve, hn / hd * 10.0**he
    return None
