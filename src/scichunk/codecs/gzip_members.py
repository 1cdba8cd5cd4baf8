"""Gzip streams of one member or several (RFC 1952, section 2.2), into memory of bounded size."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError

__all__ = ["gunzip_into"]

Bytes = npt.NDArray[np.uint8]
_MARK: Final = b"\x1f\x8b"
_PIECE_BYTES: Final = 1 << 12
_MOST_MEMBERS: Final = 1 << 12
"""Members may be empty, so that no size bounds their number."""
_GZIP_WINDOW: Final = 31
"""What tells zlib to expect the header of gzip."""


def gunzip_into(encoded: Bytes, out: Bytes) -> int:
    """Inflate all members of a gzip stream.

    Parameters
    ----------
    encoded
        The stream; what follows its last member is ignored.
    out
        Where the bytes go.

    Returns
    -------
    int
        How many there are.

    Raises
    ------
    FormatError
        If the stream is corrupt, or holds more.
    """
    import imagecodecs

    try:
        found = len(imagecodecs.gzip_decode(encoded, out=memoryview(out)))
    except Exception as error:  # imagecodecs raises classes of its own
        msg = f"gzip data are corrupt: {error}"
        raise FormatError(msg) from error
    # libdeflate gives the first member only, and does not say where it ends.
    return found if found == out.size else _inflate_members(memoryview(np.ascontiguousarray(encoded)), out)


def _inflate_members(data: memoryview, out: Bytes) -> int:
    """Inflate one member after another."""
    at = found = 0
    for _ in range(_MOST_MEMBERS):
        if bytes(data[at : at + 2]) != _MARK:
            return found
        stream = zlib.decompressobj(_GZIP_WINDOW)
        while not stream.eof:
            # In pieces: what is not used of a piece is copied, which must not be all that follows a small member.
            piece = data[at : at + _PIECE_BYTES]
            try:
                part = stream.decompress(piece, out.size - found + 1)
            except zlib.error as error:
                msg = f"gzip data are corrupt: {error}"
                raise FormatError(msg) from error
            if not piece or len(part) > out.size - found:
                msg = f"gzip data hold more than {out.size} bytes" if piece else "gzip data end early"
                raise FormatError(msg)
            out[found : found + len(part)] = np.frombuffer(part, np.uint8)
            found += len(part)
            at += len(piece) - len(stream.unused_data) - len(stream.unconsumed_tail)
    msg = f"gzip data of more than {_MOST_MEMBERS} members"
    raise FormatError(msg)
