"""HCOMPRESS decoding of FITS tiles (FITS 4.0, section 10.4.4; White 1992), compiled by numba on first use.

Re-entrant: all state is in the arguments. Coefficients are coded as bit planes of quadtrees of three kinds of quadrants, then as
signs; the inverse H-transform doubles the image at each step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Int, inner_kernel, kernel
from scichunk.codecs.instructions import as_image, load64

__all__ = ["decode_hcompress"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@inner_kernel
def _fill_word(src: Bytes, state: npt.NDArray[np.uint64]) -> None:
    """Top up the 64-bit word: state is (next byte, word, valid bits at its top, bits taken)."""
    pos, bits = np.int64(state[0]), np.int64(state[2])
    word = state[1]
    while bits <= 56:
        byte = np.uint64(src[pos]) if pos < src.size else np.uint64(0)
        word |= byte << np.uint64(56 - bits)
        pos += 1
        bits += 8
    state[0], state[1], state[2] = np.uint64(pos), word, np.uint64(bits)


@inner_kernel
def _take_bits(src: Bytes, state: npt.NDArray[np.uint64], count: Int) -> Int:
    """Take up to 8 bits."""
    if state[2] < np.uint64(8):
        _fill_word(src, state)
    value = np.int64(state[1] >> np.uint64(64 - count))
    state[1] <<= np.uint64(count)
    state[2] -= np.uint64(count)
    state[3] += np.uint64(count)
    return value


@inner_kernel
def _read_codes(src: Bytes, state: npt.NDArray[np.uint64], table: Bytes, cells: Bytes, count: Int) -> None:
    """Replace the nonzero of the last ``count`` cells, from the last to the first, by codes from the stream."""
    word, bits, taken = state[1], np.int64(state[2]), np.int64(0)
    pos, i = np.int64(state[0]), count - 1
    while i >= 0:
        if cells[np.uint64(i)]:
            if bits < 6:
                while bits <= 56:
                    byte = np.uint64(src[pos]) if pos < src.size else np.uint64(0)
                    word |= byte << np.uint64(56 - bits)
                    pos += 1
                    bits += 8
            entry = table[word >> np.uint64(58)]
            length = np.int64(entry >> 4)
            cells[np.uint64(i)] = entry & 15
            word <<= np.uint64(length)
            bits -= length
            taken += length
        elif i >= 8 and load64(cells, np.int64(i - 8)) == 0:
            i -= 8  # high bit planes are nearly empty
        i -= 1
    state[0], state[1], state[2] = np.uint64(pos), word, np.uint64(bits)
    state[3] += np.uint64(taken)


@inner_kernel
def _spread_codes(cells: Bytes, nx: Int, ny: Int, other: Bytes) -> None:
    """Turn 4-bit codes of 2 x 2 blocks into an nx x ny image of single bits."""
    across = (ny + 1) // 2
    for i in range(nx * ny):
        other[np.uint64(i)] = 0
    for i in range((nx + 1) // 2):
        j = 0
        while j < across:
            code = cells[np.uint64(i * across + j)]
            if code:
                x, y = 2 * i, 2 * j
                other[np.uint64(x * ny + y)] = (code >> 3) & 1
                if y + 1 < ny:
                    other[np.uint64(x * ny + y + 1)] = (code >> 2) & 1
                if x + 1 < nx:
                    other[np.uint64((x + 1) * ny + y)] = (code >> 1) & 1
                    if y + 1 < ny:
                        other[np.uint64((x + 1) * ny + y + 1)] = code & 1
            elif j + 9 <= across and load64(cells, np.int64(i * across + j + 1)) == 0:
                j += 8
            j += 1


@inner_kernel
def _insert_plane(cells: Bytes, nx: Int, ny: Int, a: Ints, bit: Int) -> None:
    """Set a bit plane of a quadrant from 4-bit codes of 2 x 2 blocks."""
    across = (ny + 1) // 2
    shift = np.int64(bit)
    for i in range((nx + 1) // 2):
        j = 0
        while j < across:
            code = np.int64(cells[np.uint64(i * across + j)])
            if code:
                x, y = np.uint64(2 * i), np.uint64(2 * j)
                a[x, y] |= ((code >> 3) & 1) << shift
                if 2 * j + 1 < ny:
                    a[x, y + np.uint64(1)] |= ((code >> 2) & 1) << shift
                if 2 * i + 1 < nx:
                    a[x + np.uint64(1), y] |= ((code >> 1) & 1) << shift
                    if 2 * j + 1 < ny:
                        a[x + np.uint64(1), y + np.uint64(1)] |= (code & 1) << shift
            elif j + 9 <= across and load64(cells, np.int64(i * across + j + 1)) == 0:
                j += 8
            j += 1


@inner_kernel
def _decode_quadrant(
    src: Bytes, state: npt.NDArray[np.uint64], table: Bytes, a: Ints, planes: Int, one: Bytes, two: Bytes
) -> Int:
    """Decode the bit planes of one quadrant; returns 0, or 1 if a plane's format is unknown or the stream is too short."""
    nqx, nqy = a.shape
    if nqx == 0 or nqy == 0:
        return 0
    levels, largest = 0, max(nqx, nqy)
    while (1 << levels) < largest:
        levels += 1
    total = ((nqx + 1) // 2) * ((nqy + 1) // 2)
    for bit in range(planes - 1, -1, -1):
        # 0 and 15 are the only two formats of a plane; the encoder takes 0 where the quadtree would come out longer than the pixels.
        kind = _take_bits(src, state, np.int64(4))
        if kind == 0:  # the plane as it is, 4 bits for each 2 x 2 block
            for i in range(total):
                one[i] = _take_bits(src, state, np.int64(4))
            _insert_plane(one, nqx, nqy, a, bit)
        elif kind == 15:
            one[0] = 1
            _read_codes(src, state, table, one, np.int64(1))
            # Sides double at each level, less one where that would go beyond the quadrant: sides are no powers of two.
            nx, ny, fx, fy, c = 1, 1, nqx, nqy, 1 << levels
            for _ in range(1, levels):
                c >>= 1
                nx, ny = 2 * nx, 2 * ny
                if fx <= c:
                    nx -= 1
                else:
                    fx -= c
                if fy <= c:
                    ny -= 1
                else:
                    fy -= c
                _spread_codes(one, nx, ny, two)
                _read_codes(src, state, table, two, nx * ny)
                one, two = two, one
            _insert_plane(one, nqx, nqy, a, bit)
        else:
            return 1
        # Zeros stand for the bytes behind the end, so a stream that is cut is noticed here, once a plane, instead of at each bit.
        if state[3] > np.uint64(8 * src.size):
            return 1
    return 0


@inner_kernel
def _round_value(value: Int, plus: Int, minus: Int, mask: Int) -> Int:
    return (value + (plus if value >= 0 else minus)) & mask


@inner_kernel
def _transform_once(a: Ints, b: Ints, nx: Int, ny: Int, bit0: Int, last: bool) -> None:
    """Take one step of the inverse H-transform: quadrants of a[:nx, :ny] to pixels of b[:nx, :ny]."""
    bit1 = bit0 << 1
    mask0, mask1 = -bit0, -bit1
    plus0, plus1 = bit0 >> 1, bit1 >> 1
    # As in ``hinv`` of the reference implementation: coefficients are rounded to what a level keeps, and not in the last step.
    minus0, minus1 = (0 if last else plus0 - 1), plus1 - 1
    shift = 2 if last else 1
    hx2, hy2 = (nx + 1) // 2, (ny + 1) // 2
    for i in range(hx2):
        below = 2 * i + 1 < nx
        for j in range(hy2):
            right = 2 * j + 1 < ny
            h0 = a[i, j]
            if below and right:
                hx = _round_value(a[i + hx2, j], plus1, minus1, mask1)
                hy = _round_value(a[i, j + hy2], plus1, minus1, mask1)
                hc = _round_value(a[i + hx2, j + hy2], plus0, minus0, mask0)
                # Bits that the forward transform lost by halving are known from the other coefficients: the parity of the sums is given.
                low0 = hc & bit0
                hx = hx - low0 if hx >= 0 else hx + low0
                hy = hy - low0 if hy >= 0 else hy + low0
                low1 = (hc ^ hx ^ hy) & bit1
                if h0 >= 0:
                    h0 += low0 - low1
                else:
                    h0 += low1 if low0 == 0 else low0 - low1
                b[2 * i + 1, 2 * j + 1] = (h0 + hx + hy + hc) >> shift
                b[2 * i + 1, 2 * j] = (h0 + hx - hy - hc) >> shift
                b[2 * i, 2 * j + 1] = (h0 - hx + hy - hc) >> shift
                b[2 * i, 2 * j] = (h0 - hx - hy + hc) >> shift
            elif below or right:
                h1 = _round_value(a[i + hx2, j] if below else a[i, j + hy2], plus1, minus1, mask1)
                low1 = h1 & bit1
                h0 = h0 - low1 if h0 >= 0 else h0 + low1
                b[2 * i, 2 * j] = (h0 - h1) >> shift
                if below:
                    b[2 * i + 1, 2 * j] = (h0 + h1) >> shift
                else:
                    b[2 * i, 2 * j + 1] = (h0 + h1) >> shift
            else:
                b[2 * i, 2 * j] = h0 >> shift


@inner_kernel
def _invert_transform(a: Ints, b: Ints) -> None:
    """Invert the H-transform of ``a`` in place; ``b`` is scratch of its shape."""
    nx, ny = a.shape
    levels, largest = 0, max(nx, ny)
    while (1 << levels) < largest:
        levels += 1
    if levels == 0:
        return
    bit0 = np.int64(1) << (levels - 1)
    bit2 = bit0 << 2
    plus2 = bit2 >> 1
    a[0, 0] = _round_value(a[0, 0], plus2, plus2 - 1, -bit2)
    tx, ty, fx, fy, c = 1, 1, nx, ny, 1 << levels
    for k in range(levels - 1, -1, -1):
        c >>= 1
        tx, ty = 2 * tx, 2 * ty
        if fx <= c:
            tx -= 1
        else:
            fx -= c
        if fy <= c:
            ty -= 1
        else:
            fy -= c
        _transform_once(a, b, tx, ty, bit0, k == 0)
        for x in range(tx):  # loops: assigning slices takes numba seconds to compile
            for y in range(ty):
                a[x, y] = b[x, y]
        bit0 >>= 1


@inner_kernel
def _read_signs(src: Bytes, pos: Int, a: Ints) -> Int:
    """Give the coefficients that are not 0 their signs, a bit each; returns 1 if there are too few."""
    nx, ny = a.shape
    word, bits = np.uint64(0), np.int64(0)
    for i in range(nx):
        for j in range(ny):
            if bits == 0:
                while bits <= 56:
                    byte = np.uint64(src[pos]) if pos < src.size else np.uint64(0)
                    word |= byte << np.uint64(56 - bits)
                    pos += 1
                    bits += 8
            value = a[np.uint64(i), np.uint64(j)]
            there = np.int64(value != 0)  # no branches: signs cannot be predicted
            minus = np.int64(word >> np.uint64(63)) & there
            a[np.uint64(i), np.uint64(j)] = (value ^ -minus) + minus
            word <<= np.uint64(there)
            bits -= there
    return 8 * pos - bits > 8 * src.size


@inner_kernel
def _read_integer(src: Bytes, at: Int, size: Int) -> Int:
    value = np.int64(0)
    for i in range(size):
        value = (value << 8) | np.int64(src[at + i])
    return value


@inner_kernel
def _decode_tile(
    src: Bytes,
    a: Ints,
    b: Ints,
    one: Bytes,
    two: Bytes,
    state: npt.NDArray[np.uint64],
    table: Bytes,
    out: npt.NDArray[Any],
) -> Int:
    """Decode one tile; returns 0, or 1 if it is malformed, or not of the shape of ``a``."""
    if src.size < 25 or src[0] != 0xDD or src[1] != 0x99:
        return 1
    nx, ny = a.shape
    scale = _read_integer(src, np.int64(10), np.int64(4))
    if (
        _read_integer(src, np.int64(2), np.int64(4)) != nx
        or _read_integer(src, np.int64(6), np.int64(4)) != ny
        or scale < 0
        or scale >= 1 << 31
    ):
        return 1
    # Bit planes of the first quadrant, of the two beside it, of the last one. Shifts by 63 or more have no defined result.
    if max(src[22], src[23], src[24]) > 62:
        return 1
    for x in range(nx):
        for y in range(ny):
            a[x, y] = 0
    for i in range(4):
        state[i] = np.uint64(0)
    body = src[25:]
    mx, my = (nx + 1) // 2, (ny + 1) // 2
    bad = 0
    for quadrant in range(4):  # one call in a loop: compiled once
        x, y = mx * (quadrant // 2), my * (quadrant % 2)
        quarter = a[x : x + (mx if quadrant < 2 else nx - mx), y : y + (my if quadrant % 2 == 0 else ny - my)]
        planes = src[22] if quadrant == 0 else (src[24] if quadrant == 3 else src[23])
        bad = bad or _decode_quadrant(body, state, table, quarter, planes, one, two)
    # A nibble of zeros ends the planes; the signs begin with the next byte.
    if bad or _take_bits(body, state, np.int64(4)) != 0:
        return 1
    if _read_signs(body, (np.int64(state[3]) + 7) // 8, a):
        return 1
    # The sum of all pixels is not among the coded coefficients, and is not quantised.
    a[0, 0] = _read_integer(src, np.int64(14), np.int64(8))
    if scale > 1:
        for i in range(nx):
            for j in range(ny):
                a[i, j] *= scale
    _invert_transform(a, b)
    for i in range(nx):
        for j in range(ny):
            out[i * ny + j] = a[i, j]
    return 0


@kernel
def decode_hcompress(
    data: Bytes,
    offsets: Ints,
    lengths: Ints,
    targets: Ints,
    rows: Ints,
    columns: Ints,
    table: Bytes,
    a: Ints,
    b: Ints,
    one: Bytes,
    two: Bytes,
    state: npt.NDArray[np.uint64],
    out: npt.NDArray[Any],
    status: Ints,
) -> None:
    """Decode tiles of ``rows[t]`` x ``columns[t]`` pixels.

    Other arguments as in :func:`scichunk.codecs.rice.decode_rice`; ``table`` comes from
    :func:`~scichunk.codecs.hcompress_codes.huffman_table`, ``a`` to ``state`` from
    :func:`~scichunk.codecs.tile_scratch.hcompress_scratch`.
    """
    room = min(a.size, b.size, one.size - 4, two.size - 4) if state.size >= 4 else 0
    for t in range(offsets.size):
        status[t] = 1
        begin, size, first = offsets[t], lengths[t], targets[t]
        # Differences and quotients, since sums and products of numbers near 2**63 wrap around and then seem to lie inside.
        if size < 0 or size > data.size or begin < 0 or begin > data.size - size:
            continue
        if rows[t] < 1 or columns[t] < 1 or rows[t] > out.size // columns[t]:
            continue
        count = rows[t] * columns[t]
        if count <= room and 0 <= first <= out.size - count:
            one_tile, target = data[begin : begin + size], out[first : first + count]
            coefficients, other = as_image(a, rows[t], columns[t]), as_image(b, rows[t], columns[t])
            status[t] = _decode_tile(one_tile, coefficients, other, one, two, state, table, target)
