"""GeoTIFF and cloud-optimised GeoTIFF (TIFF 6.0, BigTIFF, OGC 19-008)."""

from __future__ import annotations

from typing import Final

from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import BANDS, READER, Selector, index

__all__ = ["SPEC", "names_beside"]


def _sniff(head: bytes) -> bool:
    return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


_BEHIND: Final = (".aux.xml", ".AUX.XML", ".msk", ".ovr", ".msk.ovr")
"""What follows the whole name."""
_INSTEAD: Final = (
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
    "_RPC.txt",
    "_rpc.TXT",
    ".rpc",
    ".RPC",
    ".IMD",
    ".xml",
    ".XML",
)
"""What takes the place of the suffix."""


def names_beside(name: str) -> list[str]:
    """What GDAL reads with a TIFF file: PAM, masks, overviews, world files, RPCs, coordinate systems of ESRI."""
    stem = name.rpartition(".")[0]
    if not stem.strip("."):  # dots at the start of a name begin no suffix
        stem = name
    found = [name + end for end in _BEHIND] + [stem + end for end in _INSTEAD]
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
