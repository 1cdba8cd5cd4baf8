"""Which tables and columns a VOTable has."""

from __future__ import annotations

from dataclasses import dataclass

from scichunk.core.files import ColumnId, TableId
from scichunk.formats.votable.nulls import Fill

__all__ = ["FilledColumnId", "VOTableId"]


@dataclass(frozen=True, slots=True)
class VOTableId(TableId):
    """A table, and how its values are read."""

    on_error: str = "raise"
    """``"raise"``, or ``"null"``: what becomes of values that cannot be read."""
    astropy_compat: bool = False
    """Whether what astropy loses is lost."""


@dataclass(frozen=True, slots=True)
class FilledColumnId(ColumnId):
    """A column, with a value for nulls that the document has none for; it travels here, so that workers do not look for it again."""

    fill: Fill | None = None
