"""The structure of a TIFF file: which directory is a page, an overview, a mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning, ScichunkError, SourceError
from scichunk.formats.geotiff.ifd import Directory, TiffHeader, read_directory, read_header
from scichunk.sources.base import ByteSource
from scichunk.sources.read_ahead import HeaderReader
from scichunk.warned import warn_caller

__all__ = ["Page", "TIFFImage", "TIFFStructure", "read_structure"]

REDUCED, MASK = 1, 4
_MOST_PIXELS: Final = (1 << 32) - 1
"""ImageWidth and ImageLength are LONGs (TIFF 6.0, section 8), in BigTIFF too."""
_TAG_BYTES: Final = 420
"""Memory of an entry of a directory, measured."""
_NUMBERS: Final = ((256, 0), (257, 0), (277, 1), (259, 1), (262, -1), (284, 1), (317, 1), (266, 1), (254, 0))
"""Tags of one number, and their defaults: width, height, samples, compression, photometric interpretation, planar configuration,
predictor, fill order, and what kind of image it is."""
_MOST_SAMPLES: Final = 65_535
"""SamplesPerPixel is a SHORT (TIFF 6.0, section 8), so no reader has more; metadata have an entry for each."""
_MOST_BANDS: Final = 1 << 20
"""Of all directories of a file together: GDAL takes 200 bytes and 10 microseconds for each."""
_BANDS_PER_PAGE: Final = 16
"""As many of them for each that ``options.max_pages`` allows are followed in any case."""


@dataclass(slots=True)  # not frozen, as tags are not
class TIFFImage:
    """What one directory says of its pixels (TIFF 6.0, sections 8 and 15)."""

    directory: Directory = field(repr=False)
    width: int
    height: int
    samples: int
    bits: tuple[int, ...]
    sample_format: tuple[int, ...]
    """1 unsigned, 2 signed, 3 float, 4 undefined, 5 complex integer, 6 complex float."""
    compression: int
    photometric: int
    planar: int
    """1 = samples interleaved by pixel, 2 = one plane after the other."""
    predictor: int
    fill_order: int
    tile: tuple[int, int] | None
    """(rows, columns) of a tile; None for strips."""
    rows_per_strip: int
    subfile: int

    @property
    def is_mask(self) -> bool:
        """Whether it is a transparency mask."""
        return bool(self.subfile & MASK)

    @property
    def is_overview(self) -> bool:
        """Whether it is a reduced version of another image."""
        return bool(self.subfile & REDUCED) and not self.is_mask

    @property
    def block(self) -> tuple[int, int]:
        """(rows, columns) of a tile or strip."""
        return self.tile or (min(self.rows_per_strip, self.height), self.width)


@dataclass(slots=True)
class Page:
    """A full image with its reduced versions and masks."""

    image: TIFFImage
    overviews: list[TIFFImage] = field(default_factory=list)
    masks: list[TIFFImage] = field(default_factory=list)


class TIFFStructure:
    """The directories of one file. The first is read at once, the chain behind it when it is asked for."""

    def __init__(self, reader: HeaderReader) -> None:
        self.reader = reader
        self.header: TiffHeader = read_header(reader)
        first = read_image(read_directory(reader, self.header, self.header.first))
        # there is no image before it that it could be the mask of
        self.first = replace(first, subfile=first.subfile & ~MASK) if first.is_mask else first
        self.problem: ScichunkError | None = None
        """Why the chain of directories ended early, if it did."""
        self._bad_children: list[ScichunkError] = []
        """Why sub-directories could not be read: the chain goes on behind them."""
        self._pages: list[Page] | None = None
        self.directories = 1
        """How many were found so far."""

    @property
    def pages(self) -> list[Page]:
        """Pages in file order; the first directory is always page 0."""
        if self._pages is None:
            self._pages = self._sort_pages()
        return self._pages

    def get_page(self, number: int) -> Page:
        """Return one page.

        Raises
        ------
        FormatError
            If there is none of that number.
        """
        if number == 0 and self._pages is None and not self.first.directory.next:
            self._pages = self._sort_pages()
        if not 0 <= number < len(self.pages):
            msg = f"there is no page {number}; the file has {len(self.pages)}"
            if self.problem:
                msg += f", and its chain of directories is broken: {self.problem.message}"
            raise FormatError(msg, url=self.reader.source.url)
        return self.pages[number]

    def _sort_pages(self) -> list[Page]:
        pages = [Page(self.first)]
        late: list[Page] = []
        self._bad_children.clear()
        for image, parent in self._follow_chain():
            # Overviews and masks follow the page that they belong to; nothing else ties them (NewSubfileType, TIFF 6.0, section 8).
            page = pages[-1] if parent is None else parent
            if image.is_mask:
                page.masks.append(image)
            elif image.is_overview:
                page.overviews.append(image)
            else:
                (pages if parent is None else late).append(Page(image))
        self.directories = sum(1 + len(p.overviews) + len(p.masks) for p in pages + late)
        self._warn_of_left_out(self.directories)
        return pages + late

    def _warn_of_left_out(self, found: int) -> None:
        """Warn of directories that are left out: those behind a broken chain, and sub-directories of their own."""
        url = self.reader.source.url
        if self._bad_children:
            count, first = len(self._bad_children), self._bad_children[0].message
            many = "1 sub-directory is" if count == 1 else f"{count} sub-directories are"
            warn_caller(f"{many} left out: {first} [{url}]", MetadataWarning)
        if self.problem is not None:
            msg = f"directories behind the first {found} are left out: {self.problem.message} [{url}]"
            warn_caller(msg, MetadataWarning)

    def _follow_chain(self) -> Iterator[tuple[TIFFImage, Page | None]]:
        """Every directory after the first; sub-directories (tag 330) count as behind their parent."""
        seen, tried, bands = {self.header.first}, 1, self.first.samples
        limit = options.get().max_pages
        most_bands = max(_MOST_BANDS, _BANDS_PER_PAGE * limit)
        below: set[int] = set()  # sub-directories that the chain has not come to: they may be in both
        queue: list[tuple[int, bool]] = []
        current = self.first.directory
        while True:
            queue = [(o, True) for o in self._offsets_below(current, limit)]
            queue.append((current.next, False))
            for offset, sub in queue:
                tried += 1  # offsets of nothing too: each directory may have very many sub-directories
                if not offset:
                    continue
                try:
                    known = offset in seen and not sub and offset in below
                    if offset in seen and not known:
                        msg = f"the chain of directories comes back to byte {offset}"
                        raise FormatError(msg)
                    if tried > limit:
                        msg = f"more than {limit} directories (options.max_pages)"
                        raise FormatError(msg)
                    seen.add(offset)
                    (below.add if sub else below.discard)(offset)
                    directory = read_directory(self.reader, self.header, offset)
                    if known:  # it has been given, and the chain goes on behind it
                        current = directory
                        continue
                    image = read_image(directory)
                    bands += image.samples
                    if bands > most_bands:
                        msg = f"directories of more than {most_bands} bands together"
                        raise LimitExceeded(msg)
                except SourceError:  # says nothing of the file: the chain is followed again when it is asked for again
                    raise
                except ScichunkError as error:
                    if sub and tried <= limit and bands <= most_bands:
                        self._bad_children.append(error)
                        continue
                    self.problem = error
                    return
                self.reader.parsed_bytes += _TAG_BYTES * len(directory.tags)
                yield image, None
                if not sub:
                    current = directory
            if not queue[-1][0]:
                return

    def _offsets_below(self, directory: Directory, limit: int) -> list[int]:
        """Offsets of sub-directories; none where the list of them lies outside the file."""
        if 330 not in directory.tags:
            return []
        try:
            return [int(o) for o in directory.get_array(330, limit).tolist()]
        except FormatError as error:
            self.problem = error
            return []


def read_structure(source: ByteSource) -> TIFFStructure:
    """Read header and first directory.

    Raises
    ------
    FormatError
        If it is no TIFF file, or its first directory is corrupt.
    """
    return TIFFStructure(HeaderReader(source))


def read_image(directory: Directory) -> TIFFImage:
    """Read the tags that describe pixels.

    Raises
    ------
    FormatError
        If the image has no size.
    """
    d = directory
    width, height, samples, *rest = d.get_integers(_NUMBERS)
    if width <= 0 or height <= 0 or samples <= 0:
        msg = f"an image of {width} x {height} pixels and {samples} samples at byte {d.offset}"
        raise FormatError(msg, url=d.reader.source.url)
    if max(width, height) > _MOST_PIXELS:
        msg = f"an image of {width} x {height} pixels, of which a TIFF file has at most {_MOST_PIXELS}, at byte {d.offset}"
        raise FormatError(msg, url=d.reader.source.url)
    if samples > _MOST_SAMPLES:
        msg = f"{samples} samples per pixel, of which a TIFF file has at most {_MOST_SAMPLES}, at byte {d.offset}"
        raise FormatError(msg, url=d.reader.source.url)
    # A file with both tiles and strips is one of tiles, as in libtiff.
    tiled = 322 in d.tags and 323 in d.tags
    tile = (d.get_integer(323, 0), d.get_integer(322, 0)) if tiled else None
    compression, photometric, planar, predictor, fill_order, subfile = rest
    # By default one strip is the whole image: RowsPerStrip is 2**32 - 1 (TIFF 6.0, section 8).
    rows = d.get_integer(278, height)
    return TIFFImage(
        d, width, height, samples,
        _read_numbers(d, 258, 1, samples), _read_numbers(d, 339, 1, samples),
        compression, photometric, planar, predictor, fill_order,
        tile, min(rows, height) if rows > 0 else 0, subfile,
    )  # fmt: skip


def _read_numbers(directory: Directory, code: int, default: int, samples: int) -> tuple[int, ...]:
    """The different numbers that samples have; those beyond the samples count for nothing, as in libtiff."""
    tag = directory.tags.get(code)
    if tag is None or tag.count == 1:
        return (directory.get_integer(code, default),)
    found = directory.get_array(code, samples)
    whole = found[np.isfinite(found)] if found.dtype.kind in "iuf" else found[:0]
    return tuple(sorted({int(n) for n in whole.tolist()})) or (default,)  # what matters is whether the samples differ
