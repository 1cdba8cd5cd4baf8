"""A tiny TIFF with another file's descriptive tags, so that GDAL interprets them without touching the file.

GDAL's reading of GeoKeys, of its own XML tag and of nodata is the reference; handing it a few kilobytes in memory gives the
same answers as opening the file, whatever the storage, and no request for files beside it.
"""

from __future__ import annotations

import struct
from typing import Final

from scichunk.formats.geotiff.ifd import LAYOUT, Directory
from scichunk.formats.geotiff.structure import TIFFImage

__all__ = ["MAX_TAG_BYTES", "TELLING", "make_stub"]

TELLING: Final = frozenset(
    {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844, 320, 338}
    | {269, 270, 280, 281, 282, 283, 296, 305, 306, 315, 316, 33432}  # GDAL's items TIFFTAG_...
)
"""Tags without which GDAL has nothing to say."""

MAX_TAG_BYTES: Final = 1 << 24
"""Longer values are left out."""
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def make_stub(image: TIFFImage) -> bytes:
    """Write a BigTIFF of 1 x 1 pixels without data, with the descriptive tags of a directory."""
    d, order = image.directory, image.directory.order
    entries: dict[int, tuple[int, int, bytes]] = {}
    for code, tag in d.tags.items():
        if code not in LAYOUT and tag.type in _SIZES and 0 < tag.nbytes <= MAX_TAG_BYTES:
            entries[code] = (tag.type, tag.count, d.raw_bytes(code))

    def put(code: int, *values: int) -> None:
        entries[code] = (3, len(values), struct.pack(f"{order}{len(values)}H", *values))

    photometric = {-1: 1, 6: 2}.get(image.photometric, image.photometric)
    if photometric not in {0, 1, 2, 3, 5, 8} or (photometric == 3 and 320 not in d.tags):
        photometric = 1
    samples = min(image.samples, 65535)
    put(256, 1)
    put(257, 1)
    entries[258] = _layout_tag(d, 258, image.bits[0], samples)
    put(259, 1)
    put(262, photometric)
    put(273, 0)
    put(277, samples)
    put(278, 1)
    put(279, 0)
    put(284, 1)
    entries[339] = _layout_tag(d, 339, image.sample_format[0], samples)
    return _write_tiff(entries, order)


def _layout_tag(d: Directory, code: int, default: int, samples: int) -> tuple[int, int, bytes]:
    found = d.get_array(code)
    whole = found.size == samples and found.dtype.kind in "iu"
    values = [int(v) & 0xFFFF for v in found] if whole else [default & 0xFFFF] * samples
    return 3, samples, struct.pack(f"{d.order}{samples}H", *values)


def _write_tiff(entries: dict[int, tuple[int, int, bytes]], order: str) -> bytes:
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    table = struct.pack(f"{order}Q", len(entries))
    at = 16 + 8 + 20 * len(entries) + 8
    tail = b""
    for code in sorted(entries):
        kind, count, value = entries[code]
        if len(value) <= 8:
            field = value.ljust(8, b"\0")
        else:
            field = struct.pack(f"{order}Q", at + len(tail))
            tail += value + b"\0" * (-len(value) % 8)
        table += struct.pack(f"{order}HHQ", code, kind, count) + field
    return head + table + struct.pack(f"{order}Q", 0) + tail
