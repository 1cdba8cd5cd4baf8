"""xarray's engine ``votable``."""

from __future__ import annotations

from scichunk.adapters.xarray.engine import FormatBackend

__all__ = ["VOTableBackend"]


class VOTableBackend(FormatBackend):
    """VOTable: dimension ``row``, one variable a column."""

    description = "Chunked, lazy VOTable, all serializations"
    format_name = "votable"
