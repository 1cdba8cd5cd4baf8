"""HTJ2K (ITU-T T.814) through the OpenJPH of imagecodecs: faster than OpenJPEG, and asked only for what it is known to read rightly.

OpenJPH steps over marker segments that it does not know, and gives values that are wrong without a word; and it neither clamps what
a stream overshoots whose last bit planes were cut off, as T.800 (G.1.2) wants it, nor tells: 256 of eight bits comes out as 0.
So the header is looked at first, and the codestream is decoded as if its samples were signed and had many more bits. Of a
reversible stream that changes nothing but the level shift (G.1), which is made here, with the clamping; an irreversible one gets
larger by a power of two, which is divided out.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.parameters import HT_BLOCKS, MainHeader
from scichunk.codecs.jpeg2000.tile_codestream import has_own_segments
from scichunk.errors import FormatError

__all__ = ["clamp_samples", "decode_codestream", "is_known"]

Array = npt.NDArray[Any]

_CAP, _COD, _QCD, _CRG = 0xFF50, 0xFF52, 0xFF5C, 0xFF63
_KNOWN: Final = frozenset({_CAP, _COD, _QCD, _CRG})
_CAUSAL: Final = 0x08
_MOST_BITS: Final = 24
_MOST_PLANES: Final = 26
"""Bit planes of a coefficient: five fewer than an integer has, for what the transforms add to it."""
_WIDE_REVERSIBLE: Final = 31
_WIDE_IRREVERSIBLE: Final = 24
"""As many bits as a float holds, in which OpenJPH computes."""
_DEPTHS: Final = 42
"""Where the depths of components begin in a codestream whose first segment is SIZ: three bytes each."""
_ROWS: Final = 64


def is_known(header: MainHeader, data: memoryview) -> bool:
    """Whether OpenJPH reads a tile rightly, as far as headers tell.

    Parameters
    ----------
    header
        Of the codestream that the tile is part of.
    data
        The tile, as :func:`scichunk.codecs.jpeg2000.tile_codestream.tile_codestream` has written it.
    """
    # Each condition stands for a marker segment or a form of it that OpenJPH reads otherwise than the standard, or not at all.
    components, coding = header.size.components, header.coding
    return (
        coding is not None
        and not header.overrides
        and header.layers == 1
        and not header.relocated
        and coding.block_style & ~_CAUSAL == HT_BLOCKS
        and len(set(components)) == 1
        and components[0].bits <= _MOST_BITS
        and 0 < _count_bit_planes(header.kept) <= _MOST_PLANES
        and not has_own_segments(header, data)
    )


def _count_bit_planes(kept: bytes) -> int:
    """Most bit planes of a sub-band (E.2), by the QCD among the segments; 0 if there is another segment that counts."""
    at, most = 0, 0
    while at + 4 <= len(kept):
        marker, length = struct.unpack_from(">HH", kept, at)
        body = kept[at + 4 : at + 2 + length]
        if marker not in _KNOWN or not body:
            return 0
        if marker == _QCD:
            # Sqcd (A.6.4): guard bits above, style below; exponents have five bits, followed by a mantissa of eleven where there is one.
            guard, style = body[0] >> 5, body[0] & 31
            exponents = [b >> 3 for b in body[1 :: 1 if style == 0 else 2]]
            if most or style > 2 or not exponents:
                return 0
            most = max(1, max(exponents) + guard - 1)
        at += 2 + length
    return most


def decode_codestream(data: memoryview, header: MainHeader, *, reduce: int, scratch: Array | None) -> tuple[Array, int]:
    """Decode all of a tile that :func:`is_known`.

    Parameters
    ----------
    data
        A codestream of one tile, whose first segment is SIZ.
    header
        Of it.
    reduce
        How many times it is halved.
    scratch
        For the values of a single component, int32; None to have memory made.

    Returns
    -------
    values : ndarray of int32, shape (rows, columns, components)
        To be finished by :func:`clamp_samples`.
    bits : int
        By how many bits they are too large.

    Raises
    ------
    FormatError
        If OpenJPH refuses it.
    """
    import imagecodecs

    reversible, bits = header.lossless, header.size.components[0].bits
    wide = _WIDE_REVERSIBLE if reversible else _WIDE_IRREVERSIBLE
    copy = bytearray(data)
    for number in range(len(header.size.components)):
        # Ssiz (A.5.1): the highest bit says that samples are signed, the others their depth less one.
        copy[_DEPTHS + 3 * number] = 0x80 | (wide - 1)
    given: dict[str, Any] = {"planar": False} | ({"skipres": reduce} if reduce else {})
    if scratch is not None:
        given["out"] = scratch
    try:
        found: Array = imagecodecs.htj2k_decode(copy, **given)
    except Exception as error:
        msg = f"OpenJPH cannot decode it: {error}"
        raise FormatError(msg) from error
    found = found[..., None] if found.ndim == 2 else found
    if found.dtype != np.int32:
        msg = f"OpenJPH gives samples of {found.dtype}"
        raise FormatError(msg)
    return found, 0 if reversible else wide - bits


def clamp_samples(values: Array, shift: int, bits: int, out: Array, *, signed: bool) -> None:
    """Round a component, shift its level and clamp it to what its samples can be (T.800, G.1).

    Parameters
    ----------
    values
        int32, rows and columns.
    shift
        By how many bits they are too large.
    bits, signed
        Depth of the samples.
    out
        For the samples.
    """
    half, level = (1 << shift) >> 1, 0 if signed else 1 << (bits - 1)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    block = np.empty((min(_ROWS, len(values)), values.shape[1]), np.int32)
    for first in range(0, len(values), _ROWS):  # so many rows that they stay in the processor's cache
        rows = values[first : first + _ROWS]
        part = block[: len(rows)]
        if shift:
            np.minimum(rows, np.int32(0x7FFFFFFF - half), out=part)
            part += np.int32(half)
            part >>= np.int32(shift)
            rows = part
        np.clip(rows, np.int32(low), np.int32(high), out=part)
        part += np.int32(level)
        np.copyto(out[first : first + _ROWS], part, casting="unsafe")
