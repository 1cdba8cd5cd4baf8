"""Machine instructions for the numba kernels: counting leading zeros, turning the order of bytes, a big-endian load."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from scichunk.codecs.jit import intrinsic

__all__ = ["byteswap", "leading_zeros", "load64"]


@intrinsic
def leading_zeros(typing: Any, word: Any) -> Any:
    """Zeros above the highest set bit of a uint64; 64 of 0."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate if word == types.uint64 else None


@intrinsic
def byteswap(typing: Any, word: Any) -> Any:
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
