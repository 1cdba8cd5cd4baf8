"""Columns of tile-compressed FITS tables (FITS 4.0, section 10.3): one tile of one column."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.gzip_members import gunzip_into
from scichunk.codecs.tile_scratch import pad_words
from scichunk.errors import FormatError, UnsupportedFeature

__all__ = ["COLUMN_CODECS", "decode_column", "gunzip_exactly"]

Bytes = npt.NDArray[np.uint8]

COLUMN_CODECS: Final = ("GZIP_1", "GZIP_2", "RICE_1", "NOCOMPRESS")
"""Values of ZCTYP that are read."""
_GZIP: Final = ("GZIP_1", "GZIP_2")
_SHUFFLED: Final = {"I": 2, "J": 4, "K": 8, "E": 4, "D": 8}
_RICE: Final = {"B": 1, "I": 2, "J": 4}


def decode_column(codec: str, code: str, encoded: Bytes, nbytes: int, *, variable: bool = False) -> Bytes:
    """Decode the elements of a tile, or of one array of variable length.

    Parameters
    ----------
    codec
        One of :data:`COLUMN_CODECS`.
    code
        Letter of TFORM.
    encoded
        The compressed bytes.
    nbytes
        Bytes expected.
    variable
        Whether they are one array of variable length, which is stored as it is where compressing it would have gained nothing.

    Returns
    -------
    ndarray of uint8, shape (nbytes,)
        Big-endian elements, one after another.

    Raises
    ------
    FormatError
        If the data are corrupt or of another length.
    UnsupportedFeature
        If the codec is not known, or not for this type.
    """
    # Tiles of columns are always compressed (cfitsio, fits_compress_table): a stream of RICE_1 may be as long as its values by chance. Of
    # gzip it is let pass, since a stream is known by its first bytes.
    stored = variable or (codec in _GZIP and bytes(encoded[:2]) != b"\x1f\x8b")
    if codec == "NOCOMPRESS" or (stored and encoded.size == nbytes):
        if encoded.size != nbytes:
            msg = f"{encoded.size} bytes instead of {nbytes}"
            raise FormatError(msg)
        return encoded
    if codec == "RICE_1" and code in _RICE:
        return _decode_rice(encoded, nbytes, _RICE[code])
    if codec not in _GZIP:
        msg = f"compression {codec!r} of a column of type {code}"
        raise UnsupportedFeature(msg)
    plain = gunzip_exactly(encoded, nbytes)
    size = _SHUFFLED.get(code, 1) if codec == "GZIP_2" else 1
    return plain if size == 1 else np.ascontiguousarray(plain.reshape(size, -1).T).reshape(-1)


def gunzip_exactly(encoded: Bytes, nbytes: int) -> Bytes:
    """Inflate a gzip stream to exactly ``nbytes``.

    Raises
    ------
    FormatError
        If it is corrupt, or of another length.
    """
    out = np.empty(nbytes, np.uint8)
    found = gunzip_into(encoded, out) if encoded.size else 0
    if found != nbytes:
        msg = f"gzip data of {found} bytes instead of {nbytes}"
        raise FormatError(msg)
    return out


def _decode_rice(encoded: Bytes, nbytes: int, size: int) -> Bytes:
    count = nbytes // size
    words, status, zero = np.empty(count, np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64)
    lengths, sizes = np.array([encoded.size], np.int64), np.array([count], np.int64)
    ways.announce("fits image", nbytes)
    ways.choose("rice").decode_rice(pad_words(encoded), zero, lengths, zero, sizes, 32, size, words, status)
    if status.any():
        msg = f"RICE_1 data of {encoded.size} bytes are corrupt"
        raise FormatError(msg)
    return words.astype(f">i{size}").view(np.uint8)
