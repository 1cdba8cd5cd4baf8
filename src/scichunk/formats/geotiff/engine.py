"""xarray's engine ``geotiff``."""

from __future__ import annotations

from scichunk.adapters.xarray.engine import FormatBackend

__all__ = ["GeoTIFFBackend"]


class GeoTIFFBackend(FormatBackend):
    """GeoTIFF, COG and BigTIFF."""

    description = "Chunked, lazy GeoTIFF and COG"
    format_name = "geotiff"
