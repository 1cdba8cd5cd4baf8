"""Opened JPEG 2000 files: their groups, arrays and metadata."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from typing import Any, Final, cast

from scichunk.codecs.jpeg2000.collector import PartTable, TileCollector
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.codecs.jpeg2000.tile_packets import NEAR, USUAL
from scichunk.core.arrays import ArraySource
from scichunk.core.cache import key_of
from scichunk.core.files import ArrayId, ArrayInfo, FileBase, Node, close_arrays, normalise_positions
from scichunk.core.layout import Layout
from scichunk.core.staged import StagedArray
from scichunk.errors import GroupNotFound, UnsupportedFeature, located
from scichunk.formats.jpeg2000 import names_beside, nodes
from scichunk.formats.jpeg2000.array_ids import DecodedId, ImageId
from scichunk.formats.jpeg2000.channels import ChannelArray, find_channels
from scichunk.formats.jpeg2000.manifest import build_index, check_tiles, planning_grid
from scichunk.formats.jpeg2000.metadata import pick_metadata, read_metadata
from scichunk.formats.jpeg2000.reference import open_reference
from scichunk.formats.jpeg2000.structure import read_structure
from scichunk.raster.gdal import RasterMetadata, check_placed
from scichunk.raster.variables import masked_source, raster_layout
from scichunk.sources import ByteSource, Location

__all__ = ["JPEG2000File", "open_file"]


_HEAD_NEAR_BYTES: Final = 1 << 12
_HEAD_FAR_BYTES: Final = 1 << 13


def open_file(location: Location, source: ByteSource | None = None) -> JPEG2000File:
    """Open a JPEG 2000 file and read its boxes and main header.

    Raises
    ------
    FormatError
        If it is none, or a corrupt one.
    UnsupportedFeature
        If its codestream lies in fragments.
    SourceError
        If it cannot be read.
    """
    return JPEG2000File(location, source or location.open())


class JPEG2000File(FileBase):
    """One file; arrays and metadata are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        super().__init__(location, source)
        with located(url=source.url):
            self.structure = read_structure(source)
            self.levels = self.header.levels
            check_tiles(self.structure)
            self.structure.groups  # noqa: B018  # an impossible number of them is an error of the file
        self.parts = PartTable(self.structure.codestream, source)
        self._metadata: RasterMetadata | None = None
        self._lock = threading.RLock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the source, of headers, of the places of tile-parts, and of the indexes of arrays."""
        header = self.header
        packed = sum(map(len, header.packed)) if header.packed else 0
        found = packed + header.lengths.nbytes
        return super().cached_bytes + self.structure.reader.cached_bytes + self.parts.cached_bytes + found

    @property
    def header(self) -> MainHeader:
        """Main header of the codestream."""
        return self.structure.header

    def groups(self) -> list[str]:
        """Return ``/page_0`` and ``/reduce_1`` ...: as often as the image can be halved and has pixels; ``/`` if it cannot."""
        found = [f"/reduce_{n}" for n in range(1, self.levels + 1) if self._has_samples(n)]
        return ["/page_0", *found] if found else ["/"]

    def _has_samples(self, reduce: int) -> bool:
        return all(min(self.structure.group_shape(g, reduce)) > 0 for g in self.structure.groups)

    def locate_group(self, group: str) -> tuple[int, bool]:
        """Translate a group's path to (reduce, expand).

        Raises
        ------
        GroupNotFound
            If there is no such group.
        """
        parts = re.fullmatch(r"(?:page_0|reduce_(\d{1,2}))?(?:(?:^|(?<=\d)_)(expanded))?", group.strip("/"))
        if parts is None or int(parts[1] or 0) > self.levels or (parts[1] and int(parts[1]) == 0):
            raise GroupNotFound.among(group, self.groups(), url=self.source.url)
        return int(parts[1] or 0), parts[2] is not None

    def select(self, *, reduce: int | None = None, overview: int | None = None, expand: bool = False) -> str:
        """Return the group of a reduced image: halved ``reduce`` times, or ``overview`` counted from 0."""
        if reduce is not None and overview is not None:
            msg = "reduce= and overview= say the same in two ways; give one"
            raise TypeError(msg)
        level = int(reduce or 0) if overview is None else int(overview) + 1
        names = ([f"reduce_{level}"] if level else []) + (["expanded"] if expand else [])
        path = "/" + "_".join(names)
        if level > self.levels:  # said here, where the user's words are known
            words = f"reduce={level}" if overview is None else f"overview={overview}"
            msg = f"there is no group {path!r}: it can be halved {self.levels} times, which is less than {words}"
            raise GroupNotFound(msg, url=self.source.url)
        return path

    def node(self, group: str = "/") -> Node:
        """Build the node of the full image, or of a reduced one."""
        reduce, expand = self.locate_group(group)
        return nodes.build_node(self.structure, self.metadata(), self.array, reduce, expand=expand)

    def metadata(self) -> RasterMetadata:
        """Return what GDAL says of the image, one entry for each component."""
        with self._lock:
            if self._metadata is None:
                path = self.location.local_path
                found = self.location.existing(names_beside(os.path.basename(path))) if path and not self.alone else []
                self._metadata = read_metadata(self.structure, os.path.basename(path or ""), found)
                check_placed(self._metadata, self.source.url)
            return self._metadata

    def find_array(
        self,
        *,
        reduce: int = 0,
        bands: tuple[int, ...] | None = None,
        reader: str = "auto",
        expand: bool = False,
    ) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Return the array that holds some components, and their positions in it.

        Parameters
        ----------
        bands
            Components of the codestream (channels, with ``expand``); None for all.
        reduce, reader, expand
            As in the id of an array.

        Raises
        ------
        UnsupportedFeature
            If they differ in size, so that no array holds them.
        """
        groups = self.structure.groups
        if len(groups) == 1 or expand:
            return ImageId(0, reduce, reader, expand), bands
        total = len(self.header.size.components)
        wanted = normalise_positions(bands, total) or tuple(range(total))
        for number, group in enumerate(groups):
            if all(c in group.components for c in wanted):
                return ImageId(number, reduce, reader, expand), tuple(group.components.index(c) for c in wanted)
        sizes = "; ".join(f"{g.components}: {self.structure.group_shape(g, reduce)[1:]}" for g in groups[:4])
        msg = f"components of several sizes ({sizes}): pick those of one by bands=, or open them as a dataset"
        raise UnsupportedFeature(msg, url=self.source.url)

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return the pixels of an image.

        Raises
        ------
        FormatError
            If there is no such level, or the layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            if array_id not in self._arrays:
                which = cast("ImageId", array_id)
                make = self._masked_array if isinstance(which, DecodedId) else self._open_array
                with located(url=self.source.url, part=f"reduce {which.reduce}" if which.reduce else None):
                    self._arrays[array_id] = make(which)
            return self._arrays[array_id]

    def _masked_array(self, which: ImageId) -> ArraySource:
        """Decoded pixels with NaN where the alpha channel says that there is no data."""
        pixels = self.array(ImageId(which.group, which.reduce, which.reader, which.expand))
        group = self.structure.groups[which.group]
        metadata = pick_metadata(self.structure, self.metadata(), group, expand=which.expand)
        return masked_source(pixels, metadata)

    def _open_array(self, which: ImageId) -> ArraySource:
        """Open the pixels of a group of components by the own decoders, else through the reference library."""
        group, reduce = self.structure.groups[which.group], which.reduce
        if which.expand:
            if len(self.structure.groups) > 1:
                msg = "channels of components of several sizes"
                raise UnsupportedFeature(msg)
            image = self.structure.image
            inner = self.array(ImageId(which.group, reduce, which.reader))
            table = image.palette.table if image.palette is not None else None
            return ChannelArray(inner, find_channels(image, len(group.components)), table)
        if which.reader == "reference":
            build_index(self.structure, group, reduce)  # the same errors for levels that are not there
            return open_reference(self.source, self.structure, group, reduce, "asked for")
        index, codec = build_index(self.structure, group, reduce)
        head, thresholds = (_HEAD_NEAR_BYTES, NEAR) if self.source.is_cheap else (_HEAD_FAR_BYTES, USUAL)
        collector = TileCollector(codec, self.parts, key_of(self.source), head, thresholds)
        grid = planning_grid(index.grid, partial=codec.partial)
        return StagedArray(index, self.source, ("jpeg2000", which.group, reduce), collector, grid)

    def dims(self, array_id: ArrayId) -> tuple[str, ...]:
        """Return the names of an array's dimensions."""
        return nodes.name_group(cast("ImageId", array_id).group).dims

    def signature(self, array_id: ArrayId) -> object:
        """Return the layout: what GDAL says of the image is cached by the bytes of its boxes."""
        return self.layout(array_id)

    def layout(self, array_id: ArrayId) -> Layout:
        """Return shape, type, depth, grid and coordinate system of an image."""
        which = cast("ImageId", array_id)
        group, metadata = self.structure.groups[which.group], self.metadata()
        source = self.array(array_id)
        mine = pick_metadata(self.structure, metadata, group, expand=which.expand)
        found = raster_layout(source, *nodes.place_group(self.structure, group, mine, which.reduce))
        return replace(found, meaning={**found.meaning, "bits": group.bits, "signed": group.signed})

    def close(self) -> None:
        """Let go of descriptors and of what is kept in temporary files."""
        close_arrays(self._arrays.values())
        self.source.close()

    def describe(self) -> list[ArrayInfo]:
        """Describe every array."""
        numbers = range(len(self.structure.groups))
        return [self._describe_array(path, number) for path in self.groups() for number in numbers]

    def _describe_array(self, path: str, number: int) -> ArrayInfo:
        reduce, notes = self.locate_group(path)[0], dict[str, Any]()
        if not reduce and not number:
            parts = self.parts.known
            notes = nodes.notes_of(self.structure, self.metadata(), parts.found if parts else "")
        return nodes.describe_group(self.structure, path, ImageId(number, reduce), self.array, notes)
