"""Whether our values are those of the reference library, and the differences that are no find."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import re
import struct
import zlib
from typing import Any

import numpy as np

from tests.fuzz.mutate.jpeg2000 import SOT, segments
from tests.fuzz.mutate.tiff import COUNTS, OFFSETS, Layout
from tests.fuzz.packet_lengths import are_followed

NO_FINDS = {
    "lossy": "what is left of damaged JPEG, WEBP, JPEG XL and LERC data is for their libraries to say, and each version says otherwise",
    "surplus": "libdeflate, in libtiff, leaves out the match that goes beyond a strip; its last bytes are then whatever was there",
    "places": "of strips and tiles both are listed: strips are read where the image has no size of tiles (TIFF 6.0, section 15), by libtiff what is listed last",
    "dither": "without a ZDITHER0, which FITS 4.0 asks for, astropy reads memory before its table of random numbers",
    "end": "an END with something behind it: astropy goes on to the next END, as its fast parser finds no other",
    "behind": "a string with more behind it than a comment (FITS 4.0, section 4.2.1) is read; astropy reads no such card",
    "letters": "an XTENSION with small letters is read as if they were capitals; astropy takes the HDU for one of an unknown kind",
    "zero": "a BSCALE of 0 in a compressed image: astropy takes it for 1",
    "absent": "a column of no descriptors (FITS 4.0, section 7.3.5: 0P) takes up no bytes of a row; for astropy it does",
    "null": "what is no value of its type is null here, with a DataWarning; astropy takes another number",
    "blank": "blank numbers of ASCII tables are null here, as docs/formats/tables.md says; astropy takes them for 0",
    "point": "numbers of ASCII tables without a point have one before the digits that TFORM names (FITS 4.0, section 7.2.5); astropy has none",
    "wrapped": "tiles that hold numbers beyond ZBITPIX: astropy wraps them around",
    "longer": "tiles of GZIP_2 that inflate to more bytes than they have: astropy shuffles all of them, here the tile's own are",
    "pairs": "lengths of arrays such as 2x* count items for astropy, elements for most writers: ours are what astropy gives of * instead",
    "bits": "of bit arrays of variable length astropy takes a byte for each bit; VOTable 1.5, section 6, packs them",
    "refers": "of a TABLE with ref astropy reads no FIELD, nor data; they are read where the table has them",
    "lengths": "a TLM names a tile-part that has no SOT, or another length: OpenJPEG loses the tiles behind it, which TLM still finds",
    "packed": "OpenJPEG takes packed headers (PPM) of all tile-parts one behind the other: where a tile does not need all of its own, the next "
    "ones begin with what it has left; the lengths that PPM gives keep them apart (T.800, A.7.4)",
    "number": "of a tile whose number of tile-parts is not said (TNsot 0), OpenJPEG leaves zeros where the codestream has no EOC",
    "lost": "OpenJPEG passes over tiles of damaged files without a word, and leaves zeros; by itself each is decoded",
    "followed": "PLT leads to packets behind a damaged header, as docs/internals.md says, where the headers of those that are read agree with it; "
    "OpenJPEG reads all that follows out of step",
    "blocks": "of damaged code-blocks of HTJ2K OpenJPH and OpenJPEG make other values, neither with a word; ours are what OpenJPH makes of "
    "the whole image",
    "undecided": "the library gives other values when it is asked again: memory that it has not filled",
}
"""Reasons why a difference is none."""

_BEHIND = re.compile(rb"[A-Z0-9_-]{1,8} *= *'(?:[^']|'')*'(?!') *[^ /]")
TLM, PPM = 0xFF55, 0xFF60
_REFUSED = {
    "fits": re.compile("^CfitsioException: decompression|^ValueError: cannot reshape array"),
    "geotiff": re.compile(
        "^RasterioIOError.*(exceeds expected dimensions|blob dimension|Unexpected n(Rows|Cols)|lerc_getBlobInfo|PredictorSetup)"
    ),
    "jpeg2000": re.compile("^OpenJPEGLibraryError(?s:.*)(Stream too short, expected SOT|Invalid tile part index)"),
}
"""What libraries say of encoded data that are not those of the tile they stand for."""
_LOSSY = ("jpeg", "webp", "jxl", "lerc")


def differs(kind: str, data: bytes, ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Say how values of the same name differ; None if they do not, or if there is a reason why that is no find."""
    for name in {"pixels", "rows"} & ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one is None or other is None:
            continue
        text = _rows_differ(one, other) if isinstance(one, dict) else _arrays_differ(one, other)
        if text and not excuse(kind, data, theirs, one, other):
            return f"{name}: {text}"
    return None


def refusal(kind: str, ours: dict[str, Any], complaint: str) -> str | None:
    """Say that the library refuses data whose values we gave; None where it refuses something else than data, or we gave none.

    What it refuses in a header, or as a whole, is read by rules of ours in many places; of encoded data it knows more than we do.
    """
    if ours.get("pixels") is None or kind not in _REFUSED or not _REFUSED[kind].search(complaint):
        return None
    return f"pixels that the library refuses: {complaint}"


def excuse(kind: str, data: bytes, theirs: dict[str, Any], one: Any, other: Any) -> str | None:
    """The name of the reason why a difference is no find, or None."""
    codec = theirs.get("codec", "").lower()
    found = None
    if kind == "geotiff" and any(word in codec for word in _LOSSY):
        found = "lossy"
    elif kind == "geotiff" and any(len(_tags(data) & set(both)) == 2 for both in (OFFSETS, COUNTS)):
        found = "places"
    elif kind == "geotiff" and "deflate" in codec and _has_surplus(data):
        found = "surplus"
    elif kind == "fits" and b"_DITHER_" in data and not re.search(rb"ZDITHER0= +[1-9]", data):
        found = "dither"
    elif kind == "fits" and any(_BEHIND.match(data, at, at + 80) for at in range(0, len(data), 80)):
        found = "behind"
    elif kind == "fits" and re.search(rb"XTENSION= *'[^']*[a-z]", data):
        found = "letters"
    elif kind == "fits" and re.search(rb"END {5}(?! {72})", data):
        found = "end"
    elif kind == "fits" and isinstance(one, dict) and re.search(rb"TFORM\d+ *= +'0[PQ]", data):
        found = "absent"
    elif kind == "fits" and b"ZIMAGE" in data and re.search(rb"BSCALE  = +[+-]?0+ ", data):
        found = "zero"
    elif kind == "fits" and b"'TABLE   '" in data and isinstance(one, dict) and _is_null(one, other):
        found = "blank"
    elif kind == "fits" and b"'TABLE   '" in data and isinstance(one, dict) and _is_pointed(data, one, other):
        found = "point"
    elif kind == "fits" and not isinstance(one, dict) and _is_wrapped(data, one, other):
        found = "wrapped"
    elif kind == "fits" and not isinstance(one, dict) and b"'GZIP_2" in data and _has_longer_tiles(data):
        found = "longer"
    elif kind == "votable" and _is_null(one, other):
        found = "null"
    elif kind == "votable" and "rows by elements" in theirs and not _rows_differ(one, theirs["rows by elements"]):
        found = "pairs"
    elif (
        kind == "votable" and b"<BINARY" in data and any(_is_bits(field) for field in re.findall(rb"<FIELD[^>]*", data))
    ):
        found = "bits"
    elif kind == "votable" and other[-1][1] == 0 and re.search(rb"<TABLE\s[^>]*\bref\s*=", data):
        found = "refers"
    elif kind == "jpeg2000" and _tile_lengths_differ(data):
        found = "lengths"
    elif kind == "jpeg2000" and _differ_behind_first_tile(data, one, other):
        found = "packed"
    elif kind == "jpeg2000" and _has_no_end(data) and re.search(rb"\xff\x90\0\x0a(?s:.{7})\0", data):
        found = "number"
    elif kind == "jpeg2000" and _loses_tiles(data):
        found = "lost"
    elif kind == "jpeg2000" and are_followed(data, other):
        found = "followed"
    elif kind == "jpeg2000" and _are_of_openjph(data, one, other):
        found = "blocks"
    return found


def _tags(data: bytes) -> set[int]:
    """Of the first image."""
    directories = Layout(data).directories
    return {entry.tag for entry in directories[0][1]} if directories else set()


def _has_surplus(data: bytes) -> bool:
    """Whether a strip or tile of the first image inflates to more than it should hold, or its data stop behind the last pixel.

    GDAL's last pixels of such a stream, which does not end, are not those of zlib.
    """
    layout = Layout(data)
    tags = {e.tag: layout.values(e) for e in layout.directories[0][1]}
    one = {tag: values[0] for tag, values in tags.items() if values}
    columns, rows = one.get(322, one.get(256, 1)), one.get(323, min(one.get(278, 1 << 31), one.get(257, 1)))
    samples = 1 if one.get(284, 1) == 2 else one.get(277, 1)
    size = -(-columns * samples * one.get(258, 1) // 8) * rows
    starts = next((tags[t] for t in OFFSETS if t in tags), [])
    counts = next((tags[t] for t in COUNTS if t in tags), [])
    for start, count in zip(starts, counts, strict=False):
        stream = zlib.decompressobj()
        try:
            if size < 1 << 24 and (
                len(stream.decompress(data[start : start + count], size + 1)) > size or not stream.eof
            ):
                return True
        except zlib.error:
            return True
    last = one.get(257, 1) % rows if rows else 0
    if not last or 322 in one:
        return False
    strips, needed = -(-one.get(257, 1) // rows), -(-columns * samples * one.get(258, 1) // 8) * last
    pairs = list(zip(starts, counts, strict=False))[strips - 1 :: strips]  # of each plane; more may be listed
    return any(len(_inflated(data, *pair)) > needed for pair in pairs)


def _inflated(data: bytes, start: int, count: int) -> bytes:
    """A strip."""
    try:
        return zlib.decompressobj().decompress(data[start : start + count], 1 << 20)
    except zlib.error:
        return b""


def _is_null(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> bool:
    """Whether ours is null wherever the numbers differ."""
    for place in one.keys() & other.keys():
        if one[place].shape != other[place].shape or not (np.isnan(one[place]) | (one[place] == other[place])).all():
            return False
    return True


def _is_pointed(data: bytes, one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> bool:
    """Whether numbers that differ are powers of ten apart, which a form has as its digits behind the point."""
    powers = [float(f"1e-{m[1].decode()}") for m in re.finditer(rb"TFORM\d+ *= *'[FED]\d+\.(\d+)", data)]
    for place in one.keys() & other.keys():
        mine, theirs = one[place], other[place]
        if mine.shape != theirs.shape or mine.dtype.kind != "f":
            return False
        same = (mine == theirs) | np.isnan(mine)
        for power in powers:
            same |= np.isclose(mine, theirs * power, rtol=1e-12, atol=0)
        if not same.all():
            return False
    return True


def _is_wrapped(data: bytes, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether values differ by a multiple of what the integers of ZBITPIX can tell apart."""
    bits = re.search(rb"ZBITPIX = +(8|16) ", data)
    if bits is None or one.shape != other.shape:
        return False
    return bool((np.subtract(one, other, dtype="f8") % (1 << int(bits[1])) == 0).all())


def _has_longer_tiles(data: bytes) -> bool:
    """Whether a tile of a compressed image inflates to more bytes than a tile has."""
    from astropy.io import fits

    with fits.open(io.BytesIO(data), disable_image_compression=True, memmap=False) as file:
        for hdu in file:
            if not hdu.header.get("ZIMAGE") or hdu.data is None or "COMPRESSED_DATA" not in hdu.data.names:
                continue
            axes = range(1, hdu.header["ZNAXIS"] + 1)
            edges = [hdu.header.get(f"ZTILE{n}", hdu.header["ZNAXIS1"] if n == 1 else 1) for n in axes]
            size = math.prod(edges) * abs(hdu.header["ZBITPIX"]) // 8
            for stored in hdu.data["COMPRESSED_DATA"]:
                with contextlib.suppress(OSError, EOFError, zlib.error):
                    if len(gzip.decompress(stored.tobytes())) > size:
                        return True
    return False


def _is_bits(field: bytes) -> bool:
    """Whether a FIELD has arrays of bits of variable length."""
    return bool(
        re.search(rb"""datatype\s*=\s*["']bit["']""", field) and re.search(rb"""arraysize\s*=\s*["'][0-9x]*\*""", field)
    )


def _has_no_end(data: bytes) -> bool:
    """Whether EOC is not where the file ends; some end with padding."""
    return not data.rstrip(b"\0").endswith(b"\xff\xd9")


def _differ_behind_first_tile(data: bytes, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether packet headers are packed in the main header, and the first tile, whose come first, is the same."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or not any(marker == PPM for _, marker, _ in segments(data, start)) or one.shape != other.shape:
        return False
    left, top, width, height, tile_left, tile_top = struct.unpack(">6I", data[start + 16 : start + 40])
    across, down = data[start + 43], data[start + 44]  # one pixel for so many, in the first component (T.800, A.5.1)
    if not across or not down:
        return False
    rows, columns = (
        -(-(tile_top + height) // down) - -(-top // down),
        -(-(tile_left + width) // across) - -(-left // across),
    )
    return bool((one[..., :rows, :columns] == other[..., :rows, :columns]).all())


def _loses_tiles(data: bytes) -> bool:
    """Whether OpenJPEG says of fewer tiles that it has decoded them than there are (T.800, B.3), and of no error.

    It has just read the same file in a process of its own, and has not died of it.
    """
    from scichunk.codecs.jpeg2000.openjpeg import decode_codestream
    from scichunk.errors import ScichunkError

    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 42:
        return False
    right, bottom, _, _, width, height, left, top, components = struct.unpack(">8IH", data[start + 8 : start + 42])
    if not (width and height):
        return False
    count = -(-(right - left) // width) * -(-(bottom - top) // height)
    try:
        with decode_codestream(data[start:], lambda _: (0, 0), components, tiles=count):
            return False
    except ScichunkError as error:
        return count > 1 and "tiles of" in str(error)


def _are_of_openjph(data: bytes, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the values that differ are those of OpenJPH, asked for the whole image; it does not clamp what is beyond a sample."""
    import imagecodecs

    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or one.shape != other.shape or one.dtype.kind != "u":
        return False
    try:
        whole = imagecodecs.htj2k_decode(data[start:], planar=True)
    except Exception:  # it refuses what is no HTJ2K
        return False
    whole = whole.reshape(-1, *whole.shape[-2:])[: one.shape[0], : one.shape[1], : one.shape[2]]
    differs = (one != other) & (one > 0) & (one < np.iinfo(one.dtype).max)
    return whole.shape == one.shape and bool(differs.any() and (whole[differs] == one[differs]).all())


def _tile_lengths_differ(data: bytes) -> bool:
    """Whether a tile-part lies where TLM says, to which its SOT gives another length (T.800, A.4.2 and A.7.1)."""
    start = max(0, data.find(b"\xff\x4f\xff\x51"))
    found = segments(data, start)
    tables = {
        data[at + 4]: data[at + 5 : at + size] for at, marker, size in reversed(found) if marker == TLM and size > 6
    }
    at, lengths = next((at for at, marker, _ in found if marker == SOT), 0), list[int]()
    for number in sorted(tables):
        index, wide = (tables[number][0] >> 4) & 3, 4 if tables[number][0] & 0x40 else 2
        entries = tables[number][1:]
        for place in range(index, len(entries) - wide + 1, index + wide):
            lengths.append(int.from_bytes(entries[place : place + wide], "big"))
    for number, length in enumerate(lengths):
        if data[at : at + 2] != b"\xff\x90":
            return number > 0
        said = int.from_bytes(data[at + 6 : at + 10], "big")
        if said != length and (said or number + 1 < len(lengths)):
            return True
        at += length
    return False


def _arrays_differ(one: np.ndarray, other: np.ndarray) -> str | None:
    if one.shape != other.shape:
        return f"shape {one.shape}, not {other.shape}"
    with np.errstate(invalid="ignore"):
        same = (one == other) | ((one != one) & (other != other))
    if same.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{one.dtype} {one[place]!r} at {place}, not {other.dtype} {other[place]!r}"


def _rows_differ(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> str | None:
    for place in sorted(one.keys() & other.keys()):
        text = _arrays_differ(one[place], other[place])
        if text:
            return f"{'rows and columns' if place < 0 else f'column {place}'}: {text}"
    return None
