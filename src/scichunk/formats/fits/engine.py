"""xarray's engine ``fits``."""

from __future__ import annotations

from scichunk.adapters.xarray.engine import FormatBackend

__all__ = ["FITSBackend"]


class FITSBackend(FormatBackend):
    """FITS images and tables."""

    description = "Chunked, lazy FITS"
    format_name = "fits"
