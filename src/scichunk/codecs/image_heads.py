"""What images within blocks say of their own size, read before a decoder makes room for it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded

__all__ = ["ImageSize", "check_sampling", "check_size", "read_size"]

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame header (ITU-T T.81, table B.1)."""
_LERC_SIZES: Final = (1, 1, 2, 2, 4, 4, 4, 8)
"""Bytes of a value of each type of LERC 2."""
_JXL_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width by height where a JPEG XL header leaves the width out (ISO/IEC 18181-1, table D.2)."""


class ImageSize(NamedTuple):
    """What a header promises."""

    rows: int
    columns: int
    pixel_bytes: int
    """Bytes of a decoded pixel, all its samples together; the fewest that there can be where the header is not read so far."""


def read_size(codec: str, data: bytes | memoryview) -> ImageSize | None:
    """Read the size that an image gives itself.

    Parameters
    ----------
    codec
        ``"jpeg"``, ``"webp"``, ``"lerc"`` or ``"jpegxl"``.
    data
        The image.

    Returns
    -------
    Size or None
        None where the header is not understood; a decoder refuses such data, or finds the size by the same rules.
    """
    try:
        return _READERS[codec](data)
    except (struct.error, IndexError):  # the data end within the header
        return None


def check_size(codec: str, data: bytes | memoryview, columns: int, pixel_bytes: int) -> None:
    """Compare the header of an image with what is expected of it.

    The number of rows is looked at by whoever reads the pixels: the last strip of a file may hold more or fewer of them.

    Parameters
    ----------
    codec, data
        As in :func:`read_size`.
    columns
        Columns that the image must have.
    pixel_bytes
        Bytes of an expected pixel, all samples together.

    Raises
    ------
    FormatError
        If it has another number of columns.
    LimitExceeded
        If it is larger than ``options.max_chunk_bytes``.
    """
    size = read_size(codec, data)
    if size is None:
        return
    name = codec.upper()
    if size.columns != columns:
        msg = f"{name} data hold an image of {size.rows} x {size.columns} pixels, not of {columns} columns"
        raise FormatError(msg)
    limit = options.get().max_chunk_bytes
    if size.rows * size.columns * max(size.pixel_bytes, pixel_bytes) > limit:
        msg = f"{name} data hold an image of {size.rows} x {size.columns} pixels, more than {limit} bytes (options.max_chunk_bytes)"
        raise LimitExceeded(msg)


def check_sampling(data: bytes | memoryview) -> None:
    """Look whether all components of a JPEG are as fine, as red, green and blue are.

    Raises
    ------
    FormatError
        If not: then they are luminance and chrominance, whatever the file around them says. libtiff refuses such data, too.
    """
    at = _find_frame(data)
    factors = bytes(data[at + 11 : at + 10 + 3 * data[at + 9] : 3]) if at is not None else b""
    if len(set(factors)) > 1:
        shown = ", ".join(f"{f >> 4} x {f & 15}" for f in factors)
        msg = f"JPEG data of components that are sampled differently ({shown}) are said to be red, green and blue"
        raise FormatError(msg)


def _read_jpeg_size(data: bytes | memoryview) -> ImageSize | None:
    at = _find_frame(data)
    return None if at is None else ImageSize(*struct.unpack_from(">HHB", data, at + 5))


def _find_frame(data: bytes | memoryview) -> int | None:
    """Find the frame header (ITU-T T.81, section B.2.2)."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _FRAMES:
            return at
        at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return None


def _read_webp_size(data: bytes | memoryview) -> ImageSize | None:
    """Read the first chunk of a RIFF container (RFC 9649, section 2)."""
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WEBP":
        return None
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return ImageSize(high + 1, wide + 1, 3)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return ImageSize((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 3)
    if kind == b"VP8 ":
        wide, high = struct.unpack_from("<HH", data, 26)
        return ImageSize(high & 0x3FFF, wide & 0x3FFF, 3)
    return None


def _read_lerc_size(data: bytes | memoryview) -> ImageSize | None:
    """Add up the blobs of all bands: each says how long it is, and a blob of one value needs a hundred bytes only."""
    rows = columns = pixel_bytes = 0
    for high, wide, nbytes in _lerc_blobs(data):
        rows, columns = max(rows, high), max(columns, wide)
        pixel_bytes += nbytes
    return ImageSize(rows, columns, pixel_bytes) if pixel_bytes else None


def _lerc_blobs(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Give (rows, columns, bytes of a pixel) of each blob, by the C structures of Esri's reference implementation."""
    if bytes(data[:10]) == b"CntZImage ":  # LERC 1, which holds floats
        high, wide = struct.unpack_from("<ii", data, 18)
        yield high, wide, 4
        return
    at = 0
    while bytes(data[at : at + 6]) == b"Lerc2 ":
        version = struct.unpack_from("<i", data, at + 6)[0]
        offset = at + (14 if version >= 3 else 10)  # from version 3 on, a checksum follows
        high, wide = struct.unpack_from("<ii", data, offset)
        offset += 8
        depth = 1
        if version >= 4:
            depth = struct.unpack_from("<i", data, offset)[0]
            offset += 4
        length, kind = struct.unpack_from(
            "<ii", data, offset + 8
        )  # after the counts of valid pixels and of a micro block
        if min(high, wide, depth, length) <= 0 or not 0 <= kind < len(_LERC_SIZES):
            return
        yield high, wide, depth * _LERC_SIZES[kind]
        at += length


class _BitReader:
    """Bits of the first bytes, the lowest first."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._value = int.from_bytes(data[:16], "little")

    def take(self, count: int) -> int:
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        return found


def _read_jpegxl_size(data: bytes | memoryview) -> ImageSize | None:
    """Read the size header (ISO/IEC 18181-1, D.2) of a bare codestream, or of the first codestream box of a container."""
    stream = data
    if bytes(data[4:8]) == b"JXL ":
        at = 0
        while bytes(data[at + 4 : at + 8]) not in {b"jxlc", b"jxlp"}:
            length = struct.unpack_from(">I", data, at)[0]
            if length < 8:  # to the end of the file, or an extended length, which no box before the codestream needs
                return None
            at += length
        stream = data[at + (8 if data[at + 7] == ord("c") else 12) :]  # a part begins with its number
    if bytes(stream[:2]) != b"\xff\x0a":
        return None
    # One bit tells whether sides are multiples of 8 up to 256, then the height; three bits give the width by a ratio, or not.
    bits = _BitReader(stream[2:])
    small = bits.take(1)
    rows = _jxl_side(bits, small)
    ratio = bits.take(3)
    if ratio:
        times, by = _JXL_RATIOS[ratio - 1]
        return ImageSize(rows, rows * times // by, 1)
    return ImageSize(rows, _jxl_side(bits, small), 1)


def _jxl_side(bits: _BitReader, small: int) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


_READERS: Final[dict[str, Callable[[bytes | memoryview], ImageSize | None]]] = {
    "jpeg": _read_jpeg_size,
    "webp": _read_webp_size,
    "lerc": _read_lerc_size,
    "jpegxl": _read_jpegxl_size,
}
