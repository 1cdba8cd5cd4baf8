"""From a directory to a chunk index, or the reason why there is none."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.bits import BitCodec
from scichunk.codecs.images import ImageCodec
from scichunk.codecs.pixels import PixelCodec
from scichunk.codecs.raw import RawCodec
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest, Codec, bound_lengths, most_encoded
from scichunk.core.paged import PagedTable
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.geotiff.structure import TIFFImage

__all__ = ["build_index", "native_grid", "pixel_dtype", "undivided_bytes"]

# Compression (TIFF 6.0, section 8, and tags that libtiff registered later): 32946 is an older number of deflate.
_LOSSLESS: Final = {5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 34925: "lzma", 50000: "zstd"}
_IMAGES: Final = {7: "jpeg", 34887: "lerc", 50001: "webp", 50002: "jpegxl", 52546: "jpegxl"}
_WHOLE: Final = frozenset({33003, 33005, 34712, 34887, 50001, 50002})
"""Compressions by codecs of whole images: JPEG 2000 (three numbers), LERC, WEBP, JPEG XL."""
_CONVERTED: Final = frozenset({5, 6, 8})
"""Photometric interpretations of which GDAL makes RGBA, whatever the codec: CMYK, YCbCr, CIELab."""
_MERGED_STRIP_BYTES: Final = 1 << 18
_TABLES_BYTES: Final = 1 << 16
"""Of the tables that JPEG blocks share, where all that there can be have three thousand."""
_MOST_STRIPS: Final = 1 << 22
"""Whose places are read at once."""
_WHOLE_BYTES: Final = (8, 16, 32, 64)
_KINDS: Final = {
    1: ("u", _WHOLE_BYTES),
    2: ("i", _WHOLE_BYTES),
    3: ("f", (16, 32, 64)),
    4: ("u", _WHOLE_BYTES),
    6: ("c", (64, 128)),
}
_DTYPES: Final[dict[tuple[int, int], np.dtype[Any]]] = {
    (form, bits): np.dtype(f"{kind}{bits // 8}") for form, (kind, allowed) in _KINDS.items() for bits in allowed
}
"""Types of samples by sample format and bits."""


def pixel_dtype(image: TIFFImage) -> np.dtype[Any]:
    """Type of the samples in native byte order.

    Raises
    ------
    UnsupportedFeature
        If the samples differ in type, or are no whole bytes.
    """
    if len(image.bits) != 1 or len(image.sample_format) != 1:
        msg = "samples of different types"
        raise UnsupportedFeature(msg)
    bits, form = image.bits[0], image.sample_format[0]
    found = _DTYPES.get((form, bits))
    if found is None:
        msg = f"samples of {bits} bits, sample format {form}"
        raise UnsupportedFeature(msg)
    return found


def undivided_bytes(image: TIFFImage) -> int:
    """Bytes of a block that its codec decodes as a whole; 0 where rows can be decoded one by one, or nobody knows."""
    return _block_bytes(image) if image.compression in _WHOLE else 0


def _block_bytes(image: TIFFImage) -> int:
    """Decoded bytes of a block."""
    rows, columns = image.block
    return rows * columns * (image.samples if image.planar == 1 else 1) * -(-max(image.bits, default=8) // 8)


def native_grid(image: TIFFImage) -> ChunkGrid:
    """Grid of (band, y, x) with tiles or strips as chunks.

    Raises
    ------
    FormatError
        If tiles or strips have no size.
    """
    rows, columns = image.block
    if rows < 1 or columns < 1:
        msg = f"tiles or strips of {rows} x {columns} pixels"
        raise FormatError(msg)
    # Planar configuration 2: the chunks of one band come before those of the next (TIFF 6.0, section 8).
    bands = image.samples if image.planar != 2 else 1
    return ChunkGrid((image.samples, image.height, image.width), (bands, rows, columns))


def build_index(image: TIFFImage, fill: complex | npt.NDArray[Any], part: str) -> ChunkManifest:
    """Index a directory's tiles or strips.

    Parameters
    ----------
    image
        The directory.
    fill
        Value of absent tiles, or one for each band.
    part
        Name for errors.

    Raises
    ------
    UnsupportedFeature
        If only the reference reader can decode it; the message is why.
    FormatError
        If the layout is impossible.
    """
    grid = native_grid(image)
    if image.bits == (1,):
        dtype, codec = np.dtype("u1"), _bit_codec(image)
    else:
        dtype = pixel_dtype(image)
        codec = _choose_codec(image, dtype)
    label = "tile" if image.tile else "strip"
    most = most_encoded(_block_bytes(image))
    paged = _page_tables(image, grid)
    if paged:
        return ChunkManifest(grid, dtype, codec, *paged, fill, part, label, most=most)
    starts, lengths = _read_tables(image, grid)
    if isinstance(codec, RawCodec):
        starts, lengths, grid = _raw_tables(image, grid, dtype, starts, lengths)
    else:
        lengths = bound_lengths(starts, lengths, most, image.directory.reader.source)
    return ChunkManifest(grid, dtype, codec, starts, lengths, fill, part, label)


def _bit_codec(image: TIFFImage) -> Codec:
    """One bit a pixel: 0 and 1; masks give 0 and 255, as GDAL does."""
    plain = image.samples == 1 and image.sample_format == (1,) and image.fill_order == 1 and image.predictor == 1
    if not plain or (image.compression != 1 and image.compression not in _LOSSLESS):
        msg = f"samples of 1 bit, compression {image.compression}"
        raise UnsupportedFeature(msg)
    return BitCodec(_LOSSLESS.get(image.compression, ""), image.tile, 255 if image.is_mask else 1)


def _choose_codec(image: TIFFImage, dtype: np.dtype[Any]) -> Codec:
    """Choose the decoder; whatever is not known to be right (CMYK, which GDAL turns into RGBA, ...) goes to the reference reader."""
    if image.fill_order != 1:
        msg = f"fill order {image.fill_order}"
        raise UnsupportedFeature(msg)
    if image.planar not in {1, 2}:
        msg = f"planar configuration {image.planar}"
        raise UnsupportedFeature(msg)
    stored = dtype.newbyteorder(image.directory.order)
    padded = image.tile
    if image.compression in _IMAGES:
        return _image_codec(image, dtype)
    # 0 and 1 grey, 2 RGB, 3 palette, 4 mask. Others (CMYK, YCbCr, CIELab) are converted by GDAL, which gives other values than are stored.
    if image.photometric not in {-1, 0, 1, 2, 3, 4}:
        msg = f"photometric interpretation {image.photometric}"
        raise UnsupportedFeature(msg)
    if image.compression == 1:
        samples = image.samples if image.planar == 1 else 1
        order = (1, 2, 0) if image.planar == 1 else (0, 1, 2)
        return RawCodec(stored, order, None if padded is None else (samples, *padded))
    if image.compression not in _LOSSLESS:
        msg = f"compression {image.compression}"
        raise UnsupportedFeature(msg)
    _check_predictor(image, dtype)
    return PixelCodec(_LOSSLESS[image.compression], stored, image.predictor, padded)


def _check_predictor(image: TIFFImage, dtype: np.dtype[Any]) -> None:
    if image.predictor == 1:
        return
    right = {2: dtype.itemsize <= 8, 3: dtype.kind == "f"}
    if image.predictor not in right or not right[image.predictor]:
        msg = f"predictor {image.predictor} on {dtype}"
        raise UnsupportedFeature(msg)
    if image.compression == 32773:  # libtiff ignores it there
        msg = "a predictor on PACKBITS"
        raise UnsupportedFeature(msg)


def _image_codec(image: TIFFImage, dtype: np.dtype[Any]) -> ImageCodec:
    """Make the codec of blocks that are whole images, or say why the reference must decode them."""
    codec, d = _IMAGES[image.compression], image.directory
    samples = image.samples if image.planar == 1 else 1
    arguments: dict[str, Any] = {}
    outer = ""
    if codec != "jpeg" and image.photometric in _CONVERTED:
        msg = f"{codec.upper()} of photometric interpretation {image.photometric}"
        raise UnsupportedFeature(msg)
    if codec == "jpeg":
        colour = {(6, 3): "YCBCR", (2, 3): "RGB", (0, 1): "GRAYSCALE", (1, 1): "GRAYSCALE"}.get(
            (image.photometric, samples)
        )
        if colour is None or dtype != np.uint8:
            msg = f"JPEG of {samples} samples, {dtype}, photometric interpretation {image.photometric}"
            raise UnsupportedFeature(msg)
        tables = d.tags.get(347)
        if tables is not None and tables.nbytes > _TABLES_BYTES:
            msg = f"JPEG tables of {tables.nbytes} bytes"
            raise FormatError(msg)
        d.reader.charge(tables.nbytes if tables else 0)
        arguments = {
            "colorspace": colour,
            "outcolorspace": "RGB" if colour == "YCBCR" else colour,
            "tables": d.raw_bytes(347) or None,
        }
    elif codec == "webp":
        if samples not in {3, 4} or dtype != np.uint8:
            msg = f"WEBP of {samples} samples"
            raise UnsupportedFeature(msg)
        arguments = {"hasalpha": samples == 4}
    elif codec == "lerc":
        # LercParameters: version, and how the blobs are compressed again.
        parameters = d.get_array(50674, 2)
        # Of more than two some may lie outside the file: libtiff then takes none of them.
        many = 50674 in d.tags and d.tags[50674].count > 2
        outer = {0: "", 1: "deflate", 2: "zstd"}.get(int(parameters[1]) if parameters.size > 1 else 0, "?")
        if outer == "?" or many or image.predictor != 1:
            msg = "LERC with unknown parameters"
            raise UnsupportedFeature(msg)
        if d.order == ">" and dtype.itemsize > 1:  # libtiff swaps the bytes of what it decodes, and of what it encodes
            msg = "LERC in a big-endian file"
            raise UnsupportedFeature(msg)
        extra = d.get_array(338, image.samples)  # ExtraSamples: 2 is alpha that is not multiplied into the colours
        arguments = {"alpha": bool(samples > 1 and dtype == np.uint8 and extra.size and extra[-1] == 2)}
    strips = 0 if image.tile else -(-image.height // image.rows_per_strip)
    return ImageCodec(codec, dtype, image.tile, outer, arguments, strips=strips)


def _table_codes(image: TIFFImage) -> tuple[int, int]:
    """Tags of the offsets and byte counts."""
    # Some writers put offsets of tiles into the tags of strips; libtiff reads them.
    return (324, 325) if image.tile and 324 in image.directory.tags else (273, 279)


def _page_tables(image: TIFFImage, grid: ChunkGrid) -> tuple[PagedTable, PagedTable] | None:
    """Offsets and byte counts of very many tiles, which stay in the file; None where they are to be read at once.

    Strips are always read at once: whether they can be merged, and whether their byte counts are to be believed, all of them say.
    Of uncompressed tiles, a byte count that is too small is an error of that tile when it is read.
    """
    tag = image.directory.tags.get(_table_codes(image)[0])
    if image.tile is None or tag is None or tag.nbytes <= options.get().paged_index_bytes:
        return None
    starts, lengths = (image.directory.paged_table(code) for code in _table_codes(image))
    if starts is None or lengths is None or min(starts.count, lengths.count) < grid.size:
        return None
    return starts, lengths


def _read_tables(image: TIFFImage, grid: ChunkGrid) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Offsets and byte counts of all tiles or strips."""
    count = grid.size
    there = [tag.count if (tag := image.directory.tags.get(code)) else 0 for code in _table_codes(image)]
    if min(there) < count:
        msg = f"{there[0]} offsets and {there[1]} byte counts for {count} tiles or strips"
        raise UnsupportedFeature(msg)
    if count > max(_MOST_STRIPS, options.get().paged_index_bytes // 8):
        msg = f"{count} tiles or strips, of which the places of {_MOST_STRIPS} are read at once (options.paged_index_bytes)"
        raise LimitExceeded(msg)
    image.directory.reader.charge(2 * 8 * count)
    starts, lengths = (image.directory.get_array(code, count) for code in _table_codes(image))
    if starts.size < count or lengths.size < count or starts.dtype.kind not in "iu" or lengths.dtype.kind not in "iu":
        msg = "offsets or byte counts that are no integers"
        raise UnsupportedFeature(msg)
    lengths, starts = lengths.astype(np.uint64), starts.astype(np.uint64)
    if not image.tile and np.count_nonzero(lengths) < count and ((lengths == 0) & (starts > 0)).any():
        msg = "strips of 0 bytes at places in the file"  # libtiff estimates how long the only strip is
        raise UnsupportedFeature(msg)
    return starts, lengths


def _raw_tables(
    image: TIFFImage,
    grid: ChunkGrid,
    dtype: np.dtype[Any],
    starts: npt.NDArray[np.uint64],
    lengths: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], ChunkGrid]:
    """Check the byte counts of uncompressed data, and merge strips that lie one behind the other."""
    samples = image.samples if image.planar == 1 else 1
    rows, columns = image.block
    nbytes = rows * columns * samples * dtype.itemsize
    if nbytes >= 1 << 63:
        msg = f"uncompressed tiles or strips of {rows} x {columns} pixels of {samples} samples, which no file can hold"
        raise FormatError(msg)
    expected = np.full(grid.size, nbytes, np.uint64)
    per_plane = grid.counts[1]
    per_row = grid.counts[2]
    last = np.arange(grid.size) // per_row % per_plane == per_plane - 1
    needed = expected.copy()  # nothing reads the rows of a tile below the image, and some writers leave them out
    needed[last] = (image.height - (per_plane - 1) * rows) * columns * samples * dtype.itemsize
    present = lengths > 0
    # Byte counts of raw data must be what the shape says: where they are not, the reference decides what the writer meant.
    if (lengths < needed)[present].any():
        msg = "uncompressed data of unexpected byte counts"
        raise UnsupportedFeature(msg)
    expected = np.minimum(np.maximum(lengths, needed), expected) if image.tile else needed
    lengths = np.where(present, expected, 0).astype(np.uint64)
    if image.tile or per_plane < 2:
        return starts, lengths, grid
    # Strips of one row would make an index of as many entries as rows, and one decoder call for each.
    merge = min(max(1, _MERGED_STRIP_BYTES // max(1, int(expected[0]))), per_plane)
    table = starts.reshape(-1, per_plane)
    if merge == 1 or not present.all() or (np.diff(table, axis=1) != expected.reshape(-1, per_plane)[:, :-1]).any():
        return starts, lengths, grid
    merged = np.add.reduceat(lengths.reshape(-1, per_plane), np.arange(0, per_plane, merge), axis=1)
    grid = ChunkGrid(grid.shape, (grid.edges[0], merge * rows, columns))
    return np.ascontiguousarray(table[:, ::merge]).ravel(), merged.ravel(), grid
