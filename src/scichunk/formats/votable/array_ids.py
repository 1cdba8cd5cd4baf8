"""Which tables a VOTable has."""

from __future__ import annotations

from dataclasses import dataclass

from scichunk.core.files import TableId

__all__ = ["VOTableId"]


@dataclass(frozen=True, slots=True)
class VOTableId(TableId):
    """A table, and how its values are read."""

    on_error: str = "raise"
    """``"raise"``, or ``"null"``: what becomes of values that cannot be read."""
    astropy_compat: bool = False
    """Whether what astropy loses is lost."""
