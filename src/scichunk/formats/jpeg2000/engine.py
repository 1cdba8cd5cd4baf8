"""xarray's engine ``jpeg2000``."""

from __future__ import annotations

from scichunk.adapters.xarray.engine import FormatBackend

__all__ = ["JPEG2000Backend"]


class JPEG2000Backend(FormatBackend):
    """JPEG 2000: JP2, JPX, JPH and raw codestreams."""

    description = "Chunked, lazy JPEG 2000"
    format_name = "jpeg2000"
