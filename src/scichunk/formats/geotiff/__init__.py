"""GeoTIFF and cloud-optimised GeoTIFF (TIFF 6.0, BigTIFF, OGC 19-008)."""

from __future__ import annotations

import os

__all__ = ["beside"]


def beside(name: str) -> list[str]:
    """What GDAL reads with a TIFF file: PAM, masks, overviews, world files, RPCs."""
    stem = os.path.splitext(name)[0]
    ends = (
        ".aux.xml",
        ".tfw",
        ".TFW",
        ".tifw",
        ".tiffw",
        ".wld",
        ".tab",
        ".TAB",
        ".rpb",
        ".RPB",
        "_RPC.TXT",
        "_rpc.txt",
        ".IMD",
    )
    return [*(name + end for end in (".aux.xml", ".AUX.XML", ".msk", ".ovr")), *(stem + end for end in ends)]
