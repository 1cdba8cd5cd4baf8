"""From HDUs to variables, dimensions, coordinates and attributes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from scichunk.codecs.scaling import Scaling
from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayId, ArrayVar, Node
from scichunk.formats.fits.cards import Cards
from scichunk.formats.fits.image.manifest import image_scaling
from scichunk.formats.fits.metadata import World, name_axes
from scichunk.formats.fits.structure import HDU
from scichunk.sky.wcs import Axes

__all__ = ["build_node", "card_attributes", "codec_name", "inherits", "name_groups", "variable_name"]

_STRUCTURAL: Final = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|TFIELDS|THEAP|CHECKSUM|DATASUM|BSCALE|BZERO|BLANK"
    r"|(?:TTYPE|TFORM|TDIM|TUNIT|TNULL|TSCAL|TZERO|TDISP|PTYPE|PSCAL|PZERO)\d+|COMMENT|HISTORY|CONTINUE|INHERIT"
    r"|Z(?:IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|QUANTIZ|DITHER0|TABLE|TILELEN|HEAPPTR|THEAP|SIMPLE|EXTEND|TENSION|PCOUNT|GCOUNT|BLANK)"
)


def name_groups(hdus: list[HDU]) -> dict[str, HDU]:
    """Name each HDU for a group: EXTNAME, with EXTVER where several have it; ``HDU_n`` where it says nothing."""
    plain = [re.sub(r"[/\s]+", "_", h.name.strip()) if re.search(r"\w", h.name) else "" for h in hdus]
    counts = Counter(plain)
    found: dict[str, HDU] = {}
    for hdu, name in zip(hdus, plain, strict=True):
        label = name or f"HDU_{hdu.index}"
        # EXTVER tells apart extensions of one name (section 4.4.2.6).
        if name and counts[name] > 1:
            label = f"{name},{hdu.version}"
        if label in found:
            label = f"{label}_{hdu.index}"
        while label in found:
            label += "_"
        found[label] = hdu
    return found


def card_attributes(cards: Cards) -> dict[str, Any]:
    """Values of the cards that do not say how the data are stored, each keyword once."""
    return {n: value for n, value in cards.items() if value is not None and not _STRUCTURAL.fullmatch(n)}


def inherits(cards: Cards) -> bool:
    """Whether an extension takes over the cards of the primary header (INHERIT = T; FITS 4.0, section 4.4.2.6)."""
    return cards.get("INHERIT") is True


def codec_name(source: ArraySource, hdu: HDU) -> str:
    """How the pixels are encoded, for people."""
    if isinstance(source, IndexedArray):
        return source.index.codec.name
    return hdu.cards.get_string("ZCMPTYPE").strip() if hdu.kind == "compressed" else "uncompressed"


def variable_name(hdu: HDU, world: Axes | None = None) -> str:
    """Name the variable of an image: EXTNAME in lower case, ``data`` where it says nothing or a dimension has that name."""
    world = world or name_axes(hdu)
    name = re.sub(r"[/\s]+", "_", hdu.cards.get_string("EXTNAME").strip().lower())
    return "data" if name in {*world.dims, *world.names} or not re.search(r"\w", name) else name


def build_node(
    hdu: HDU,
    values: tuple[ArrayId, ArraySource],
    stored: tuple[ArrayId, ArraySource],
    world: World,
    attrs: Mapping[str, Any],
) -> Node:
    """Make the node of an image, of its values and of what is stored; ``attrs``: what it inherits."""
    cards, named = hdu.cards, world.axes
    name = variable_name(hdu, named)
    own: dict[str, Any] = {"fits_header": world.header}
    if world.tables:
        own["wcs_tables"] = world.tables
    if cards.get_string("BUNIT"):
        own["units"] = cards.get_string("BUNIT").strip()
    if cards.get_string("BTYPE"):
        own["long_name"] = cards.get_string("BTYPE").strip()
    array_id, source = values
    encoding = {"reader": source.reader, "codec": codec_name(source, hdu), "bitpix": hdu.bitpix}
    scaling = image_scaling(hdu)
    untouched = None
    if not scaling.plain:
        dtype = stored[1].dtype
        untouched = ArrayVar(name, named.dims, *stored, own | _cf_attributes(scaling, dtype), encoding)
        encoding = encoding | _stored_encoding(hdu, source)
    variable = ArrayVar(name, named.dims, array_id, source, own, encoding, raw=untouched)
    return Node((variable,), world.coords, {**attrs, **card_attributes(cards)}, world.header if named.sky else "")


def _stored_encoding(hdu: HDU, source: ArraySource) -> dict[str, Any]:
    """What an unscaled copy would need: for ``encoding``."""
    found: dict[str, Any] = {"dtype": source.dtype}
    for key, name in (("bscale", "BSCALE"), ("bzero", "BZERO"), ("blank", "BLANK")):
        value = hdu.cards.get(name) if hdu.kind == "compressed" else hdu.cards.last_value(name)
        if value is not None:
            found[key] = value
    return found


def _cf_attributes(scaling: Scaling, dtype: np.dtype[Any]) -> dict[str, Any]:
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
