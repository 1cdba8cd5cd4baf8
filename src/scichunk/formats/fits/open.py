"""Opened FITS files: their HDUs as arrays and nodes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from scichunk.errors import FormatError, ScichunkError, UnsupportedFeature
from scichunk.formats.fits import nodes
from scichunk.formats.fits.index import build_index, image_scaling
from scichunk.formats.fits.metadata import axes, world_coordinates
from scichunk.formats.fits.reference import open_reference
from scichunk.formats.fits.structure import HDU, Structure
from scichunk.model import ArrayInfo, Node, Place
from scichunk.reading import ArraySource, IndexedArray
from scichunk.sources import ByteSource, Location
from scichunk.sources.expanded import expand

__all__ = ["FITSFile", "open_file"]

Selector = int | str | tuple[str, int] | None


def open_file(location: Location, source: ByteSource | None = None) -> FITSFile:
    """Open a FITS file, compressed as a whole or not, and read its first header.

    Raises
    ------
    FormatError
        If it is no FITS file or its first header is corrupt.
    SourceError
        If it cannot be read.
    """
    return FITSFile(location, source or location.open())


class FITSFile:
    """One file; HDUs are found and arrays are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        self.location = location
        self.fingerprint = source.fingerprint
        self.source = expand(source)
        self.structure = Structure(self.source)
        self._arrays: dict[Place, ArraySource] = {}
        self._names: dict[str, HDU] | None = None
        self._lock = threading.RLock()

    def groups(self) -> list[str]:
        """Return ``/NAME`` of every image; only ``/`` where there is one HDU."""
        images = self._named()
        if len(images) == 1 and len(self.structure.all()) == 1:
            return ["/"]
        return ["/" + name for name in images]

    def root(self) -> Mapping[str, Any]:
        """Return the cards of the first header."""
        return nodes.attributes(self.structure[0].cards)

    def select(self, *, hdu: Selector = None) -> str:
        """Return the group of an HDU: by number, EXTNAME, or (EXTNAME, EXTVER)."""
        found = self.find(hdu)
        name = next((n for n, h in self._named().items() if h is found), None)
        if name is None:
            raise _not_an_image(found)
        return "/" + name

    def find(self, hdu: Selector) -> HDU:
        """Return an HDU; None: the first image.

        Raises
        ------
        FormatError
            If there is none.
        """
        try:
            if isinstance(hdu, tuple | list):
                name, version = hdu
                return next(h for h in self.structure.all() if (h.name, h.version) == (name.strip().upper(), version))
            if isinstance(hdu, str):
                return next(h for h in self.structure.all() if h.name == hdu.strip().upper())
            if hdu is None:
                return self._first_image()
            return self.structure[hdu] if hdu >= 0 else self.structure.all()[hdu]
        except (StopIteration, IndexError):
            if hdu is None and any(h.is_table for h in self.structure.all()):
                msg = "the file has tables, but no image, and tables are not read yet"
                raise UnsupportedFeature(msg, url=self.source.url) from None
            there = ", ".join(f"{h.index} {h.name or h.kind}" for h in self.structure.all())
            msg = f"there is no HDU {hdu!r}; the file has {there}" if hdu is not None else f"no image; there is {there}"
            raise FormatError(msg, url=self.source.url) from None

    def node(self, group: str = "/") -> Node:
        """Build the node of an image."""
        name = group.strip("/")
        hdu = self._named()[name] if name else self.find(None)
        place, raw = (("hdu", hdu.index, "auto", False), ("hdu", hdu.index, "auto", True))
        source = self.array(place)
        plain = image_scaling(hdu).plain or not isinstance(source, IndexedArray)
        other = (place, source) if plain else (raw, self.array(raw))
        return nodes.build(hdu, place, source, other, world_coordinates(hdu, self.source))

    def array(self, place: Place) -> ArraySource:
        """Return the pixels of ``("hdu", number or name, reader, raw)``.

        Raises
        ------
        FormatError
            If there is no such image or its layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            if place not in self._arrays:
                _, which, reader, raw = place
                hdu = self.find(which)
                try:
                    self._arrays[place] = self._open(hdu, reader, raw=raw)
                except ScichunkError as error:
                    raise error.at(url=self.source.url, part=f"HDU {hdu.index}") from None
            return self._arrays[place]

    def layout(self, place: Place) -> Mapping[str, Any]:
        """Return shape, type and scaling of an image."""
        hdu = self.find(place[1])
        scaling = image_scaling(hdu)
        found = {"shape": hdu.shape, "bitpix": hdu.bitpix, "type": str(scaling.dtype)}
        return found | {"scale": scaling.scale, "zero": scaling.zero, "blank": scaling.blank}

    def describe(self) -> list[ArrayInfo]:
        """Describe every HDU with data."""
        labels = {h.index: name for name, h in self._named().items()}
        return [self._describe(h, labels.get(h.index, h.name)) for h in self.structure.all() if h.kind != "none"]

    def _describe(self, hdu: HDU, label: str) -> ArrayInfo:
        notes = {"hdu": hdu.index, "kind": hdu.kind}
        if not hdu.is_image:
            rows = f"{hdu.cards.get('NAXIS2')} rows" if hdu.is_table else ""
            return ArrayInfo("/" + label, hdu.kind, (), (), "", (), rows, "", hdu.nbytes, notes)
        try:
            source = self.array(("hdu", hdu.index, "auto", False))
        except ScichunkError as error:
            return ArrayInfo("/" + label, "data", (), (), "?", (), "?", f"cannot be read: {error.message}", None, notes)
        stored = hdu.nbytes
        if isinstance(source, IndexedArray):
            stored = int(source.index.lengths.sum())
        codec = nodes.codec_name(source, hdu)
        native = source.grid.chunk_shape
        dims, kind = axes(hdu).dims, str(source.dtype)
        return ArrayInfo("/" + label, "data", dims, source.shape, kind, native, codec, source.reader, stored, notes)

    def _open(self, hdu: HDU, reader: str, *, raw: bool) -> ArraySource:
        if not hdu.is_image:
            raise _not_an_image(hdu)
        why = "asked for"
        if reader != "reference":
            try:
                index = build_index(hdu, self.source, raw=raw)
            except UnsupportedFeature as error:
                if reader == "indexed":
                    raise
                why = error.message
            else:
                return IndexedArray(index, self.source, ("fits", self.location.key, self.fingerprint, hdu.index, raw))
        return open_reference(self.source, hdu, why, raw=raw)

    def _first_image(self) -> HDU:
        index = 0
        while True:
            hdu = self.structure[index]
            if hdu.is_image:
                return hdu
            index += 1

    def _named(self) -> dict[str, HDU]:
        with self._lock:
            if self._names is None:
                self._names = {n: h for n, h in nodes.names(self.structure.all()).items() if h.is_image}
            return self._names


def _not_an_image(hdu: HDU) -> ScichunkError:
    if hdu.is_table:
        return UnsupportedFeature("a table, not an image", part=f"HDU {hdu.index}")
    return FormatError(f"no image, but {hdu.kind}", part=f"HDU {hdu.index}")
