"""Opened FITS files: their HDUs as arrays, tables and nodes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, cast

from scichunk import options
from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayId, ArrayInfo, ColumnId, FileBase, Node, TableId, close_arrays
from scichunk.core.layout import Layout
from scichunk.errors import (
    DataWarning,
    FormatError,
    GroupNotFound,
    MetadataWarning,
    ScichunkError,
    UnsupportedFeature,
    located,
)
from scichunk.formats.fits.array_ids import HDUId, Selector
from scichunk.formats.fits.cards import CARD_BYTES
from scichunk.formats.fits.hdu_names import called, find_named, list_hdus
from scichunk.formats.fits.image import nodes
from scichunk.formats.fits.image.manifest import build_index, image_scaling, stored_blank
from scichunk.formats.fits.image.reference import open_reference
from scichunk.formats.fits.metadata import header_text, name_axes, placing_text, with_world, world_of
from scichunk.formats.fits.structure import CARD_MEMORY, HDU, LONG_BYTES, FITSStructure
from scichunk.formats.fits.table.source import FITSTable
from scichunk.formats.fits.world_tables import WorldTables
from scichunk.sky.tables import needs_tables
from scichunk.sources import ByteSource, Location
from scichunk.sources.whole_file import expand_source
from scichunk.tables.columns import ColumnArray, column_layout
from scichunk.tables.nodes import column_dims, table_info, table_node
from scichunk.tables.nulls import FilledColumnId, fill_nulls
from scichunk.warned import warn_caller

__all__ = ["FITSFile", "open_file"]

_INHERITED_MEMORY: Final = 128
"""Memory of a card of a short header in the attributes of each that inherits it, measured: they share its values."""


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


class FITSFile(FileBase):
    """One file; HDUs are found and arrays are made when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        super().__init__(location, source)
        self.source = expand_source(source)
        self.structure = FITSStructure(self.source)
        self._world_tables = WorldTables(self.structure)
        self._tables: dict[int, FITSTable] = {}
        self._names: dict[str, HDU] | None = None
        self._heirs = 0, 0
        self._lock = threading.RLock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the source, of headers, of tables of world coordinates, and of the indexes of arrays."""
        return super().cached_bytes + self.structure.cached_bytes + self._world_tables.cached_bytes

    def groups(self) -> list[str]:
        """Return ``/NAME`` of every image and table; only ``/`` where there is one HDU."""
        named = self._groups_by_name()
        if len(named) == 1 and len(self.structure.all_hdus()) == 1:
            return ["/"]
        return ["/" + name for name in named]

    def root(self) -> Mapping[str, Any]:
        """Return the cards of the first header."""
        return nodes.card_attributes(self.structure[0].cards)

    def select(self, *, hdu: Selector = None) -> str:
        """Return the group of an HDU: by number, EXTNAME, or (EXTNAME, EXTVER)."""
        found = self.find(hdu)
        name = next((n for n, h in self._groups_by_name().items() if h is found), None)
        if name is None:
            raise _not_an_image(found).at(url=self.source.url)
        return "/" + name

    def find(self, hdu: Selector, kind: str = "image") -> HDU:
        """Return an HDU; None: the first of a kind (``image``, ``table``, ``any``: an image if there is one).

        Raises
        ------
        FormatError
            If there is none.
        """
        try:
            if isinstance(hdu, tuple | list):
                name, version = hdu
                return next(h for h in self._iterate_hdus() if (h.name, h.version) == (name.strip().upper(), version))
            if isinstance(hdu, str):
                return find_named(self._iterate_hdus, hdu.strip().upper())
            if hdu is None:
                return self._find_first(kind)
            return self.structure[hdu] if hdu >= 0 else self.structure.all_hdus()[hdu]
        except (StopIteration, IndexError):
            there = list_hdus(self.structure.all_hdus())
            what = {"any": "image or table"}.get(kind, kind)
            msg = (
                f"there is no HDU {hdu!r}; the file has {there}" if hdu is not None else f"no {what}; there is {there}"
            )
            raise FormatError(msg, url=self.source.url) from None

    def by_name(self, array_id: ArrayId, word: Any) -> ArrayId:
        """Return the id of an array that names its HDU as the user did, by which it is found in files where that has another number.

        The same id if the HDU has no name, or none that is its own.
        """
        hdu = self.find(array_id.table if isinstance(array_id, ColumnId) else cast("HDUId", array_id).hdu)
        own = word.strip().upper() if isinstance(word, str) else (word[0].strip().upper(), word[1])
        for name in (own, (hdu.name, hdu.version)):
            if hdu.name and next(filter(called(name), self.structure.all_hdus()), None) is hdu:
                if isinstance(array_id, ColumnId):
                    return replace(array_id, table=name)
                return replace(cast("HDUId", array_id), hdu=name)
        return array_id

    def node(self, group: str = "/") -> Node:
        """Build the node of an image or a table."""
        hdu = self._of_group(group)
        if hdu.is_table:
            table = self.table(TableId(hdu.index))
            attrs, fills = (
                {**self._inherited_attributes(hdu), **table.attrs, "fits_header": header_text(hdu)},
                table.find_fills(),
            )
            return table_node(
                fill_nulls(table, fills), lambda name, raw: FilledColumnId(hdu.index, name, raw, fills.get(name)), attrs
            )
        array_id, raw = HDUId(hdu.index), HDUId(hdu.index, raw=True)
        source = self.array(array_id)
        # Without scaling stored values and values are one array.
        other = (array_id, source) if image_scaling(hdu).plain else (raw, self.array(raw))
        return nodes.build_node(
            hdu, (array_id, source), other, world_of(hdu, self._world_tables), self._inherited_attributes(hdu)
        )

    def _inherited_attributes(self, hdu: HDU) -> Mapping[str, Any]:
        """What an extension takes over from the primary header; nothing where all copies of it would be beyond the limit of headers."""
        primary = self.structure[0].cards
        if not hdu.index or not nodes.inherits(hdu.cards):
            return {}
        heirs, card = self._count_heirs(), CARD_MEMORY if len(primary.text) > LONG_BYTES else _INHERITED_MEMORY
        size, limit = heirs * len(primary.text) // CARD_BYTES * card, options.get().max_header_bytes
        if size > limit:
            msg = (
                f"the primary header is not inherited: {heirs} copies of it would take {size} bytes, more than {limit} "
                f"(options.max_header_bytes) [{self.source.url}, HDU {hdu.index}]"
            )
            warn_caller(msg, MetadataWarning)
            return {}
        return self._primary_attributes

    @cached_property
    def _primary_attributes(self) -> Mapping[str, Any]:
        """Values of the primary header, which all that inherit them share."""
        return nodes.card_attributes(self.structure[0].cards)

    def _count_heirs(self) -> int:
        """Number of HDUs that inherit the primary header, of those that were found so far: for a tree these are all."""
        known = len(self.structure.known_hdus)
        if self._heirs[0] != known:
            self._heirs = known, sum(nodes.inherits(h.cards) for h in self.structure.known_hdus[1:known])
        return self._heirs[1]

    def _of_group(self, group: str) -> HDU:
        """The HDU of a group; EXTNAME is compared without regard to case (FITS 4.0, section 4.4.2.6), EXTVER may be named or not."""
        name = group.strip("/")
        if not name:
            return self.find(None, "any")
        named = self._groups_by_name()
        if name in named:  # at once: a tree asks for each of its groups
            return named[name]
        alike = [h for n, h in named.items() if n.upper() == name.upper()]
        if not alike and "," in name:
            stem, _, version = name.rpartition(",")
            alike = [h for n, h in named.items() if (n.upper(), str(h.version)) == (stem.upper(), version.strip())]
        if len(alike) != 1:
            raise GroupNotFound.among(group, self.groups(), url=self.source.url)
        return alike[0]

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return the pixels of an image, or a column of a table.

        Raises
        ------
        FormatError
            If there is no such image or its layout is impossible.
        UnsupportedFeature
            If no reader, or not the one asked for, can decode it.
        """
        with self._lock:
            if array_id not in self._arrays:
                if isinstance(array_id, FilledColumnId):
                    table = fill_nulls(self.table(TableId(array_id.table)), array_id.fills)
                    return ColumnArray(table, array_id.column, raw=array_id.raw)
                which = cast("HDUId", array_id)
                hdu = self.find(which.hdu)
                with located(url=self.source.url, part=f"HDU {hdu.index}"):
                    self._arrays[array_id] = self._open_array(hdu, which.reader, raw=which.raw)
            return self._arrays[array_id]

    def table(self, array_id: ArrayId) -> FITSTable:
        """Return a table.

        Needs nothing but the bytes of the file: other formats that hold FITS tables reach it through the registry, with a
        location of bytes or of a file of its own.

        Raises
        ------
        FormatError
            If there is no such table, or its header is corrupt.
        UnsupportedFeature
            If it has columns of a form that is not known.
        """
        with self._lock:
            hdu = self.find(cast("TableId", array_id).table, "table")
            if not hdu.is_table:
                msg = f"no table, but {hdu.kind}"
                raise FormatError(msg, url=self.source.url, part=f"HDU {hdu.index}")
            found = self._tables.get(hdu.index)
            if found is None:
                with located(url=self.source.url, part=f"HDU {hdu.index}"):
                    found = self._tables[hdu.index] = FITSTable(self.source, hdu)
            return found

    def find_array(
        self, *, hdu: Selector = None, raw: bool = False, reader: str = "auto"
    ) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Return the pixels of an image."""
        return HDUId(hdu, reader, raw), None

    def find_table(self, *, hdu: Selector = None) -> ArrayId:
        """Return a table."""
        return TableId(hdu)

    def dims(self, array_id: ArrayId) -> tuple[str, ...]:
        """Return the names of an array's dimensions."""
        if isinstance(array_id, ColumnId):
            return column_dims(self.table(TableId(array_id.table)), array_id.column)
        return name_axes(self.find(cast("HDUId", array_id).hdu)).dims

    def signature(self, array_id: ArrayId) -> object:
        """Return the cards that say what values mean and where pixels lie; of columns, something that equals nothing else."""
        if isinstance(array_id, ColumnId):
            return object()
        hdu = self.find(cast("HDUId", array_id).hdu)
        header = header_text(hdu)
        if needs_tables(header):
            return object()  # equal cards may refer to tables that differ
        return hdu.shape, hdu.bitpix, image_scaling(hdu), placing_text(header)

    def layout(self, array_id: ArrayId) -> Layout:
        """Return shape, type, scaling and world coordinates of an image, or shape, type and unit of a column."""
        source = self.array(array_id)
        if isinstance(array_id, ColumnId):
            table = self.table(TableId(array_id.table))
            return column_layout(table, source, array_id.column, raw=array_id.raw)
        which = cast("HDUId", array_id)
        hdu = self.find(which.hdu)
        scaling = image_scaling(hdu)  # of stored values too: what is said of them is to hold for all files of a stack
        meaning = {"scale": scaling.scale, "zero": scaling.zero, "blank": scaling.blank, "unit": hdu.cards.get("BUNIT")}
        found = Layout(source.shape, str(source.dtype), None, meaning, fill=scaling.blank if which.raw else None)
        return with_world(found, hdu, self._world_tables)

    def close(self) -> None:
        """Let go of descriptors and of what is kept in temporary files."""
        close_arrays(self._arrays.values())
        self.source.close()

    def describe(self) -> list[ArrayInfo]:
        """Describe every HDU with data."""
        only = self.groups() == ["/"]
        labels = {h.index: "" if only else name for name, h in self._groups_by_name().items()}
        return [
            self._describe_hdu(h, labels.get(h.index, h.name)) for h in self.structure.all_hdus() if h.kind != "none"
        ]

    def _describe_hdu(self, hdu: HDU, label: str) -> ArrayInfo:
        """Describe the image or table of an HDU without reading its data."""
        notes = {"hdu": hdu.index, "kind": hdu.kind}
        if not (hdu.is_image or hdu.is_table):
            return ArrayInfo("/" + label, hdu.kind, (), (), "", (), "", "", hdu.nbytes, notes)
        try:
            if hdu.is_table:
                return table_info(self.table(TableId(hdu.index)), "/" + label, "table", notes)
            source = self.array(HDUId(hdu.index))
        except ScichunkError as error:
            # Of other names the axes may be what is wrong.
            name, reader = hdu.name.lower() or "data", f"cannot be read: {error.message}"
            return ArrayInfo("/" + label, name, (), (), "?", (), "?", reader, None, notes)
        stored = hdu.nbytes
        if isinstance(source, IndexedArray):
            stored = (source.index.totals() or (hdu.nbytes,))[0]
        codec = nodes.codec_name(source, hdu)
        native = source.grid.chunk_shape
        dims, kind = name_axes(hdu).dims, str(source.dtype)
        name, reader = nodes.variable_name(hdu), source.reader
        return ArrayInfo("/" + label, name, dims, source.shape, kind, native, codec, reader, stored, notes)

    def _open_array(self, hdu: HDU, reader: str, *, raw: bool) -> ArraySource:
        if not hdu.is_image:
            raise _not_an_image(hdu)
        if not raw:
            self._warn_of_nulls(hdu)
        why = "asked for"
        if reader != "reference":
            try:
                index = build_index(hdu, self.source, raw=raw)
            except UnsupportedFeature as error:
                if reader == "indexed":
                    raise
                why = error.message
            else:
                return IndexedArray(index, self.source, ("fits", hdu.index, raw))
        return open_reference(self.structure, hdu, why, raw=raw)

    def _warn_of_nulls(self, hdu: HDU) -> None:
        """Say that a BLANK that is no integer is left out (FITS 4.0, section 4.4.2.5); astropy takes T for 1.

        Nor is the mask of null pixels known, beside tiles of a lossy compression (section 10.2.2), which no library writes.
        """
        blank = stored_blank(hdu)
        if blank is not None and (isinstance(blank, bool) or not isinstance(blank, int)):
            msg = f"BLANK is {blank!r}, not an integer, and is left out [{self.source.url}, HDU {hdu.index}]"
            warn_caller(msg, MetadataWarning)
        if hdu.kind == "compressed" and "ZMASKCMP" in hdu.cards:
            msg = f"null pixels have other values than NaN: the mask of them (ZMASKCMP) is not read [{self.source.url}, HDU {hdu.index}]"
            warn_caller(msg, DataWarning)

    def _iterate_hdus(self) -> Iterator[HDU]:
        """HDUs one after another; headers are read only as far as somebody asks."""
        for index in itertools.count():
            try:
                hdu = self.structure[index]
            except IndexError:
                return
            yield hdu

    def _find_first(self, kind: str) -> HDU:
        """First HDU of a kind; headers are read only as far as that."""
        table = None
        for hdu in self._iterate_hdus():
            # "any" prefers images: a table before the first image is only taken where no image follows.
            if hdu.is_table if kind == "table" else hdu.is_image:
                return hdu
            table = hdu if table is None and hdu.is_table else table
        if kind == "any" and table is not None:
            return table
        raise StopIteration

    def _groups_by_name(self) -> dict[str, HDU]:
        with self._lock:
            if self._names is None:
                self._names = {
                    n: h for n, h in nodes.name_groups(self.structure.all_hdus()).items() if h.is_image or h.is_table
                }
            return self._names


def _not_an_image(hdu: HDU) -> ScichunkError:
    if hdu.is_table:
        return FormatError("a table, not an image: scichunk.read_fits_table reads it", part=f"HDU {hdu.index}")
    return FormatError(f"no image, but {hdu.kind}", part=f"HDU {hdu.index}")
