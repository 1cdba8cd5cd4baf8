"""The structure of a JPEG 2000 file: its boxes, and the main header of its (first) codestream."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from scichunk.codecs.jpeg2000.codestream import main_header
from scichunk.codecs.jpeg2000.parameters import MainHeader, ceil_div
from scichunk.codecs.jpeg2000.tile_parts import Codestream
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning, UnsupportedFeature
from scichunk.formats.jpeg2000.boxes import SIGNATURE, Box, ImageHeader, image_header, walk_boxes
from scichunk.sources.base import ByteSource
from scichunk.sources.read_ahead import HeaderReader
from scichunk.warned import warn_caller

__all__ = ["Group", "JPEG2000Structure", "read_structure"]


_MOST_GROUPS: Final = 64


@dataclass(frozen=True, slots=True)
class Group:
    """Components of one size: what becomes one array."""

    components: tuple[int, ...]
    dx: int
    dy: int
    bits: tuple[int, ...]
    signed: tuple[bool, ...]


@dataclass(frozen=True)
class JPEG2000Structure:
    """The facts of a file."""

    reader: HeaderReader = field(repr=False)
    boxes: tuple[Box, ...]
    """Those up to the codestream; empty for a raw codestream."""
    header: MainHeader = field(repr=False)
    start: int
    """First byte of the codestream."""
    stop: int

    @cached_property
    def codestream(self) -> Codestream:
        """The codestream, for the collector of its tiles."""
        return Codestream(self.header, self.start, self.stop)

    @cached_property
    def image(self) -> ImageHeader:
        """What ``jp2h`` says."""
        for box in self.boxes:
            if box.kind == b"jp2h":
                return image_header(self.reader, box)
        return ImageHeader()

    @cached_property
    def all_boxes(self) -> tuple[Box, ...]:
        """All boxes, those behind the codestream too; what is broken there is left out."""
        if not self.boxes:
            return ()
        found = list(self.boxes)
        with contextlib.suppress(FormatError, LimitExceeded):
            found.extend(walk_boxes(self.reader, self.stop, self.reader.size))
        return tuple(found)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Components by the distance of their samples, in order of first appearance."""
        found: dict[tuple[int, int], list[int]] = {}
        for i, c in enumerate(self.header.size.components):
            found.setdefault((c.dx, c.dy), []).append(i)
        parts = self.header.size.components
        if len(found) > _MOST_GROUPS:
            msg = f"components of {len(found)} different distances of samples"
            raise LimitExceeded(msg)
        return tuple(
            Group(tuple(which), dx, dy, tuple(parts[i].bits for i in which), tuple(parts[i].signed for i in which))
            for (dx, dy), which in found.items()
        )

    def group_shape(self, group: Group, reduce: int) -> tuple[int, int, int]:
        """(components, rows, columns) of a group, halved some times (B.2, B.5)."""
        s = self.header.size
        rows = _reduce_position(s.y1, group.dy, reduce) - _reduce_position(s.y0, group.dy, reduce)
        columns = _reduce_position(s.x1, group.dx, reduce) - _reduce_position(s.x0, group.dx, reduce)
        return len(group.components), rows, columns


def _reduce_position(position: int, step: int, reduce: int) -> int:
    return ceil_div(ceil_div(position, step), 1 << reduce)


def read_structure(source: ByteSource) -> JPEG2000Structure:
    """Read boxes and main header.

    Raises
    ------
    FormatError
        If it is no JPEG 2000 file, or a corrupt one.
    UnsupportedFeature
        If its codestream lies in pieces, or in another file.
    """
    reader = HeaderReader(source)
    head = bytes(reader.get(0, min(16, reader.size)))
    # SOC and SIZ: a codestream without boxes, which is no JP2 file but common.
    if head[:4] == b"\xff\x4f\xff\x51":
        return JPEG2000Structure(reader, (), main_header(reader.get, 0, reader.size), 0, reader.size)
    if not head.startswith(SIGNATURE):
        msg = f"not a JPEG 2000 file: it begins with {head[:12]!r}"
        raise FormatError(msg)
    boxes = tuple(walk_boxes(reader, 0, reader.size, until=b"jp2c"))
    if not boxes or boxes[-1].kind != b"jp2c":
        if any(b.kind in {b"ftbl", b"mdat", b"moov"} for b in boxes):
            msg = "its codestream lies in fragments (box ftbl), or it is a film"
            raise UnsupportedFeature(msg)
        msg = "there is no codestream (box jp2c)"
        raise FormatError(msg)
    code = boxes[-1]
    found = JPEG2000Structure(reader, boxes, main_header(reader.get, code.first, code.stop), code.first, code.stop)
    _compare_sizes(found)
    return found


def _compare_sizes(structure: JPEG2000Structure) -> None:
    """Compare the image header box with the codestream: OpenJPEG trusts the one, others the other (I.5.3.1).

    Raises
    ------
    FormatError
        If they differ in height or width: one of them is damaged, and the codestream may promise any number of pixels.

    Warns
    -----
    MetadataWarning
        If they differ in the number of components; those of the codestream are read.
    """
    declared, size = structure.image.size, structure.header.size
    if declared is None:
        return
    rows, columns, components = size.y1 - size.y0, size.x1 - size.x0, len(size.components)
    if declared[:2] != (rows, columns):
        msg = f"the box ihdr says {declared[0]} x {declared[1]} pixels (rows x columns), the codestream {rows} x {columns}"
        raise FormatError(msg)
    if declared[2] != components:
        msg = f"the box ihdr says {declared[2]} components, the codestream has {components}, which are read [{structure.reader.source.url}]"
        warn_caller(msg, MetadataWarning)
