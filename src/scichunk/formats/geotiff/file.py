"""Opened GeoTIFF files: their groups, arrays and metadata."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from scichunk.core.arrays import ArraySource, IndexedArray, ReferenceArray, WindowArray
from scichunk.core.files import ArrayInfo, ArrayVar, Node, Place
from scichunk.errors import FormatError, GroupNotFound, UnsupportedFeature, located
from scichunk.formats.geotiff import beside, nodes
from scichunk.formats.geotiff.manifest import build_index, pixel_dtype
from scichunk.formats.geotiff.metadata import fill_value, read_metadata
from scichunk.formats.geotiff.reference import RasterioWindows, open_reference
from scichunk.formats.geotiff.structure import Image, Page, read_structure
from scichunk.raster.gdal import RasterMetadata
from scichunk.raster.variables import band_data
from scichunk.sources import ByteSource, Location

__all__ = ["GeoTIFFFile", "open_file"]

NO_OVERVIEW: Final = -1
_ALIGNED: Final = {33550: "pixel scale", 33922: "tie points", 34264: "transformation"}
_SCALING: Final = re.compile(rb'(sample="\d+"[^>]*role="(?:scale|offset)"[^>]*>[^<]*)')


def open_file(location: Location, source: ByteSource | None = None) -> GeoTIFFFile:
    """Open a TIFF file and read its first directory.

    Parameters
    ----------
    location
        Where it is.
    source
        Its source, if that is open already.

    Raises
    ------
    FormatError
        If it is no TIFF file or its first directory is corrupt.
    SourceError
        If it cannot be read.
    """
    return GeoTIFFFile(location, source or location.open())


class GeoTIFFFile:
    """One file; arrays and metadata are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        self.location, self.source = location, source
        self.fingerprint = source.fingerprint
        with located(url=source.url):
            self.structure = read_structure(source)
        self._arrays: dict[Place, ArraySource] = {}
        self._metadata: dict[int, RasterMetadata] = {}
        self._external: tuple[ByteSource, list[Image]] | None = None
        self._lock = threading.RLock()

    def groups(self) -> list[str]:
        """Return ``/``, ``/overview_1`` ..., ``/page_1``, ``/page_1_overview_1`` ...

        Flat on purpose: a child in an ``xarray.DataTree`` must align with its parent, and a reduced image does not.
        """
        found = []
        for number in range(len(self.structure.pages)):
            base = f"/page_{number}" if number else ""
            found.append(base or "/")
            prefix = f"{base}_" if base else "/"
            found += [f"{prefix}overview_{i}" for i in range(1, len(self.overviews(number)) + 1)]
        return found

    def place(self, group: str) -> tuple[int, int]:
        """Translate a group's path to (page, overview); overview -1 is the full image. ``/page_0`` is ``/``.

        Raises
        ------
        GroupNotFound
            If there is no such group.
        """
        parts = re.fullmatch(r"(?:page_(\d{1,6}))?_?(?:overview_(\d{1,6}))?", group.strip("/"))
        if parts is not None:
            page, level = int(parts[1] or 0), int(parts[2] or 0) - 1
            there = not page or page < len(self.structure.pages)
            if there and (parts[2] is None or 0 <= level < len(self.overviews(page))):
                return page, level
        raise GroupNotFound.among(group, self.groups(), url=self.source.url)

    def root(self) -> Mapping[str, Any]:
        """Return nothing: everything is said of a page."""
        return {}

    def select(self, *, page: int = 0, overview: int | None = None) -> str:
        """Return the group of a page, and of an overview of it, counted from 0."""
        parts = ([f"page_{page}"] if page else []) + ([] if overview is None else [f"overview_{overview + 1}"])
        return "/" + "_".join(parts)

    def node(self, group: str = "/") -> Node:
        """Build the node of a page or overview."""
        page, level = self.place(group)
        image = self.image(page, level)
        metadata = self.metadata(page)
        variables = [self._variable(page, level, metadata)]
        if level == NO_OVERVIEW and self._mask_reader(page) is not None:
            source = self.array(("mask", page))
            attrs = {"long_name": "validity mask: 0 = no data, 255 = data"}
            variables.append(ArrayVar("mask", ("y", "x"), ("mask", page), source, attrs, {"reader": source.reader}))
        full = self.structure.page(page).image
        return nodes.build(variables, metadata, image, full, variables[0].source.shape)

    def _variable(self, page: int, level: int, metadata: RasterMetadata) -> ArrayVar:
        place = ("page", page, level, "auto")
        source = self.array(place)
        return band_data(source, place, metadata, nodes.codec_name(source, self.image(page, level)))

    def image(self, page: int, level: int = NO_OVERVIEW) -> Image:
        """Return the directory of a page or overview.

        Raises
        ------
        FormatError
            If there is none.
        """
        if page == 0 and level == NO_OVERVIEW:
            return self.structure.first
        if level == NO_OVERVIEW:
            return self.structure.page(page).image
        found = self.overviews(page)
        if not 0 <= level < len(found):
            msg = f"there is no overview {level}; page {page} has {len(found)}"
            raise FormatError(msg, url=self.source.url, part=f"page {page}")
        return found[level]

    def overviews(self, page: int) -> list[Image]:
        """Return the reduced images of a page; those of an ``.ovr`` file beside a local file if it has none itself."""
        inside = self.structure.page(page).overviews
        return inside if inside or page else self._beside()[1]

    def metadata(self, page: int) -> RasterMetadata:
        """Return what GDAL says of a page."""
        with self._lock:
            if page not in self._metadata:
                path = self.location.local_path
                whole = path if page == 0 and path and self._beside_it() else None
                image = self.image(page)
                self._metadata[page] = read_metadata(image, whole)
            return self._metadata[page]

    def array(self, place: Place) -> ArraySource:
        """Return the pixels of ``("page", page, overview, reader)``, or of ``("mask", page)``.

        Raises
        ------
        FormatError
            If there is no such image or its layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            if place not in self._arrays:
                with located(url=self.source.url, part=_part(place)):
                    self._arrays[place] = self._mask(place[1]) if place[0] == "mask" else self._open_array(*place[1:])
            return self._arrays[place]

    def layout(self, place: Place) -> Mapping[str, Any]:
        """Return shape, type and georeferencing tags of an image."""
        image = self.image(*place[1:3])
        d = self.image(place[1]).directory
        found: dict[str, Any] = {
            "shape": (image.samples, image.height, image.width),
            "bits per sample": image.bits,
            "sample format": image.sample_format,
            "nodata": d.text(42113),
        }
        for code, name in _ALIGNED.items():
            if code in d.tags:
                raw = d.raw(code)
                found[name] = np.frombuffer(raw, d.order + "f8").tolist() if len(raw) % 8 == 0 else raw
        if 34735 in d.tags:
            found["coordinate system"] = (d.raw(34735), d.raw(34736), d.raw(34737))
        if 42112 in d.tags:
            found["scale and offset"] = sorted(_SCALING.findall(d.raw(42112)))
        return found

    def close(self) -> None:
        """Let go of descriptors and of what is kept in temporary files."""
        for array in list(self._arrays.values()):
            if isinstance(array, WindowArray):
                array.close()
        for source in {self.source, *([self._external[0]] if self._external else [])}:
            source.close()

    def describe(self) -> list[ArrayInfo]:
        """Describe every array."""
        return nodes.describe(self)

    def _open_array(self, page: int, level: int, reader: str) -> ArraySource:
        image = self.image(page, level)
        external = image.directory.reader is not self.structure.reader
        source = self._beside()[0] if external else self.source
        part = _part(("page", page, level))
        why = "asked for"
        if reader != "reference":
            try:
                fill = fill_value(self.image(page), pixel_dtype(image))
                index = build_index(image, fill, part)
            except UnsupportedFeature as error:
                if reader == "indexed":
                    raise
                why = error.message
            else:
                return IndexedArray(index, source, ("geotiff", page, level))
        first = image is self.structure.first
        return open_reference(source, None if first else image.directory.offset, why, part)

    def _mask_reader(self, page: int) -> str | None:
        """Where a page's mask comes from, if it has one."""
        if page == 0 and self._beside_it(".msk"):
            return "a mask file beside it"
        first = self.structure.first
        if page == 0 and not first.directory.next and 330 not in first.directory.tags:
            return None
        masks = self.structure.page(page).masks
        return (
            "an internal mask"
            if any((m.width, m.height) == (self.image(page).width, self.image(page).height) for m in masks)
            else None
        )

    def _mask(self, page: int) -> ArraySource:
        why = self._mask_reader(page)
        if why is None:
            msg = "this page has no mask"
            raise FormatError(msg)
        image = self.image(page)
        pixels = self.array(("page", page, NO_OVERVIEW, "auto"))
        windows = RasterioWindows(self.source, None if page == 0 else image.directory.offset, why, mask=True)
        edges = pixels.grid.edges[1:]
        grid = type(pixels.grid)((image.height, image.width), edges)
        return ReferenceArray(grid, np.dtype("u1"), why, windows)

    def _beside_it(self, end: str = "") -> list[Location]:
        """Files beside a local one that GDAL would read with it, or those of them with some ending."""
        name = os.path.basename(self.location.local_path or "")
        return self.location.existing([n for n in beside(name) if n.endswith(end)]) if name else []

    def _beside(self) -> tuple[ByteSource, list[Image]]:
        """Overviews in an ``.ovr`` file: every directory of it that is no mask."""
        with self._lock:
            if self._external is None:
                found = self._beside_it(".ovr")
                if not found:
                    self._external = (self.source, [])
                else:
                    source = found[0].open()
                    pages: list[Page] = read_structure(source).pages
                    self._external = (source, [i for p in pages for i in (p.image, *p.overviews) if not i.is_mask])
            return self._external


def _part(place: tuple[Any, ...]) -> str:
    if place[0] == "mask":
        return f"mask of page {place[1]}"
    _, page, level = place[:3]
    return f"page {page}" + (f", overview {level}" if level != NO_OVERVIEW else "")
