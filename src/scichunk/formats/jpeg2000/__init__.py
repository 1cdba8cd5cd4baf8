"""JPEG 2000: JP2, JPX, JPH and raw codestreams (ITU-T T.800, T.801, T.814)."""

from __future__ import annotations

import os

__all__ = ["beside"]


def beside(name: str) -> list[str]:
    """What GDAL reads with a JPEG 2000 file: PAM and world files."""
    stem, suffix = os.path.splitext(name)
    ext = suffix[1:].lower()
    names = [name + ".aux.xml", stem + ".aux.xml", stem + ".wld", stem + ".WLD"]
    if ext:
        short = ext[0] + ext[-1] + "w"
        names += [f"{stem}.{end}" for end in (short, short.upper(), ext + "w", (ext + "w").upper())]
    return names
