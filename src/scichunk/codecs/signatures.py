"""Argument types of kernels, for compiling them before they are called (see ``compiling.py``).

A type is a letter and, for arrays, the number of dimensions: ``B`` bytes, ``i`` int64, ``s`` int32, ``f`` float32, ``d`` float64,
``L`` truth values, ``u`` uint32, ``U`` uint64, ``h`` int16, ``H`` uint16; without a number it is a single value. Behind the number
stand ``a`` if the values of the array may lie apart, and ``r`` if it is never written to, so that it may be what cannot be written.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["FIRST", "LATER", "ArgumentType", "parse_type"]

_DTYPES: Final = {
    "B": "u1", "h": "i2", "H": "u2", "s": "i4", "u": "u4", "i": "i8", "U": "u8", "f": "f4", "d": "f8", "L": "?",
}  # fmt: skip
"""NumPy's names of the letters."""


class ArgumentType(NamedTuple):
    """Type of an argument of a kernel."""

    dtype: str
    """Of NumPy."""
    ndim: int
    """0 for a single value."""
    apart: bool
    """Whether the values of an array may lie apart."""
    readonly: bool
    """Whether an array is never written to."""


def parse_type(letters: str) -> ArgumentType:
    """Parse the letters of one argument."""
    rest = letters[1:]
    return ArgumentType(_DTYPES[letters[0]], int(rest.rstrip("ar") or 0), "a" in rest, "r" in rest)


_TILES: Final = "B1r i1 i1 i1"

FIRST: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "text.cells": {"tokenize_rows": ("B1r i i i i1 B1r s2 s2 B1",)},
    "text.numbers": {"parse_floats": ("B1r s1 s1 d1 B1",), "parse_integers": ("B1r s1 s1 i i i1 B1",)},
    "text.texts": {"copy_texts": ("B1r s1 s1 B1 s1",)},
    "text.base64": {"decode_base64": ("B1r i i i B1",)},
    "text.votable_rows": {
        "walk_rows": ("B1r i i i i1 i1 i1 i2 i2",),
        "gather_values": ("B1r i1 i B1",),
        "gather_ranges": ("B1r i1 i1 B1",),
    },
    "text.fits_columns": {"trim_rows": ("B1r i i i i B1 s1 i",)},
    "rice": {"decode_rice": (f"{_TILES} i1 i i s1 i1",)},
    "plio": {"decode_plio": (f"{_TILES} i1 s1 i1",)},
    "hcompress": {"decode_hcompress": (f"{_TILES} i1 i1 B1r i1 i1 B1 B1 U1 s1 i1",)},
    "quantize": {},
    "differences": {"undo_differences": ("B3ar B3a", "H3ar H3a", "u3ar u3a")},
    "bands": {"split_bands": ("B3ar B3a", "H3ar H3a")},
    "float_predictor": {"undo_predictor": ("B2r u1 u1 u3a", "B2r U1 U1 U3a")},
}
"""What nearly every file of a kind needs: compiled together when a process begins to use the module."""

LATER: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "text.cells": {"count_rows": ("B1r B1r",), "find_row": ("B1r i i B1r",)},
    "text.numbers": {"parse_booleans": ("B1r s1 s1 L1 B1",)},
    "text.texts": {
        "unescape_texts": ("B1r s1 s1 B1 s1",),
        "count_tokens": ("B1r s1 s1 s1",),
        "split_tokens": ("B1r s1 s1 i s1 s1",),
        "count_digits": ("B1r s1 s1 s1",),
        "parse_bits": ("B1r s1 s1 i L1",),
    },
    "text.base64": {"find_irregular": ("B1r i i",), "count_letters": ("B1r",), "skip_letters": ("B1r i",)},
    "text.votable_rows": {"scatter_ranges": ("B1r i1 i1 B1",)},
    "text.fits_columns": {
        "trim_texts": ("B1r i1 i1 B1 s1",),
        "widen_texts": ("B1r i i i u3",),
        "gather_elements": ("B1r i1 i1 i B1",),
        "reverse_bits": ("B1r i i B2",),
    },
    "quantize": {
        "join_values": ("B1r i1 i1 i1 i L s1",),
        "place_cast": tuple(f"s1 i1 i1 i1 i {out}1" for out in ("B", "h", "H", "s")),
        "place_scaled": ("s1 i1 i1 i1 f f i L f1", "s1 i1 i1 i1 d d i L d1"),
        "place_dithered": ("s1 i1 i1 i1 i1 i1 d1 d1 i1 i1 i f1 f1", "s1 i1 i1 i1 i1 i1 d1 d1 i1 i1 i f1 d1"),
    },
    "integer_scaling": {
        "flip_bit": ("B1r B B1", "H1r H H1", "u1r u u1", "U1r U U1"),
        "scale_integers": ("B1r f f B L f1", "h1r f f h L f1", "s1r d d s L d1", "i1r d d i L d1"),
    },
    "jpeg2000.packet_headers": {"walk_packets": ("B1r i i1 i1 i2 i2 i1 i2 i2 i1 i1 i i1",)},
}
"""What some files need: compiled on first use, and by ``scichunk warmup``."""
