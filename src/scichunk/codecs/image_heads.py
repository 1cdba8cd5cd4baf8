"""What images within blocks say of their own size, read before a decoder makes room for it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded

__all__ = ["ImageSize", "check_sampling", "check_size", "read_size"]

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame header (ITU-T T.81, table B.1)."""
_MOST_SCANS: Final = 100
"""Of a JPEG image, as in libtiff and GDAL: each goes through all coefficients, and may have a hundred bytes."""
_SCAN: Final = re.compile(rb"\xff\xda")
"""The marker SOS; within the data of a scan a zero follows each byte of ones (ITU-T T.81, section B.1.1.5)."""
_JXL_HEAD_BYTES: Final = 64
"""Of a JPEG XL codestream, more than everything takes that is read here."""
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
        If it has another number of columns, JPEG XL data have more extra channels than there are samples, or LERC data no header.
    LimitExceeded
        If it is larger than ``options.max_chunk_bytes``, or JPEG data have more scans than anyone needs.
    """
    size, name = read_size(codec, data), codec.upper()
    if size is None:
        if codec == "lerc":  # imagecodecs unpacks blobs that are compressed again, whatever size they have
            msg = "LERC data do not begin with the header of a blob"
            raise FormatError(msg)
        return
    if size.columns != columns:
        msg = f"{name} data hold an image of {size.rows} x {size.columns} pixels, not of {columns} columns"
        raise FormatError(msg)
    if codec == "jpegxl" and size.pixel_bytes > pixel_bytes:
        msg = f"JPEGXL data hold pixels of {size.pixel_bytes} bytes or more, not of {pixel_bytes}"
        raise FormatError(msg)
    if codec == "jpeg" and (scans := sum(1 for _ in _SCAN.finditer(data))) > _MOST_SCANS:
        msg = f"JPEG data hold {scans} scans, more than {_MOST_SCANS}"
        raise LimitExceeded(msg)
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

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        return found

    def take_one_of(self, *ways: tuple[int, int]) -> int:
        """Take a number of one of four ways, by two bits: so many bits, and what is added to them (ISO/IEC 18181-1, B.2)."""
        bits, offset = ways[self.take(2)]
        return self.take(bits) + offset


def _read_jpegxl_size(data: bytes | memoryview) -> ImageSize | None:
    """Read the headers of size and metadata (ISO/IEC 18181-1, D.2 and D.3) up to the number of extra channels."""
    stream = _jxl_codestream(data)
    if stream[:2] != b"\xff\x0a":
        return None
    bits = _BitReader(stream[2:])
    rows, columns = _jxl_sides(bits)
    if bits.take(1):  # all of the metadata are the defaults: 8 bits, no extra channels
        return ImageSize(rows, columns, 1)
    if bits.take(1):  # orientation and what else few images have
        bits.take(3)
        if bits.take(1):  # the size at which it is to be shown
            _jxl_sides(bits)
        if bits.take(1):
            _skip_jxl_preview(bits)
        if bits.take(1):  # an animation: ticks of a second, loops, time codes
            bits.take_one_of((0, 100), (0, 1000), (10, 1), (30, 1))
            bits.take_one_of((0, 1), (0, 1001), (8, 1), (10, 1))
            bits.take_one_of((0, 0), (3, 0), (16, 0), (32, 0))
            bits.take(1)
    if bits.take(1):  # floating-point samples
        sample_bits = bits.take_one_of((0, 32), (0, 16), (0, 24), (6, 1))
        bits.take(4)
    else:
        sample_bits = bits.take_one_of((0, 8), (0, 10), (0, 12), (6, 1))
    bits.take(1)  # whether 16 bits suffice for what modular images have in between
    extra = bits.take_one_of((0, 0), (0, 1), (4, 2), (12, 1))
    return ImageSize(rows, columns, (1 + extra) * -(-sample_bits // 8))


def _jxl_codestream(data: bytes | memoryview) -> bytes:
    """The beginning of a bare codestream, or of that in the boxes of a container, which may be in parts."""
    if bytes(data[4:8]) != b"JXL ":
        return bytes(data[:_JXL_HEAD_BYTES])
    stream, at = b"", 0
    while len(stream) < _JXL_HEAD_BYTES and at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        first = at + 8
        if length == 1:  # an extended length
            length = struct.unpack_from(">Q", data, first)[0]
            first += 8
        end = at + length if length else len(data)  # 0: to the end of the file
        if end < first:
            return b""
        if kind in {b"jxlc", b"jxlp"}:
            first += 4 if kind == b"jxlp" else 0  # a part begins with its number
            stream += bytes(data[first : min(end, first + _JXL_HEAD_BYTES)])
        at = end
    return stream


def _jxl_sides(bits: _BitReader) -> tuple[int, int]:
    """Rows and columns: one bit tells whether they are multiples of 8 up to 256; three bits give the width by a ratio, or not."""
    small = bits.take(1)
    rows = _jxl_side(bits, small)
    ratio = bits.take(3)
    if ratio:
        times, by = _JXL_RATIOS[ratio - 1]
        return rows, rows * times // by
    return rows, _jxl_side(bits, small)


def _jxl_side(bits: _BitReader, small: int) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take_one_of((9, 1), (13, 1), (18, 1), (30, 1))


def _skip_jxl_preview(bits: _BitReader) -> None:
    ways = ((0, 16), (0, 32), (5, 1), (9, 33)) if bits.take(1) else ((6, 1), (8, 65), (10, 321), (12, 1345))
    bits.take_one_of(*ways)
    if not bits.take(3):
        bits.take_one_of(*ways)


_READERS: Final[dict[str, Callable[[bytes | memoryview], ImageSize | None]]] = {
    "jpeg": _read_jpeg_size,
    "webp": _read_webp_size,
    "lerc": _read_lerc_size,
    "jpegxl": _read_jpegxl_size,
}
