"""Which array or table of which file: small values that travel to workers, and the file's structure once per process there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from scichunk import registry
from scichunk.errors import SourceError
from scichunk.model import OpenFile, Place, TableFile
from scichunk.reading import ArraySource
from scichunk.sources import Fingerprint, Location
from scichunk.sources.cache import files
from scichunk.tables.model import TableSource

__all__ = ["Handle", "TableHandle", "open_file"]


def open_file(format_name: str, location: Location, expected: Fingerprint | None = None) -> OpenFile:
    """Open a file, or take it from this process' cache.

    Parameters
    ----------
    format_name
        Name of the format.
    location
        The file.
    expected
        The version that is wanted: a cached structure of it will do. None looks at the file first.

    Raises
    ------
    SourceError
        If it is missing, or no longer the version that is expected.
    """
    if expected is not None:
        known = files.get((format_name, location.key, expected))
        if known is not None:
            return cast("OpenFile", known)
    source = location.open()
    if expected is not None and source.fingerprint != expected:
        msg = "the file has changed since it was opened; open it again"
        raise SourceError(msg, url=source.url)
    key = (format_name, location.key, source.fingerprint)
    known = files.get(key)
    if known is None:
        known = files.put(key, registry.get(format_name).open_file(location, source=source))
    return cast("OpenFile", known)


@dataclass(frozen=True, slots=True)
class Handle:
    """An array by name."""

    format: str
    location: Location
    fingerprint: Fingerprint
    place: Place

    def resolve(self) -> ArraySource:
        """Return the array, opening the file in this process if need be."""
        return open_file(self.format, self.location, self.fingerprint).array(self.place)


@dataclass(frozen=True, slots=True)
class TableHandle:
    """A table by name: ``place`` is ``("table", which)``."""

    format: str
    location: Location
    fingerprint: Fingerprint
    place: Place

    def resolve(self) -> TableSource:
        """Return the table, opening the file in this process if need be."""
        file = open_file(self.format, self.location, self.fingerprint)
        return cast("TableFile", file).table(self.place)
