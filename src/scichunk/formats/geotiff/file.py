"""Opened GeoTIFF files: their groups, arrays and metadata."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayId, ArrayInfo, ArrayVar, FileBase, Node, close_arrays
from scichunk.core.layout import Layout
from scichunk.errors import FormatError, GroupNotFound, LimitExceeded, UnsupportedFeature, located
from scichunk.formats.geotiff import names_beside, nodes
from scichunk.formats.geotiff.array_ids import NO_OVERVIEW, DecodedId, ImageId, MaskId, PageId
from scichunk.formats.geotiff.manifest import build_index, pixel_dtype
from scichunk.formats.geotiff.masks import Mask, MaskFile, alpha_dtype, find_internal, may_have_alpha
from scichunk.formats.geotiff.metadata import fill_value, filled_with, read_metadata
from scichunk.formats.geotiff.reference import OpenedImages, open_reference, open_windows, with_colours
from scichunk.formats.geotiff.signatures import sign_decoding, sign_image
from scichunk.formats.geotiff.structure import Page, TIFFImage, read_structure
from scichunk.raster.gdal import RasterMetadata, check_placed
from scichunk.raster.masked import BandMasksArray, PlaneArray
from scichunk.raster.variables import (
    DEFAULT_NAMING,
    Masked,
    band_data,
    crs_name,
    is_masked,
    masked_source,
    raster_layout,
)
from scichunk.sources import ByteSource, Location
from scichunk.sources.base import public_url

__all__ = ["GeoTIFFFile", "open_file"]

_MOST_VALUE_BYTES: Final = 1 << 26
"""Of the tags of a directory that GDAL is to open: values of several tags may share a place."""


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


class GeoTIFFFile(FileBase):
    """One file; arrays and metadata are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        super().__init__(location, source)
        self.structure = read_structure(source)
        self._metadata: dict[int, RasterMetadata] = {}
        self._external: tuple[ByteSource, list[TIFFImage]] | None = None
        self._siblings: list[Location] | None = None
        self._mask_file: MaskFile | None = None
        self._opened = OpenedImages()
        self._lock = threading.RLock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the source, of directories and their values, and of the indexes of arrays."""
        return super().cached_bytes + self.structure.reader.cached_bytes

    def groups(self) -> list[str]:
        """Return ``/page_0``, ``/overview_1`` ..., ``/page_1``, ``/page_1_overview_1`` ...; only ``/`` where there is one image.

        Flat on purpose: a child in an ``xarray.DataTree`` must align with its parent, and a reduced image does not.
        """
        found = []
        for number in range(len(self.structure.pages)):
            found.append(f"/page_{number}")
            prefix = f"/page_{number}_" if number else "/"
            found += [f"{prefix}overview_{i}" for i in range(1, len(self.find_overviews(number)) + 1)]
        return found if len(found) > 1 else ["/"]

    def locate_group(self, group: str) -> tuple[int, int]:
        """Translate a group's path to (page, overview); overview -1 is the full image. ``/page_0`` is ``/``.

        Raises
        ------
        GroupNotFound
            If there is no such group.
        """
        parts = re.fullmatch(r"(?:page_(\d{1,6}))?(?:(?:^|(?<=\d)_)overview_(\d{1,6}))?", group.strip("/"))
        if parts is not None:
            page, level = int(parts[1] or 0), int(parts[2] or 0) - 1
            there = not page or page < len(self.structure.pages)
            if there and (parts[2] is None or 0 <= level < len(self.find_overviews(page))):
                return page, level
        raise GroupNotFound.among(group, self.groups(), url=self.source.url)

    def select(self, *, page: int = 0, overview: int | None = None) -> str:
        """Return the group of a page, and of an overview of it, counted from 0.

        Raises
        ------
        FormatError
            If there is none: here, where the user's words are known.
        """
        parts = ([f"page_{page}"] if page else []) + ([] if overview is None else [f"overview_{overview + 1}"])
        path = "/" + "_".join(parts)
        self.find_image(page)
        if overview is not None and overview >= (count := len(self.find_overviews(page))):
            msg = f"there is no overview {overview}, the group {path!r}; page {page} has {count}"
            raise GroupNotFound(msg, url=self.source.url)
        return path

    def find_array(
        self,
        *,
        page: int = 0,
        overview: int | None = None,
        bands: tuple[int, ...] | None = None,
        reader: str = "auto",
    ) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Return the pixels of a page, or of an overview of it."""
        return PageId(page, NO_OVERVIEW if overview is None else overview, reader), bands

    def node(self, group: str = "/") -> Node:
        """Build the node of a page or overview."""
        page, level = self.locate_group(group)
        image = self.find_image(page, level)
        metadata = self.page_metadata(page)
        variables = [self._make_variable(page, level, metadata)]
        if self.find_mask(page, level) is not None:
            array_id = MaskId(page, level)
            source = self.array(array_id)
            attrs = {"long_name": "validity mask: 0 = no data, 255 = data"}
            encoding = {"grid_mapping": "spatial_ref", "reader": source.reader}
            variables.append(
                ArrayVar("mask", self.dims(array_id), array_id, source, attrs, encoding, absent=255, stored=True)
            )
        full = self.structure.get_page(page).image
        return nodes.build_node(variables, metadata, image, full, variables[0].source.shape)

    def _make_variable(self, page: int, level: int, metadata: RasterMetadata) -> ArrayVar:
        array_id = PageId(page, level)
        source = self.array(array_id)
        metadata = with_colours(metadata, source)
        masked = None
        if self.find_mask(page, level) is not None or is_masked(metadata, source.shape[0], source.dtype):
            where = DecodedId(page, level)
            masked = Masked(where, self.array(where))
        codec = nodes.codec_name(source, self.find_image(page, level))
        return band_data(source, array_id, metadata, codec, masked=masked)

    def find_image(self, page: int, level: int = NO_OVERVIEW) -> TIFFImage:
        """Return the directory of a page or overview.

        Raises
        ------
        FormatError
            If there is none.
        """
        if page == 0 and level == NO_OVERVIEW:
            return self.structure.first
        if level == NO_OVERVIEW:
            return self.structure.get_page(page).image
        found = self.find_overviews(page)
        if not 0 <= level < len(found):
            msg = f"there is no overview {level}; page {page} has {len(found)}"
            raise FormatError(msg, url=self.source.url, part=f"page {page}")
        return found[level]

    def find_overviews(self, page: int) -> list[TIFFImage]:
        """Return the reduced images of a page; those of an ``.ovr`` file beside a local file if it has none itself."""
        # As GDAL: an .ovr file counts only where the file has no overviews of its own.
        inside = self.structure.get_page(page).overviews
        return inside if inside or page else self._overviews_beside()[1]

    def page_metadata(self, page: int) -> RasterMetadata:
        """Return what GDAL says of a page."""
        with self._lock:
            if page not in self._metadata:
                name = os.path.basename(self.location.local_path or "")
                self._metadata[page] = read_metadata(self.find_image(page), name, () if page else self._beside_it())
                check_placed(self._metadata[page], self.source.url)
            return self._metadata[page]

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return the pixels of an image: stored ones of a :class:`PageId`, decoded ones of a :class:`DecodedId`, or its mask.

        Raises
        ------
        FormatError
            If there is no such image or its layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            found = self._arrays.get(array_id)
            if found is None:
                with located(self.source.url, lambda: str(array_id)):
                    found = self._arrays[array_id] = self._make_array(array_id)
            return found

    def _make_array(self, array_id: ArrayId) -> ArraySource:
        if isinstance(array_id, MaskId):
            return self._mask_array(array_id.page, array_id.overview)
        if isinstance(array_id, DecodedId):
            return self._masked_array(array_id.page, array_id.overview)
        return self._open_array(cast("PageId", array_id))

    def dims(self, array_id: ArrayId) -> tuple[str, ...]:
        """Return the names of an array's dimensions."""
        mask = self.find_mask(array_id.page, array_id.overview) if isinstance(array_id, MaskId) else None
        return ("band", "y", "x") if mask is None else mask.dims

    def optional(self, group: str = "/") -> Mapping[str, ArrayId]:
        """Return the mask, if the image has one; else the decoded pixels, if an alpha band or NODATA_VALUES say where there are none."""
        page, level = self.locate_group(group)
        if self.find_mask(page, level) is not None:
            return {"mask": MaskId(page, level)}
        full, told = self.find_image(page), page == 0 and self._has_pam
        found = (told or may_have_alpha(full)) and is_masked(self.page_metadata(page), full.samples, alpha_dtype(full))
        return {DEFAULT_NAMING.variable: DecodedId(page, level)} if found else {}

    def signature(self, array_id: ArrayId) -> object:
        """Return the tags that say where pixels lie and what they mean; what GDAL makes of them where files lie beside this one."""
        which = cast("ImageId", array_id)
        if isinstance(which, MaskId):
            image = self.find_image(which.page)
            return self.dims(which), image.samples, image.height, image.width
        found = sign_image(self.find_image(which.page, which.overview), self.find_image(which.page))
        if self._beside_it():
            found.append(self.page_metadata(which.page))
        return found

    def layout(self, array_id: ArrayId) -> Layout:
        """Return shape, type, grid, coordinate system, nodata and scaling of an image."""
        source = self.array(array_id)
        which = cast("ImageId", array_id)
        if isinstance(which, MaskId):
            return Layout(source.shape, str(source.dtype), fill=0)
        metadata, image, full = (
            self.page_metadata(which.page),
            self.find_image(which.page, which.overview),
            self.find_image(which.page),
        )
        found = raster_layout(source, *nodes.place_image(metadata, image, full))
        return replace(found, fill=np.nan) if isinstance(which, DecodedId) else found

    def close(self) -> None:
        """Let go of descriptors and of what is kept in temporary files."""
        close_arrays(self._arrays.values())
        masks = self._mask_file.images if self._mask_file else ()
        if self._external is None and not masks:  # nearly always
            self.source.close()
            return
        beside = [self._external[0]] if self._external else []
        # Overviews and masks may lie in this file, or several in one beside it: each is closed once.
        for source in {self.source, *beside, *(s for s, _ in masks)}:
            source.close()

    def describe(self) -> list[ArrayInfo]:
        """Describe every array."""
        return [self._describe_group(group) for group in self.groups()]

    def _describe_group(self, group: str) -> ArrayInfo:
        page, level = self.locate_group(group)
        image, notes = self.find_image(page, level), dict[str, Any]()
        mask = self.find_mask(page, level)
        if mask is not None:
            where = "this file" if mask.source is self.source else public_url(mask.source.url)
            notes["mask"] = nodes.describe_mask(mask.image, where, lambda: self.array(MaskId(page, level)))
        if page == 0 and level == NO_OVERVIEW:
            metadata = self.page_metadata(0)
            notes |= {"crs": crs_name(metadata), "transform": list(metadata.transform)}
        return nodes.describe_array(group, image, lambda: self.array(PageId(page, level)), notes)

    def _open_array(self, which: PageId) -> ArraySource:
        image = self.find_image(which.page, which.overview)
        external = image.directory.reader is not self.structure.reader
        source = self._overviews_beside()[0] if external else self.source
        return self._open_image(source, image, which)

    def _open_image(self, source: ByteSource, image: TIFFImage, which: PageId | None = None) -> ArraySource:
        """Open the pixels of a directory, of a mask without an id, by the own decoders, else through the reference library."""
        part = "mask" if which is None else str(which)
        why = "asked for"
        if which is None or which.reader != "reference":
            try:
                index = build_index(image, 0 if which is None else self._fill_value(image, which.page), part)
            except UnsupportedFeature as error:
                if which is not None and which.reader == "indexed":
                    raise
                why = error.message
            else:
                # By its place: a directory of an .ovr file has one number there, and another among the overviews of the file beside it.
                name = "geotiff mask" if which is None else "geotiff"
                return IndexedArray(index, source, (name, image.directory.offset))
        if image.directory.value_bytes > _MOST_VALUE_BYTES:
            msg = f"GDAL would read tags of {image.directory.value_bytes} bytes, more than {_MOST_VALUE_BYTES}"
            raise LimitExceeded(msg, url=source.url)
        # GDAL finds other directories by their offset, since it counts them otherwise (masks, overviews, sub-directories).
        offset = None if image is self.structure.first else image.directory.offset
        with located(part=part):
            windows = open_windows(source, image, offset, why)
            like = None if offset is None else sign_decoding(image)
            return open_reference(windows, self._opened.ask(windows, like, self.structure.directories))

    def _fill_value(self, image: TIFFImage, page: int) -> complex | npt.NDArray[Any]:
        """Value of absent tiles: the nodata of the page, also in its reduced images; that of a PAM file goes before that of the tag."""
        dtype = np.dtype("u1") if image.bits == (1,) else pixel_dtype(image)
        nodata = self.page_metadata(0).nodata if page == 0 and self._has_pam else ()
        if any(n is not None for n in nodata):
            return filled_with(nodata, dtype)
        return fill_value(self.find_image(page), dtype)

    def _masked_array(self, page: int, level: int) -> ArraySource:
        """Decoded pixels with NaN where a mask or an alpha band says so; only decoded where nothing does."""
        pixels = self.array(PageId(page, level))
        metadata = self.page_metadata(page)
        mask = None if self.find_mask(page, level) is None else self.array(MaskId(page, level))
        return masked_source(pixels, with_colours(metadata, pixels), mask)

    def find_mask(self, page: int, level: int) -> Mask | None:
        """The mask of an image: one within the file, else, where its page has none there, one in an ``.msk`` file beside it."""
        image, first, found = self.find_image(page, level), self.structure.first, None
        # One directory and no sub-directories: no mask, known without going through the chain.
        if page or first.directory.next or 330 in first.directory.tags:
            masks = self.structure.get_page(page).masks
            found = find_internal(self.source, masks, image, reduced=level != NO_OVERVIEW)
            if (
                found is None
                and level != NO_OVERVIEW
                and find_internal(self.source, masks, self.find_image(page), reduced=False)
            ):
                return None
        return found or (None if page else self._mask_beside().find(image))

    def _mask_beside(self) -> MaskFile:
        """The mask file: the mask, and its reduced versions, in it or in an ``.ovr`` beside it."""
        with self._lock:
            if self._mask_file is None:
                self._mask_file = MaskFile([], {})
                if found := self._beside_it(".msk"):
                    file = GeoTIFFFile(found[0], found[0].open())
                    images = [(file.source, i) for i in (file.find_image(0), *file.structure.get_page(0).overviews)]
                    for reduced in self._beside_it(".msk.ovr"):
                        source = reduced.open()
                        pages = read_structure(source).pages
                        images += [(source, i) for p in pages for i in (p.image, *p.overviews, *p.masks)]
                    self._mask_file = MaskFile(images, file.page_metadata(0).tags)
            return self._mask_file

    def _mask_array(self, page: int, level: int) -> ArraySource:
        found = self.find_mask(page, level)
        if found is None:
            msg = "this image has no mask"
            raise FormatError(msg)
        planes = self._open_image(found.source, found.image)
        return PlaneArray(planes) if found.is_shared else BandMasksArray(planes, found.planes)

    def _beside_it(self, end: str = "") -> list[Location]:
        """Files beside a local one that GDAL would read with it, or those of them with some ending."""
        if self._siblings is None:
            name = os.path.basename(self.location.local_path or "")
            self._siblings = self.location.existing(names_beside(name)) if name and not self.alone else []
        return [s for s in self._siblings if s.name.lower().endswith(end)]

    @property
    def _has_pam(self) -> bool:
        """Whether there is a file of GDAL's metadata beside it."""
        return bool(self._beside_it(".aux.xml"))

    def _overviews_beside(self) -> tuple[ByteSource, list[TIFFImage]]:
        """Overviews in an ``.ovr`` file: every directory of it that is no mask."""
        with self._lock:
            if self._external is None:
                found = [s for s in self._beside_it(".ovr") if not s.name.lower().endswith(".msk.ovr")]
                if not found:
                    self._external = (self.source, [])
                else:
                    source = found[0].open()
                    pages: list[Page] = read_structure(source).pages
                    self._external = (source, [i for p in pages for i in (p.image, *p.overviews) if not i.is_mask])
            return self._external
