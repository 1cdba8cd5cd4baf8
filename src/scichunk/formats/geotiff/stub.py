"""A tiny TIFF with another file's descriptive tags, so that GDAL interprets them without touching the file.

GDAL's reading of GeoKeys, of its own XML tag and of nodata is the reference; handing it a few kilobytes in memory gives the
same answers as opening the file, whatever the storage, and no request for files beside it.
"""

from __future__ import annotations

import struct
from typing import Final

from scichunk.formats.geotiff.ifd import Directory
from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.raster.texts import MOST_BYTES, MOST_POINTS, excess

__all__ = ["TELLING", "choose_tags", "make_stub"]

TELLING: Final = frozenset(
    {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844, 320, 338}
    | {269, 270, 280, 281, 282, 283, 296, 305, 306, 315, 316, 33432, 50908, 50909}  # GDAL's items TIFFTAG_...
)
"""Tags without which GDAL has nothing to say: of others it makes nothing that is asked for."""
_POINT_VALUES: Final = 6
"""Of a control point (ModelTiepoint, OGC 19-008)."""
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def choose_tags(d: Directory) -> tuple[list[int], dict[int, str]]:
    """Choose the tags that GDAL is given; of too many bytes together, the shorter ones, as values of several tags may share a place.

    Returns
    -------
    tuple of list and dict
        Codes of these tags, and why others are left out.
    """
    chosen: list[int] = []
    left_out: dict[int, str] = {}
    room = MOST_BYTES
    for tag in sorted((d.tags[code] for code in TELLING & d.tags.keys()), key=lambda t: (t.nbytes, t.code)):
        if tag.type not in _SIZES or not tag.nbytes:
            continue
        why = ""
        if tag.nbytes > room:
            why = f"has {tag.nbytes} bytes"
        elif tag.code == 33922 and tag.count > MOST_POINTS * _POINT_VALUES:
            why = f"has {tag.count // _POINT_VALUES} control points"
        elif tag.code == 42112 and (found := excess(d.raw_bytes(42112))):
            why = f"has {found}"
        if why:
            left_out[tag.code] = why
        else:
            chosen.append(tag.code)
            room -= tag.nbytes
    return chosen, left_out


def make_stub(image: TIFFImage) -> bytes:
    """Write a BigTIFF of 1 x 1 pixels without data, with the descriptive tags of a directory."""
    d, order = image.directory, image.directory.order
    entries = {code: (d.tags[code].type, d.tags[code].count, d.raw_bytes(code)) for code in choose_tags(d)[0]}

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
    found = d.get_array(code, samples)
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
