"""Which tables a VOTable has."""

from __future__ import annotations

from dataclasses import dataclass

from scichunk.core.files import TableId
from scichunk.sources import Fingerprint

__all__ = ["DataOf", "VOTableId"]


@dataclass(frozen=True, slots=True)
class DataOf:
    """A table whose rows lie in a file of their own: in ids it stands in place of the table's number or name.

    The version of a document says nothing of the files that its streams refer to.
    """

    table: int | str
    version: Fingerprint
    """Of the file with the rows."""
    file: str = ""
    """Which file that is: a digest of its name."""


@dataclass(frozen=True, slots=True)
class VOTableId(TableId):
    """A table, and how its values are read."""

    on_error: str = "raise"
    """``"raise"``, or ``"null"``: what becomes of values that cannot be read."""
    astropy_compat: bool = False
    """Whether what astropy loses is lost."""
