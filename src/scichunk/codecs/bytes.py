"""Lossless byte codecs: encoded bytes into a buffer of known length, without the GIL."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.core.limits import check_decoded
from scichunk.errors import FormatError, UnsupportedFeature

__all__ = ["BYTE_CODECS", "check_block", "decompress", "decompress_at_most"]

Bytes = npt.NDArray[np.uint8]

BYTE_CODECS = ("deflate", "zstd", "lzw", "packbits", "lzma")
"""Names that :func:`decompress` knows."""
_LZMA_MEMORY: Final = 1 << 28
"""Bytes that a decoder of LZMA may take for its dictionary; the highest preset of xz needs a quarter of it."""
_DEFLATE_MATCH_BYTES: Final = 258
"""Longest match (RFC 1951, section 3.2.5)."""


def check_block(size: int) -> None:
    """Refuse a stored block beyond ``options.max_chunk_bytes``.

    A tile may be far larger than its image (TIFF 6.0, section 15), so that no look at the chunks of the image sees its size.

    Raises
    ------
    LimitExceeded
        If it has more decoded bytes.
    """
    check_decoded("a decoded block", size)


def decompress(codec: str, data: memoryview, out: Bytes, least: int | None = None) -> None:
    """Decompress ``out.size`` bytes, or at least some of them.

    Parameters
    ----------
    codec
        One of :data:`BYTE_CODECS`.
    data
        The encoded bytes; what follows the end of the stream is ignored.
    out
        Contiguous; filled. Bytes that decode beyond it are dropped, as libtiff does.
    least
        How many of its first bytes must be there; None for all. What follows them is undefined where the data end before it.

    Raises
    ------
    FormatError
        If the data are corrupt, or decode to fewer bytes.
    UnsupportedFeature
        If this build of imagecodecs lacks the codec.
    """
    function = _find_decoder(codec)
    try:
        found = function(data, out=out)
    except Exception as error:  # each codec of imagecodecs raises a class of its own
        found = _decode_tolerantly(codec, data, out)
        if found is None:
            msg = f"{codec} data are corrupt: {error}"
            raise FormatError(msg) from error
    size = found if isinstance(found, int) else memoryview(found).nbytes
    if size < (out.size if least is None else least):
        msg = f"{codec} data end after {size} of {out.size} bytes"
        raise FormatError(msg)


def decompress_at_most(codec: str, data: memoryview, limit: int) -> memoryview:
    """Decompress bytes of unknown number into a buffer of this thread, which is valid until its next call.

    Parameters
    ----------
    codec
        One of :data:`BYTE_CODECS`.
    data
        The encoded bytes.
    limit
        The most bytes that there may be.

    Raises
    ------
    FormatError
        If the data are corrupt, or decode to more bytes.
    UnsupportedFeature
        If this build of imagecodecs lacks the codec.
    """
    out = borrow_buffer("decompressed", limit)
    try:
        found = _find_decoder(codec)(data, out=out)
    except Exception as error:  # each codec of imagecodecs raises a class of its own
        msg = f"{codec} data are corrupt, or hold more than {limit} bytes: {error}"
        raise FormatError(msg) from error
    return memoryview(out)[: found if isinstance(found, int) else memoryview(found).nbytes]


def _first_of_deflate(data: memoryview, size: int) -> bytes | None:
    """First bytes of a stream that zlib refuses for its incomplete codes, and libtiff reads by libdeflate. None if they are corrupt too."""
    import imagecodecs

    if not imagecodecs.DEFLATE.available:
        return None
    out = bytearray(size + _DEFLATE_MATCH_BYTES)  # a match that does not fit is left out: all before it is there
    try:
        size = min(size, len(imagecodecs.deflate_decode(data, out=out)))
    except imagecodecs.DeflateError as error:
        if "INSUFFICIENT_SPACE" not in str(error):
            return None
    return bytes(out[:size])


def _first_of_zstd(data: memoryview, size: int) -> bytes | None:
    """First bytes of a stream, which may hold gigabytes: imagecodecs gives all of it or nothing. None if it is corrupt."""
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data)), "zstd") as stream:
            return bytes(stream.read(size))
    except (OSError, ValueError, NotImplementedError):  # the error of the first try is reported
        return None


def _first_of_packbits(data: memoryview, size: int) -> bytes | None:
    """First bytes of runs that go on behind them, or beyond the end of the data: libtiff looks at none of those. None if they are fewer."""
    import imagecodecs

    at = done = count = head = 0
    while done < size:
        if at >= len(data):
            return None
        head = data[at]  # a byte again and again, so many bytes as they are, or nothing (TIFF 6.0, section 9)
        count = 257 - head if head > 128 else 0 if head == 128 else head + 1
        if done + count > size:
            break
        at += (2 if head > 128 else count + 1) if count else 1
        done += count
    rest = size - done
    last = (
        b"" if not rest else bytes(data[at + 1 : at + 2]) * rest if head > 128 else bytes(data[at + 1 : at + 1 + rest])
    )
    if at > len(data) or len(last) < rest:
        return None
    return bytes(imagecodecs.packbits_decode(data[:at])) + last


@cache
def _find_decoder(codec: str) -> Callable[..., Any]:
    import imagecodecs

    for name in (codec, "zlib") if codec == "deflate" else (codec,):
        if getattr(imagecodecs, name.upper()).available:
            return getattr(imagecodecs, f"{name}_decode")  # type: ignore[no-any-return]  # imagecodecs has no types
    msg = f"this build of imagecodecs has no {codec} decoder"
    raise UnsupportedFeature(msg)


def _decode_tolerantly(codec: str, data: memoryview, out: Bytes) -> int | None:
    """Decode a stream that holds more than is wanted, or lacks its checksum, as libtiff does; None if that fails too."""
    if codec == "deflate":
        stream = zlib.decompressobj()
        try:
            found = stream.decompress(data, out.size)
        except zlib.error:
            first = _first_of_deflate(data, out.size)
            if first is None:
                return None
            found = first
    elif codec == "lzma":
        try:
            found = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(data, out.size)
        except lzma.LZMAError:
            return None
    elif codec in {"zstd", "packbits"}:
        first = (_first_of_zstd if codec == "zstd" else _first_of_packbits)(data, out.size)
        if first is None:
            return None
        found = first
    else:
        return None
    size = min(len(found), out.size)
    out[:size] = np.frombuffer(found, np.uint8, size)
    return size
