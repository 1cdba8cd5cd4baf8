"""From HDUs to chunk indexes: where the pixels lie and how they are decoded."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.raw import RawCodec
from scichunk.codecs.scaled import ScaledCodec
from scichunk.codecs.scaling import Scaling, choose_scaling
from scichunk.codecs.tiled_images import ALGORITHMS, GZIPPED, UNCOMPRESSED, TiledImageCodec
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import NOWHERE, ChunkManifest, bound_lengths, most_encoded
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.fits.cards import Cards, Value
from scichunk.formats.fits.image.parameters import check_compression
from scichunk.formats.fits.structure import HDU
from scichunk.formats.fits.table.layout import TableField, TableLayout, read_layout
from scichunk.formats.fits.table.rows import nbytes_of, stored_descriptors
from scichunk.sources import ByteSource

__all__ = ["build_index", "image_scaling", "is_smooth", "read_places", "tile_shape"]

_SLAB_BYTES: Final = 1 << 22
"""Bytes of the slabs in which an uncompressed image is read; it has no chunks of its own."""
_MOST_SLABS: Final = 1 << 16
_NUMBERS: Final = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""Stored types of numbers by letter of TFORM."""
_MOST_PIXEL_BYTES: Final = 8
_MOST_HEAP_BYTES: Final = 1 << 56
"""Bytes that no heap has: lengths below it stay integers of 64 bits when they are multiplied by the size of an element."""


def image_scaling(hdu: HDU, *, raw: bool = False) -> Scaling:
    """Scaling of an image by BSCALE, BZERO and BLANK (which compressed images may call ZBLANK)."""
    cards, packed = hdu.cards, hdu.kind == "compressed"
    # Of several cards astropy takes the last of a plain image, and of a compressed one the first that is not 0; a BSCALE of 0 it takes
    # for 1 there.
    blank = stored_blank(hdu)
    whole = blank if isinstance(blank, int) and not isinstance(blank, bool) else None
    scale, zero = (
        (packed and cards.get_number(key, default)) or cards.get_number(key, default, last=True)
        for key, default in (("BSCALE", 1), ("BZERO", 0))
    )
    if packed and scale == 0:
        scale = 1
    return choose_scaling(hdu.bitpix, scale, zero, whole, raw=raw)


def stored_blank(hdu: HDU) -> Value:
    """Value of BLANK, or of what stands for it, whatever it is; None where it has no meaning."""
    cards, packed = hdu.cards, hdu.kind == "compressed"
    if hdu.bitpix < 0:  # section 4.4.2.5; ZBLANK stands for what the quantisation makes NaN
        return None
    name = "ZBLANK" if packed and "BLANK" not in cards else "BLANK"
    return cards.get(name) if packed else cards.last_value(name)


def is_smooth(hdu: HDU) -> bool:
    """Whether HCOMPRESS tiles are to be smoothed after decoding."""
    return bool(_read_setting(hdu.cards, "SMOOTH", 0))


def build_index(hdu: HDU, source: ByteSource, *, raw: bool) -> ChunkManifest:
    """Build the index of an image.

    Parameters
    ----------
    hdu
        An image, plain or compressed.
    source
        The file: the table of a compressed image is read from it.
    raw
        Stored values are wanted.

    Raises
    ------
    FormatError
        If the layout is impossible.
    UnsupportedFeature
        If only the reference reader can decode it.
    """
    part = f"HDU {hdu.index}"
    scaling = image_scaling(hdu, raw=raw)
    if hdu.kind == "compressed":
        return _index_compressed(hdu, source, scaling, part)
    if hdu.kind == "image":
        return _index_plain(hdu, scaling, part)
    msg = "random groups" if hdu.kind == "groups" else f"no image, but {hdu.kind}"
    raise UnsupportedFeature(msg)


def _index_plain(hdu: HDU, scaling: Scaling, part: str) -> ChunkManifest:
    """Slabs of whole rows (planes, ...), since the values lie in one piece."""
    shape = hdu.shape
    size = abs(hdu.bitpix) // 8
    # The index has an entry for each slab: slabs of huge files are larger.
    slab = max(_SLAB_BYTES, hdu.nbytes // _MOST_SLABS)
    edges, inner = [1] * len(shape), size
    for axis in range(len(shape) - 1, -1, -1):
        edges[axis] = max(1, min(shape[axis], slab // inner))
        if edges[axis] < shape[axis] and axis < len(shape) - 1:
            inner *= shape[axis]
            break
        edges[axis] = max(1, shape[axis])  # rows are never cut
        inner *= max(1, shape[axis])
    if 0 in shape:  # nothing to cut, however long the other axes are
        edges = [max(1, length) for length in shape]
    grid = ChunkGrid(shape, tuple(edges))
    starts, lengths = _locate_slabs(grid, size, hdu.data)
    stored = np.dtype(f">f{size}" if hdu.bitpix < 0 else "u1" if size == 1 else f">i{size}")
    order = tuple(range(len(shape)))
    codec = RawCodec(stored, order) if scaling.plain else ScaledCodec(stored, order, scaling=scaling)
    return ChunkManifest(grid, scaling.dtype, codec, starts, lengths, part=part, label="slab")


def _locate_slabs(grid: ChunkGrid, size: int, base: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Positions of slabs: whole axes after the cut one, single positions before it."""
    if grid.size == 1:  # a small image
        return np.array([base], np.uint64), np.array([size * math.prod(grid.shape)], np.uint64)
    strides = [size * math.prod(grid.shape[axis + 1 :]) for axis in range(len(grid.shape))]
    starts = np.full((1,) * len(grid.shape), base, np.int64)
    lengths = np.full((1,) * len(grid.shape), size, np.int64)
    for axis, (count, edge) in enumerate(zip(grid.counts, grid.edges, strict=True)):
        first = np.arange(count, dtype=np.int64) * int(edge)
        along = [-1 if a == axis else 1 for a in range(len(grid.shape))]
        starts = starts + (first * strides[axis]).reshape(along)
        lengths = lengths * np.minimum(int(edge), grid.shape[axis] - first).reshape(along)
    lengths = np.broadcast_to(lengths, starts.shape)
    return starts.reshape(-1).astype(np.uint64), lengths.reshape(-1).astype(np.uint64)


def _index_compressed(hdu: HDU, source: ByteSource, scaling: Scaling, part: str) -> ChunkManifest:
    """Tiles by the descriptors of the table (FITS 4.0, section 10.1)."""
    cards, shape = hdu.cards, hdu.shape
    algorithm = cards.get_string("ZCMPTYPE").strip().upper()
    # An alias that cfitsio knows.
    algorithm = "RICE_1" if algorithm == "RICE_ONE" else algorithm
    if algorithm not in ALGORITHMS:
        msg = f"compression {algorithm!r}"
        raise UnsupportedFeature(msg)
    check_compression(cards)
    if algorithm == "HCOMPRESS_1" and is_smooth(hdu):
        msg = "HCOMPRESS with smoothing"
        raise UnsupportedFeature(msg)
    grid = ChunkGrid(shape, tile_shape(hdu))
    table = _read_table(hdu, source, grid.size)
    starts, lengths, kinds = _read_tile_descriptors(table)
    # Integers are not quantized (section 10.2), but libraries scale them by these all the same.
    odd = [n for n in ("ZBLANK", "ZSCALE", "ZZERO") if n in table.fields or (n in cards and n != "ZBLANK")]
    if hdu.bitpix > 0 and odd:
        msg = f"integers with {' and '.join(odd)}"
        raise UnsupportedFeature(msg)
    size = abs(hdu.bitpix) // 8
    stored = np.dtype(f"f{size}" if hdu.bitpix < 0 else "u1" if size == 1 else f"i{size}")
    scales = _per_tile(cards, "ZSCALE", table) if hdu.bitpix < 0 else None
    codec = TiledImageCodec(
        algorithm=algorithm,
        stored=stored,
        scaling=scaling,
        block=_read_count(cards, "BLOCKSIZE", 32),
        pixel_bytes=_pixel_bytes(cards),
        kinds=kinds,
        scales=scales,
        zeros=_per_tile(cards, "ZZERO", table) if hdu.bitpix < 0 else None,
        blanks=_read_blanks(cards, table) if hdu.bitpix < 0 else None,
        dither=_read_dither(cards) if scales is not None else 0,  # what is not quantised is not dithered
        seed=cards.get_integer("ZDITHER0", 1),
    )
    most = most_encoded(math.prod(grid.chunk_shape) * _MOST_PIXEL_BYTES)
    lengths = bound_lengths(starts, lengths, most, source)
    return ChunkManifest(grid, scaling.dtype, codec, starts, lengths, part=part, label="tile")


def tile_shape(hdu: HDU) -> tuple[int, ...]:
    """Shape of the tiles of a compressed image in NumPy's order, clipped to the image (FITS 4.0, section 10.1.1).

    Raises
    ------
    FormatError
        If the image or its tiles have no size.
    """
    shape, edges = hdu.shape, []
    if not shape or min(shape) < 1:
        msg = f"a compressed image of shape {shape}"
        raise FormatError(msg)
    for axis in range(len(shape)):
        # By default a tile is a row of the image.
        length = hdu.cards.get_integer(f"ZTILE{len(shape) - axis}", shape[-1] if axis == len(shape) - 1 else 1)
        if length < 1:
            msg = f"ZTILE{len(shape) - axis} is {length}"
            raise FormatError(msg)
        edges.append(min(length, shape[axis]))
    return tuple(edges)


class _TileTable(NamedTuple):
    """The table of a compressed image: a row for each tile."""

    layout: TableLayout
    fields: dict[str, TableField]
    """By name, without those that have no elements."""
    rows: npt.NDArray[np.uint8]
    """Shape (tiles, bytes of a row)."""

    def read_numbers(self, field: TableField) -> npt.NDArray[Any]:
        """Values of a field of one number in a row; shape (tiles,)."""
        dtype = np.dtype(_NUMBERS[field.code])
        return np.ascontiguousarray(self.rows[:, field.offset : field.offset + dtype.itemsize]).view(dtype)[:, 0]


def _read_table(hdu: HDU, source: ByteSource, rows: int) -> _TileTable:
    """Read as many rows as there are tiles.

    Raises
    ------
    FormatError, LimitExceeded
        If the table is impossible, has fewer rows, says only half of how floats were made integers, or is too large.
    """
    layout = read_layout(hdu)
    if rows > layout.rows:
        msg = f"{rows} tiles, but only {layout.rows} rows"
        raise FormatError(msg)
    nbytes = layout.width * rows
    if nbytes > options.get().max_header_bytes:
        msg = f"a table of {nbytes} bytes for {rows} tiles (options.max_header_bytes)"
        raise LimitExceeded(msg)
    data = bytes(source.read_ranges([hdu.data], [hdu.data + nbytes])[0])
    fields = {field.name.upper(): field for field in layout.fields if field.repeat}
    pair = [name for name in ("ZSCALE", "ZZERO") if name in fields or name in hdu.cards]
    if hdu.bitpix < 0 and len(pair) == 1:
        msg = f"of ZSCALE and ZZERO, which belong together (FITS 4.0, section 10.2), there is only {pair[0]}"
        raise FormatError(msg)
    return _TileTable(layout, fields, np.frombuffer(data, np.uint8).reshape(rows, layout.width))


def read_places(
    hdu: HDU, source: ByteSource, tiles: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Read first byte, length, and kind of each tile: compressed, else gzipped, else as it is.

    Raises
    ------
    FormatError, LimitExceeded
        If the table of the tiles is impossible, has fewer rows, or is too large.
    """
    return _read_tile_descriptors(_read_table(hdu, source, tiles))


def _read_tile_descriptors(
    table: _TileTable,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """First byte, length, and kind of each tile: compressed, else gzipped, else as it is."""
    rows = len(table.rows)
    starts, lengths = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    kinds = np.zeros(rows, np.uint8)
    most = min(table.layout.heap_end - table.layout.data, _MOST_HEAP_BYTES)
    room = table.layout.heap_end - table.layout.heap
    names = (("COMPRESSED_DATA", 0), ("GZIP_COMPRESSED_DATA", GZIPPED), ("UNCOMPRESSED_DATA", UNCOMPRESSED))
    if names[0][0] not in table.fields:
        msg = "the table has no column COMPRESSED_DATA"
        raise FormatError(msg)
    for name, kind in names:
        field = table.fields.get(name)
        left = lengths == 0
        if field is None or not left.any():
            continue
        if not field.descriptor:
            msg = f"the column {name} is no array descriptor"
            raise FormatError(msg)
        count, offset = stored_descriptors(field, (table.rows, field.offset))
        # Signed, as the standard has them (section 7.3.5): what is negative is not a number of 4 GB.
        bad = (count < 0) | (offset < 0) | (count > most) | (offset > most)
        here = left & ((count > 0) | bad)
        nbytes = nbytes_of(field, np.where(bad, 0, count))
        bad |= offset > room - nbytes  # what follows the heap is not of this image
        lengths[here] = np.where(bad, 1, nbytes)[here]
        starts[here] = np.where(bad, NOWHERE, table.layout.heap + offset)[here]
        kinds[here] = kind
    missing = lengths == 0
    lengths[missing], starts[missing] = 1, NOWHERE  # FITS knows no absent tiles
    return starts.astype(np.uint64), lengths.astype(np.uint64), kinds


def _per_tile(cards: Cards, name: str, table: _TileTable) -> npt.NDArray[np.float64] | None:
    """ZSCALE or ZZERO: a column, or a keyword for all tiles."""
    field = table.fields.get(name)
    if field is not None:
        if field.code not in "ED" or field.descriptor:
            msg = f"the column {name} is not floating point"
            raise FormatError(msg)
        return table.read_numbers(field).astype(np.float64)
    if name in cards:
        return np.full(len(table.rows), float(cards.get_number(name, 0)))
    return None


def _read_blanks(cards: Cards, table: _TileTable) -> npt.NDArray[np.int64] | None:
    """ZBLANK: a column, or a keyword for all tiles (BLANK if there is none)."""
    field = table.fields.get("ZBLANK")
    if field is not None:
        if field.code not in "BIJK" or field.descriptor:
            msg = "the column ZBLANK holds no integers"
            raise FormatError(msg)
        return table.read_numbers(field).astype(np.int64)
    for name in ("ZBLANK", "BLANK"):
        value = cards.get(name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name == "ZBLANK" and name in cards and not whole:
            msg = f"ZBLANK is {value!r}, not an integer"
            raise FormatError(msg)
        if isinstance(value, int) and whole and abs(value) < 1 << 63:
            return np.full(len(table.rows), value, np.int64)
    return None


def _read_setting(cards: Cards, name: str, default: float) -> float:
    """Value of a parameter of the compression: ZNAMEn says its name, ZVALn its value."""
    # Numbers of keywords have three digits at most, and no gaps (section 10.1.2).
    for i in range(1, 1000):
        found = cards.get(f"ZNAME{i}")
        if found is None:
            break
        if not isinstance(found, str):
            msg = f"ZNAME{i} is {found!r}, no text"
            raise FormatError(msg)
        if found.strip().upper() == name:
            return cards.get_number(f"ZVAL{i}", default)
    return default


def _read_count(cards: Cards, name: str, default: int) -> int:
    """Value of a parameter that counts something; :func:`check_compression` looks at those of RICE_1 alone."""
    value = _read_setting(cards, name, default)
    if not math.isfinite(value):
        msg = f"{name} is {value}, not an integer"
        raise FormatError(msg)
    return int(value)


def _pixel_bytes(cards: Cards) -> int:
    size = _read_count(cards, "BYTEPIX", 4)
    if size not in {1, 2, 4}:
        msg = f"BYTEPIX is {size}"
        raise UnsupportedFeature(msg)
    return size


def _read_dither(cards: Cards) -> int:
    found = cards.get("ZQUANTIZ") if "ZQUANTIZ" in cards else "NO_DITHER"
    if not isinstance(found, str):
        msg = f"ZQUANTIZ is {found!r}, no text"
        raise FormatError(msg)
    method = found.strip().upper()
    if method in {"NO_DITHER", "NONE"}:
        return 0
    if method in {"SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2"}:
        return int(method[-1])
    msg = f"quantisation {method!r}"
    raise UnsupportedFeature(msg)
