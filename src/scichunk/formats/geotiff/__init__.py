"""GeoTIFF and cloud-optimised GeoTIFF (TIFF 6.0, BigTIFF, OGC 19-008)."""

from __future__ import annotations

from typing import Final

from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import BANDS, READER, Selector, index

__all__ = ["SPEC", "names_beside"]


def _sniff(head: bytes) -> bool:
    return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


_BEHIND: Final = (
    ".aux.xml",
    ".AUX.XML",
    ".msk",
    ".MSK",
    ".msk.aux.xml",
    ".MSK.aux.xml",
    ".ovr",
    ".OVR",
    ".msk.ovr",
    ".MSK.OVR",
)
"""What follows the whole name."""
_INSTEAD: Final = (
    ".aux.xml",
    ".wld",
    ".WLD",
    ".tab",
    ".TAB",
    ".rpb",
    ".RPB",
    "_RPC.TXT",
    "_rpc.txt",
    "_RPC.txt",
    "_rpc.TXT",
    ".rpc",
    ".RPC",
    ".IMD",
    ".xml",
    ".XML",
)
"""What takes the place of the suffix."""


def _world_files(suffix: str) -> list[str]:
    """Suffixes of world files: the first and the last letter of that of the raster, and a w; or all of it, and a w."""
    letters = [suffix[:1] + suffix[-1:], suffix]
    return [f".{made}" for n in letters for made in (f"{n}w".lower(), f"{n}w".upper(), f"{n}w".capitalize())]


def names_beside(name: str) -> list[str]:
    """What GDAL reads with a TIFF file: PAM, masks, overviews, world files, RPCs, coordinate systems of ESRI."""
    stem, _, suffix = name.rpartition(".")
    if not stem.strip("."):  # dots at the start of a name begin no suffix
        stem, suffix = name, ""
    found = [name + end for end in _BEHIND] + [stem + end for end in _INSTEAD]
    if suffix:
        found += [stem + end for end in _world_files(suffix)]
    if stem.startswith(
        "IMG_"
    ):  # as Pléiades and SPOT name them: RPC_x.XML is of IMG_x.TIF, or of all of its tiles IMG_x_R1C1.TIF
        rest = stem.removeprefix("IMG_")
        found += [f"{kind}_{part}.XML" for kind in ("RPC", "DIM") for part in (rest, rest.rpartition("_")[0]) if part]
    return found


SPEC: Final = FormatSpec(
    "geotiff",
    "GeoTIFF, COG, BigTIFF",
    (".tif", ".tiff", ".gtiff", ".geotiff", ".btf", ".tf8"),
    _sniff,
    "scichunk.formats.geotiff.file",
    selectors=(
        Selector("page", index, "which image of a multi-page file, counted from 0; overviews and masks do not count"),
        Selector("overview", index, "which reduced image, 0 being the first; None for full resolution"),
        BANDS,
        READER,
    ),
    siblings=names_beside,
    engine="scichunk.formats.geotiff.engine:GeoTIFFBackend",
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    mime_types=("image/tiff", "image/geotiff"),
    yields_to=("rasterio",),
    kernels=("float predictor", "horizontal predictor", "interleaved"),
)
