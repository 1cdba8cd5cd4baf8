"""Opened JPEG 2000 files: their groups, arrays and metadata."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from scichunk.codecs.codestream import MainHeader
from scichunk.collecting import CollectedArray
from scichunk.errors import FormatError, ScichunkError, UnsupportedFeature
from scichunk.formats.jpeg2000.index import PartTable, TileCollector, build_index, planning_grid
from scichunk.formats.jpeg2000.structure import read_structure
from scichunk.model import ArrayInfo, Node, Place
from scichunk.reading import ArraySource
from scichunk.sources import ByteSource, Location

__all__ = ["JPEG2000File", "open_file"]


def open_file(location: Location, source: ByteSource | None = None) -> JPEG2000File:
    """Open a JPEG 2000 file and read its boxes and main header.

    Raises
    ------
    FormatError
        If it is none, or a corrupt one.
    SourceError
        If it cannot be read.
    """
    return JPEG2000File(location, source or location.open())


class JPEG2000File:
    """One file; arrays and metadata are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        self.location, self.source = location, source
        self.fingerprint = source.fingerprint
        try:
            self.structure = read_structure(source)
        except ScichunkError as error:
            raise error.at(url=source.url) from None
        self.parts = PartTable(self.structure, source)
        self._arrays: dict[Place, ArraySource] = {}
        self._lock = threading.RLock()

    @property
    def header(self) -> MainHeader:
        """Main header of the codestream."""
        return self.structure.header

    def array(self, place: Place) -> ArraySource:
        """Return the pixels of ``("image", group, reduce, reader, expand)``.

        Raises
        ------
        FormatError
            If there is no such level, or the layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            if place not in self._arrays:
                try:
                    self._arrays[place] = self._open_array(*place[1:])
                except ScichunkError as error:
                    raise error.at(url=self.source.url) from None
            return self._arrays[place]

    def _open_array(self, number: int, reduce: int, reader: str, expand: bool) -> ArraySource:
        group = self.structure.groups[number]
        index = build_index(self.structure, group, reduce)
        key = ("jpeg2000", self.location.key, self.fingerprint, number, reduce)
        collector = TileCollector(self.structure, index.codec, self.parts)
        return CollectedArray(index, self.source, key, collector, planning_grid(index.grid, partial=index.codec.partial))
