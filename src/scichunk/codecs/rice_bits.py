"""Machine instructions for the numba kernels: of single words, and running sums in vectors."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types

from scichunk.codecs._numba import intrinsic

__all__ = ["leading_zeros", "load64", "sum_differences", "swap_bytes"]

_LANES: Final = 16


@intrinsic
def leading_zeros(typing: Any, word: Any) -> Any:
    """Zeros above the highest set bit of a uint64; 64 of 0."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate if word == types.uint64 else None


@intrinsic
def swap_bytes(typing: Any, word: Any) -> Any:
    """The integer whose bytes are those of ``word`` from the other end."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return arguments[0] if word.bitwidth == 8 else builder.bswap(arguments[0])

    return (word(word), generate) if isinstance(word, types.Integer) else None


@intrinsic
def load64(typing: Any, data: Any, at: Any) -> Any:
    """Big-endian uint64 from contiguous bytes; the caller has checked that they are there."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(place, ir.IntType(64).as_pointer())
        return builder.bswap(builder.load(word, align=1))

    return types.uint64(data, types.int64), generate if at == types.int64 else None


@intrinsic
def sum_differences(typing: Any, codes: Any, at: Any, before: Any) -> Any:
    """Turn 16 codes of differences (0, -1, 1, -2, 2, ...) of a contiguous int32 array into values, in place; returns the last.

    ``before`` is the value before the first. The caller has checked that the 16 are there.
    """
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        word = ir.IntType(32)
        lanes = ir.VectorType(word, _LANES)
        none, one = ir.Constant(lanes, [0] * _LANES), ir.Constant(lanes, [1] * _LANES)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), lanes.as_pointer())
        found = builder.load(place, align=4)
        found = builder.xor(builder.lshr(found, one), builder.sub(none, builder.and_(found, one)))
        shift = 1
        while shift < _LANES:  # each lane gets what the lane ``shift`` before it has
            moved = ir.Constant(lanes, [max(0, _LANES + i - shift if i >= shift else i) for i in range(_LANES)])
            found = builder.add(found, builder.shuffle_vector(none, found, moved))
            shift *= 2
        first = builder.insert_element(none, arguments[2], ir.Constant(word, 0))
        found = builder.add(found, builder.shuffle_vector(first, first, none))
        builder.store(found, place, align=4)
        return builder.extract_element(found, ir.Constant(word, _LANES - 1))

    good = at == types.int64 and before == types.int32 and codes.dtype == types.int32
    return (types.int32(codes, at, before), generate) if good else None
