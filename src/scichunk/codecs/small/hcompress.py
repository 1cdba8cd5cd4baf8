"""HCOMPRESS decoding of FITS tiles (FITS 4.0, section 10.4.4) by NumPy: a stand-in for :mod:`scichunk.codecs.hcompress`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["decode_hcompress"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class _Bits:
    """Bits from the first on; zeros behind the end, as if there were more of them."""

    def __init__(self, data: Bytes, table: Bytes) -> None:
        self.at, self.end = 0, 8 * data.size
        self._padded = np.concatenate([data, np.zeros(8, np.uint8)])
        self._entries = [(entry & 15, entry >> 4) for entry in table.tolist()]
        ahead = np.unpackbits(self._padded)
        six: Bytes = np.zeros(self.end + 1, np.uint8)
        for i in range(6):
            six = np.bitwise_or(six << 1, ahead[i : i + six.size], dtype=np.uint8)
        self._six = six.tobytes()
        """The six bits from each on."""

    def four(self, count: int) -> Bytes:
        """Take fours of bits."""
        places = np.minimum(self.at + 4 * np.arange(count), self.end)
        self.at += 4 * count
        return np.right_shift(np.frombuffer(self._six, np.uint8)[places], 2, dtype=np.uint8)

    def codes(self, count: int) -> list[int]:
        """Take codes, one for each block that is not empty."""
        six, entries, at, end = self._six, self._entries, self.at, self.end
        found = []
        for _ in range(count):
            value, length = entries[six[at] if at < end else 0]
            found.append(value)
            at += length
        self.at = at
        return found

    def signs(self, count: int) -> npt.NDArray[np.bool_] | None:
        """Take a bit for each, from the next byte on; None if there are too few."""
        first = -(-self.at // 8) * 8
        if first + count > self.end:
            return None
        return np.unpackbits(self._padded[first // 8 :], count=count).view(np.bool_)


def _grown(blocks: Bytes, rows: int, columns: int) -> Bytes:
    """From 4-bit codes of 2 x 2 blocks to an image of single bits."""
    wide = np.zeros((2 * blocks.shape[0], 2 * blocks.shape[1]), np.uint8)
    for place, (y, x) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        wide[y::2, x::2] = (blocks >> (3 - place)) & 1
    return wide[:rows, :columns]


def _sizes(rows: int, columns: int) -> list[tuple[int, int]]:
    """Rows and columns of an image at each step from a single pixel to its own size."""
    levels = (max(rows, columns) - 1).bit_length()
    tx, ty, fx, fy, c = 1, 1, rows, columns, 1 << levels
    found = [(1, 1)]
    for _ in range(levels):
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
        found.append((tx, ty))
    return found


def _quadrant(bits: _Bits, a: Ints, planes: int) -> bool:
    """Decode the bit planes of one quadrant; whether their formats are known and the stream is long enough."""
    rows, columns = a.shape
    if not rows or not columns:
        return True
    shape = (rows + 1) // 2, (columns + 1) // 2
    steps = _sizes(rows, columns)[1:-1]
    for bit in range(planes - 1, -1, -1):
        kind = int(bits.four(1)[0])
        if kind == 0:  # the plane as it is, 4 bits for each 2 x 2 block
            blocks = bits.four(shape[0] * shape[1]).reshape(shape)
        elif kind == 15:
            blocks = np.array([bits.codes(1)], np.uint8)
            for nx, ny in steps:
                blocks = _grown(blocks, nx, ny).reshape(-1)
                used = np.flatnonzero(blocks)[::-1]  # from the last to the first
                blocks[used] = bits.codes(used.size)
                blocks = blocks.reshape(nx, ny)
        else:
            return False
        a |= _grown(blocks, rows, columns).astype(np.int64) << bit
        if bits.at > bits.end:
            return False
    return True


def _round(value: Ints, plus: int, minus: int, mask: int) -> Ints:
    return (value + np.where(value >= 0, plus, minus)) & mask


def _step(a: Ints, nx: int, ny: int, bit0: int, *, last: bool) -> None:
    """One step of the inverse H-transform: quadrants of a[:nx, :ny] to its pixels."""
    bit1 = bit0 << 1
    plus0, plus1 = bit0 >> 1, bit1 >> 1
    minus0, minus1 = (0 if last else plus0 - 1), plus1 - 1
    shift = 2 if last else 1
    mx, my = (nx + 1) // 2, (ny + 1) // 2
    kx, ky = nx // 2, ny // 2  # where there is a pixel below, and to the right
    low = a[:mx, :my].copy()
    below, right = a[mx:nx, :my].copy(), a[:mx, my:ny].copy()
    h0, hx, hy = low[:kx, :ky], below[:, :ky], right[:kx]
    hx, hy = _round(hx, plus1, minus1, -bit1), _round(hy, plus1, minus1, -bit1)
    hc = _round(a[mx:nx, my:ny].copy(), plus0, minus0, -bit0)
    low0 = hc & bit0
    hx, hy = np.where(hx >= 0, hx - low0, hx + low0), np.where(hy >= 0, hy - low0, hy + low0)
    low1 = (hc ^ hx ^ hy) & bit1
    h0 = h0 + np.where(h0 >= 0, low0 - low1, np.where(low0 == 0, low1, low0 - low1))
    b = a[:nx, :ny]
    b[1 : 2 * kx : 2, 1 : 2 * ky : 2] = (h0 + hx + hy + hc) >> shift
    b[1 : 2 * kx : 2, 0 : 2 * ky : 2] = (h0 + hx - hy - hc) >> shift
    b[0 : 2 * kx : 2, 1 : 2 * ky : 2] = (h0 - hx + hy - hc) >> shift
    b[0 : 2 * kx : 2, 0 : 2 * ky : 2] = (h0 - hx - hy + hc) >> shift
    if mx > kx:  # the last row has none below it
        b[nx - 1, 0 : 2 * ky : 2], b[nx - 1, 1 : 2 * ky : 2] = _edge(
            low[kx, :ky], right[kx], (plus1, minus1, bit1), shift
        )
    if my > ky:
        b[0 : 2 * kx : 2, ny - 1], b[1 : 2 * kx : 2, ny - 1] = _edge(
            low[:kx, ky], below[:, ky], (plus1, minus1, bit1), shift
        )
    if mx > kx and my > ky:
        b[nx - 1, ny - 1] = low[kx, ky] >> shift


def _edge(h0: Ints, h1: Ints, rounding: tuple[int, int, int], shift: int) -> tuple[Ints, Ints]:
    plus, minus, bit = rounding
    h1 = _round(h1, plus, minus, -bit)
    low = h1 & bit
    h0 = np.where(h0 >= 0, h0 - low, h0 + low)
    return (h0 - h1) >> shift, (h0 + h1) >> shift


def _transform(a: Ints) -> None:
    """Inverse H-transform in place."""
    sizes = _sizes(*a.shape)
    levels = len(sizes) - 1
    if not levels:
        return
    bit2 = 1 << (levels + 1)
    a[:1, :1] = _round(a[:1, :1], bit2 >> 1, (bit2 >> 1) - 1, -bit2)
    for k, (tx, ty) in zip(range(levels - 1, -1, -1), sizes[1:], strict=True):
        _step(a, tx, ty, 1 << k, last=k == 0)


def _tile(src: Bytes, a: Ints, table: Bytes) -> bool:
    """One tile; whether it is sound, and of the shape of ``a``."""
    if src.size < 25 or src[0] != 0xDD or src[1] != 0x99:
        return False
    head = src[:25].tobytes()
    nx, ny, scale = (int.from_bytes(head[at : at + 4], "big") for at in (2, 6, 10))
    planes = head[22], head[23], head[23], head[24]
    if (nx, ny) != a.shape or scale >= 1 << 31 or max(planes) > 62:
        return False
    bits = _Bits(src[25:], table)
    mx, my = (nx + 1) // 2, (ny + 1) // 2
    corners = (
        (slice(mx), slice(my)),
        (slice(mx), slice(my, ny)),
        (slice(mx, nx), slice(my)),
        (slice(mx, nx), slice(my, ny)),
    )
    if not all(_quadrant(bits, a[corner], n) for corner, n in zip(corners, planes, strict=True)):
        return False
    if bits.four(1)[0] != 0:
        return False
    used = np.flatnonzero(a)
    minus = bits.signs(used.size)
    if minus is None:
        return False
    flat = a.reshape(-1)
    flat[used[minus]] *= -1
    flat[0] = np.array([int.from_bytes(head[14:22], "big", signed=True)])[0]
    if scale > 1:
        flat *= scale
    _transform(a)
    return True


def decode_hcompress(
    data: Bytes,
    offsets: Ints,
    lengths: Ints,
    places: Ints,
    rows: Ints,
    columns: Ints,
    table: Bytes,
    *rest: npt.NDArray[Any],
) -> None:
    """Decode tiles of ``rows[t]`` x ``columns[t]`` pixels; the last two arguments are their pixels, and the state of each."""
    *_, out, status = rest
    for t in range(offsets.size):
        status[t] = 1
        begin, size, first, nx, ny = (int(column[t]) for column in (offsets, lengths, places, rows, columns))
        if not (0 <= size <= data.size and 0 <= begin <= data.size - size) or nx < 1 or ny < 1 or nx * ny > out.size:
            continue
        if 0 <= first <= out.size - nx * ny:
            a = np.zeros((nx, ny), np.int64)
            if _tile(data[begin : begin + size], a, table):
                out[first : first + nx * ny] = a.reshape(-1).astype(out.dtype)
                status[t] = 0
