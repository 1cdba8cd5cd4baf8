"""The tables of a file that its images refer to for their world coordinates (-TAB, lookup tables of distortions)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from scichunk.errors import MetadataWarning
from scichunk.formats.fits.structure import HDU, FITSStructure
from scichunk.sky.tables import MOST_BYTES, pack_tables, table_names
from scichunk.warned import warn_caller

__all__ = ["WorldTables"]

_MOST_TOGETHER: Final = 1 << 27
"""Bytes of tables that the images of a file refer to, those of each image counted: each has a WCS made of its own."""


class WorldTables:
    """Tables as texts that travel with headers; images that refer to the same ones share one text.

    Parameters
    ----------
    structure
        The file.
    """

    def __init__(self, structure: FITSStructure) -> None:
        self._structure = structure
        self._packed: dict[frozenset[str], str] = {}
        self._named: dict[str, list[HDU]] | None = None
        self._together = 0
        self._lock = threading.RLock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the texts."""
        return sum(map(len, list(self._packed.values())))  # a copy: others may put one in meanwhile

    def find(self, header: str) -> str:
        """Return the tables that a header refers to; an empty text where it refers to none, or they are not there.

        Warns
        -----
        MetadataWarning
            If they are too large to travel with the header, or those of all images of the file are.
        """
        names = frozenset(table_names(header))
        if not names:
            return ""
        with self._lock:
            wanted = self._find_hdus(names)
            size = _size_of(wanted)
            if size > MOST_BYTES or self._together > _MOST_TOGETHER:
                what = (
                    "the tables of the world coordinates have" if size > MOST_BYTES else "the images of the file need"
                )
                bytes_there, most = (size, MOST_BYTES) if size > MOST_BYTES else (self._together, _MOST_TOGETHER)
                msg = f"{what} {bytes_there} bytes of tables, more than {most}: they are left out [{self._structure.source.url}]"
                warn_caller(msg, MetadataWarning)
                return ""
            if names not in self._packed:
                self._packed[names] = self._pack(wanted)
            return self._packed[names]

    def _find_hdus(self, names: Iterable[str]) -> list[HDU]:
        """HDUs of these names, in the order of the file."""
        if self._named is None:
            named: dict[str, list[HDU]] = {}
            hdus = self._structure.all_hdus()
            for hdu in hdus:
                named.setdefault(hdu.name, []).append(hdu)
            self._named = named
            sizes = [_size_of(self._find_hdus(_names_in(hdu))) for hdu in hdus if hdu.is_image]
            self._together = sum(size for size in sizes if size <= MOST_BYTES)
        found = [hdu for name in names for hdu in self._named.get(name, [])]
        return sorted(found, key=lambda hdu: hdu.index)

    def _pack(self, hdus: list[HDU]) -> str:
        if not hdus:
            return ""
        source, size = self._structure.source, self._structure.size
        found = source.read_ranges([h.start for h in hdus], [min(h.end, size) for h in hdus])
        return pack_tables([bytes(v).ljust(h.end - h.start, b"\0") for v, h in zip(found, hdus, strict=True)])


def _names_in(hdu: HDU) -> set[str]:
    """Names of the tables that an image refers to; Latin-1, since they are found byte by byte."""
    return table_names(hdu.cards.text.decode("latin-1"))


def _size_of(hdus: Iterable[HDU]) -> int:
    return sum(h.end - h.start for h in hdus)
