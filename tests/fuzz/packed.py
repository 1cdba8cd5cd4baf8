"""Packet headers of the main header (PPM) moved to their tile-parts (PPT), which says the same (T.800, A.7.4 and A.7.5).

OpenJPEG reads the PPM of all tile-parts as one run, and so begins a tile in the headers of another where that one has more packets,
or fewer, than its share holds; by the standard each tile-part has a share whose length is written before it. PPT it keeps apart.
"""

from __future__ import annotations

from tests.fuzz.mutate.jpeg2000 import EOC, SOD, SOT, segments

PPM, TLM, PLM = 0xFF60, 0xFF55, 0xFF57
_MOST = 65_000


def is_packed(data: bytes) -> bool:
    """Whether a bare codestream has a PPM."""
    return any(marker == PPM for _, marker, _ in _head(data))


def _head(data: bytes) -> list[tuple[int, int, int]]:
    found = []
    for segment in segments(data, 0) if data[:4] == b"\xff\x4f\xff\x51" else []:
        if segment[1] in {SOT, SOD, EOC}:
            break
        found.append(segment)
    return found


def _shares(data: bytes) -> list[bytes] | None:
    """The headers of each tile-part, in the order of the file; None if they end within one."""
    parts = {data[at + 4]: data[at + 5 : at + size] for at, marker, size in reversed(_head(data)) if marker == PPM}
    joined, found, at = b"".join(parts[i] for i in sorted(parts)), [], 0
    while at < len(joined):
        stop = at + 4 + int.from_bytes(joined[at : at + 4], "big")
        if stop > len(joined):
            return None
        found.append(joined[at + 4 : stop])
        at = stop
    return found


def unpacked(data: bytes) -> bytes | None:
    """The codestream with PPT instead of PPM; None if it is not whole."""
    shares, head = _shares(data), _head(data)
    if shares is None or not head:
        return None
    out = [data[:2], *(data[a : a + n] for a, marker, n in head if marker not in {PPM, TLM, PLM})]
    at, counts = head[-1][0] + head[-1][2], dict[bytes, int]()
    for share in shares:
        if data[at : at + 2] != b"\xff\x90":
            break
        tile, length = data[at + 4 : at + 6], int.from_bytes(data[at + 6 : at + 10], "big")
        stop, more = at + length if length else len(data), b""
        if not at + 14 <= stop <= len(data):
            return None
        for first in range(0, len(share), _MOST):
            piece, number = share[first : first + _MOST], counts.get(tile, 0)
            more += b"\xff\x61" + (3 + len(piece)).to_bytes(2, "big") + bytes([number & 255]) + piece
            counts[tile] = number + 1
        size = (length + len(more)) if length else 0
        out.append(data[at : at + 6] + size.to_bytes(4, "big") + data[at + 10 : at + 12] + more + data[at + 12 : stop])
        at = stop
    return b"".join([*out, data[at:]])
