"""JPEG 2000: JP2, JPX, JPH and raw codestreams (ITU-T T.800, T.801, T.814)."""

from __future__ import annotations

import os
from typing import Final

from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import BANDS, READER, Selector, flag, index

__all__ = ["SPEC", "names_beside"]


def _sniff(head: bytes) -> bool:
    return head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51"


def names_beside(name: str) -> list[str]:
    """What GDAL reads with a JPEG 2000 file: PAM and world files."""
    stem, suffix = os.path.splitext(name)
    ext = suffix[1:].lower()
    names = [name + ".aux.xml", stem + ".aux.xml", stem + ".wld", stem + ".WLD"]
    if ext:
        short = ext[0] + ext[-1] + "w"
        names += [f"{stem}.{end}" for end in (short, short.upper(), ext + "w", (ext + "w").upper())]
    return names


SPEC: Final = FormatSpec(
    "jpeg2000",
    "JPEG 2000: JP2, JPX, JPH (HTJ2K), raw codestreams",
    (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c", ".jph", ".jhc"),
    _sniff,
    "scichunk.formats.jpeg2000.file",
    selectors=(
        Selector("reduce", index, "how many times the image is halved"),
        Selector("overview", index, "the same, counted from 0 as in GeoTIFF: overview=0 is halved once", ("dataset",)),
        Selector("expand", flag, "colours of a palette, and channels in the order of their definition"),
        BANDS,
        READER,
    ),
    siblings=names_beside,
    engine="scichunk.formats.jpeg2000.engine:JPEG2000Backend",
    magic=(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    mime_types=("image/jp2", "image/jpx", "image/jph", "image/j2c"),
    kernels=("packets",),
)
