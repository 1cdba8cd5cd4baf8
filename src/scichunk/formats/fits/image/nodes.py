"""From HDUs to variables, dimensions, coordinates and attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from scichunk.codecs.scaling import Scaling
from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayId, ArrayVar, Coordinate, Node
from scichunk.formats.fits.cards import CARD, Cards
from scichunk.formats.fits.image.manifest import image_scaling
from scichunk.formats.fits.metadata import axes, header_text
from scichunk.formats.fits.structure import HDU

__all__ = ["attributes", "build", "codec_name", "names", "variable_name"]

_STRUCTURAL: Final = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|TFIELDS|THEAP|CHECKSUM|DATASUM|BSCALE|BZERO|BLANK"
    r"|(?:TTYPE|TFORM|TDIM|TUNIT|TNULL|TSCAL|TZERO|TDISP|PTYPE|PSCAL|PZERO)\d+|COMMENT|HISTORY|CONTINUE|INHERIT"
    r"|Z(?:IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|QUANTIZ|DITHER0|TABLE|TILELEN|HEAPPTR|THEAP|SIMPLE|EXTEND|TENSION|PCOUNT|GCOUNT|BLANK)"
)


def names(hdus: list[HDU]) -> dict[str, HDU]:
    """Name each HDU for a group: EXTNAME, with EXTVER where several have it; ``HDU_n`` where there is none."""
    plain = [re.sub(r"[/\s]+", "_", h.name.strip()) for h in hdus]
    found: dict[str, HDU] = {}
    for hdu, name in zip(hdus, plain, strict=True):
        label = name or f"HDU_{hdu.index}"
        if name and plain.count(name) > 1:
            label = f"{name},{hdu.version}"
        if label in found:
            label = f"{label}_{hdu.index}"
        found[label] = hdu
    return found


def attributes(cards: Cards) -> dict[str, Any]:
    """Values of the cards that do not say how the data are stored, each keyword once."""
    found: dict[str, Any] = {}
    for at in range(0, len(cards.text), CARD):
        name = cards.text[at : at + 8].decode("latin-1").rstrip()
        if name and name not in found and not _STRUCTURAL.fullmatch(name):
            value = cards.get(name)
            if value is not None:
                found[name] = int(value) if isinstance(value, bool) else value
    return found


def codec_name(source: ArraySource, hdu: HDU) -> str:
    """How the pixels are encoded, for people."""
    if isinstance(source, IndexedArray):
        return source.index.codec.name
    return hdu.cards.string("ZCMPTYPE").strip() if hdu.kind == "compressed" else "uncompressed"


def variable_name(hdu: HDU) -> str:
    """Name the variable of an image: EXTNAME in lower case, ``data`` where there is none or a dimension has that name."""
    world = axes(hdu)
    name = re.sub(r"\s+", "_", hdu.cards.string("EXTNAME").strip().lower()) or "data"
    return "data" if name in {*world.dims, *world.names} else name


def build(
    hdu: HDU,
    place: ArrayId,
    source: ArraySource,
    raw: tuple[ArrayId, ArraySource],
    coords: Mapping[str, Coordinate],
) -> Node:
    """Make the node of an image."""
    cards, world = hdu.cards, axes(hdu)
    dims = world.dims
    name = variable_name(hdu)
    attrs: dict[str, Any] = {"fits_header": header_text(hdu)}
    if cards.string("BUNIT"):
        attrs["units"] = cards.string("BUNIT").strip()
    if cards.string("BTYPE"):
        attrs["long_name"] = cards.string("BTYPE").strip()
    stored = _stored(hdu, source)
    encoding = {"reader": source.reader, "codec": codec_name(source, hdu), "bitpix": hdu.bitpix}
    scaling = image_scaling(hdu)
    untouched = None
    if not scaling.plain:
        untouched = ArrayVar(name, dims, raw[0], raw[1], attrs | _cf(scaling, raw[1].dtype), encoding)
        encoding = encoding | stored
    variable = ArrayVar(name, dims, place, source, attrs, encoding, raw=untouched)
    return Node((variable,), coords, attributes(cards), header_text(hdu) if world.sky else "")


def _stored(hdu: HDU, source: ArraySource) -> dict[str, Any]:
    """What an unscaled copy would need: for ``encoding``."""
    found: dict[str, Any] = {"dtype": source.dtype}
    for key, name in (("bscale", "BSCALE"), ("bzero", "BZERO"), ("blank", "BLANK")):
        value = hdu.cards.get(name)
        if value is not None:
            found[key] = value
    return found


def _cf(scaling: Scaling, dtype: np.dtype[Any]) -> dict[str, Any]:
    """The scaling as CF attributes, for those who ask for stored values."""
    found: dict[str, Any] = {}
    if scaling.flip:
        # the top bit turned is the same as half the range added
        return {"add_offset": scaling.flip if dtype.kind == "i" else -scaling.flip}
    if scaling.scale != 1:
        found["scale_factor"] = float(scaling.scale)
    if scaling.zero != 0:
        found["add_offset"] = float(scaling.zero)
    if scaling.blank is not None and np.iinfo(dtype).min <= scaling.blank <= np.iinfo(dtype).max:
        found["_FillValue"] = dtype.type(scaling.blank)
    return found
