"""Machine instructions for the numba kernels: of single words, running sums in vectors, and views of arrays."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.np import arrayobj

from scichunk.codecs._numba import intrinsic

__all__ = [
    "as_image",
    "count_lanes",
    "leading_zeros",
    "line_of",
    "load64",
    "sum_differences",
    "sum_lanes",
    "swap_bytes",
]

_VECTOR_WORDS: Final = 16
_LANE_BYTES: Final = 32
"""Of a vector whose values are summed: with 16, among which one instruction moves values, it takes a quarter more."""


@intrinsic
def leading_zeros(_typing: Any, word: Any) -> Any:
    """Zeros above the highest set bit of a uint64; 64 of 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate if word == types.uint64 else None


@intrinsic
def swap_bytes(_typing: Any, word: Any) -> Any:
    """The integer whose bytes are those of ``word`` from the other end."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0] if word.bitwidth == 8 else builder.bswap(arguments[0])

    return (word(word), generate) if isinstance(word, types.Integer) else None


@intrinsic
def load64(_typing: Any, data: Any, at: Any) -> Any:
    """Big-endian uint64 from contiguous bytes; the caller has checked that they are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        first = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(first, ir.IntType(64).as_pointer())
        return builder.bswap(builder.load(word, align=1))

    return types.uint64(data, types.int64), generate if at == types.int64 else None


@intrinsic
def as_image(_typing: Any, values: Any, rows: Any, columns: Any) -> Any:
    """Show the first values of a contiguous array as rows and columns; the caller has checked that they are there.

    ``reshape`` calls a function of numba's, which object code has not (see ``object_code.py``).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        flat = context.make_array(signature.args[0])(context, builder, arguments[0])
        image = context.make_array(signature.return_type)(context, builder)
        across = builder.mul(flat.itemsize, arguments[2])
        arrayobj.populate_array(
            image, flat.data, [arguments[1], arguments[2]], [across, flat.itemsize], flat.itemsize, None
        )
        return image._getvalue()  # noqa: SLF001  # numba's own way

    good = rows == types.int64 and columns == types.int64
    return (types.Array(values.dtype, 2, "C")(values, rows, columns), generate) if good else None


@intrinsic
def line_of(_typing: Any, values: Any, at: Any, count: Any) -> Any:
    """Show values that lie together, from a number of bytes behind the first of an array on; the caller has checked that they are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        line = context.make_array(signature.return_type)(context, builder)
        first = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [arguments[1]])
        first = builder.bitcast(first, array.data.type)
        arrayobj.populate_array(line, first, [arguments[2]], [array.itemsize], array.itemsize, None)
        return line._getvalue()  # noqa: SLF001  # numba's own way

    good = at == types.int64 and count == types.int64
    return (types.Array(values.dtype, 1, "C")(values, at, count), generate) if good else None


@intrinsic
def sum_differences(_typing: Any, codes: Any, at: Any, before: Any) -> Any:
    """Turn 16 codes of differences (0, -1, 1, -2, 2, ...) of a contiguous int32 array into values, in place; returns the last.

    ``before`` is the value before the first. The caller has checked that the 16 are there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        word = ir.IntType(32)
        vector = ir.VectorType(word, _VECTOR_WORDS)
        none, one = ir.Constant(vector, [0] * _VECTOR_WORDS), ir.Constant(vector, [1] * _VECTOR_WORDS)
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        found = builder.load(address, align=4)
        found = builder.xor(builder.lshr(found, one), builder.sub(none, builder.and_(found, one)))
        shift = 1
        while shift < _VECTOR_WORDS:  # each lane gets what the lane ``shift`` before it has
            moved = ir.Constant(
                vector, [max(0, _VECTOR_WORDS + i - shift if i >= shift else i) for i in range(_VECTOR_WORDS)]
            )
            found = builder.add(found, builder.shuffle_vector(none, found, moved))
            shift *= 2
        first = builder.insert_element(none, arguments[2], ir.Constant(word, 0))
        found = builder.add(found, builder.shuffle_vector(first, first, none))
        builder.store(found, address, align=4)
        return builder.extract_element(found, ir.Constant(word, _VECTOR_WORDS - 1))

    good = at == types.int64 and before == types.int32 and codes.dtype == types.int32
    return (types.int32(codes, at, before), generate) if good else None


@intrinsic
def count_lanes(_typing: Any, values: Any) -> Any:
    """How many values :func:`sum_lanes` takes."""

    def generate(_context: Any, _builder: Any, signature: Any, _arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), _LANE_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.int64(values), generate


@intrinsic
def sum_lanes(_typing: Any, source: Any, at: Any, target: Any, before: Any) -> Any:
    """Put running sums of the values of a vector, and of what is before it, from one contiguous array to another; returns the last.

    The caller has checked that the values are there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2)]
        size = signature.args[0].dtype.bitwidth
        word, lanes = ir.IntType(size), _LANE_BYTES * 8 // size
        vector = ir.VectorType(word, lanes)
        none = ir.Constant(vector, [0] * lanes)
        places = [builder.bitcast(builder.gep(a.data, [arguments[1]]), vector.as_pointer()) for a in arrays]
        found = builder.load(places[0], align=size // 8)
        shift = 1
        while shift < lanes:  # each lane gets what the lane ``shift`` before it has
            moved = [lanes + i - shift if i >= shift else i for i in range(lanes)]
            found = builder.add(
                found, builder.shuffle_vector(none, found, ir.Constant(ir.VectorType(ir.IntType(32), lanes), moved))
            )
            shift *= 2
        first = builder.insert_element(none, arguments[3], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        builder.store(builder.add(found, builder.shuffle_vector(first, first, everywhere)), places[1], align=size // 8)
        # Not from what is stored: the next vector then waits for one addition alone.
        return builder.add(arguments[3], builder.extract_element(found, ir.Constant(ir.IntType(32), lanes - 1)))

    good = at == types.int64 and before == source.dtype == target.dtype
    return (source.dtype(source, at, target, before), generate) if good else None
