"""Headers of codestreams written so that OpenJPEG understands them: in another order, and without what it does not know.

Segments of a header may come in any order, and decoders step over those that they do not know by their lengths (T.800, A.1 to A.3). OpenJPEG
forgets what COC and QCC say where COD and QCD come behind them, cuts the layers of POC to those of the COD that it has
seen, and looks for the end of an unknown segment among its bytes. Nothing becomes longer or shorter: boxes say how long they are.
"""

from __future__ import annotations

from tests.fuzz.mutate.jpeg2000 import EOC, SOD, SOT, segments

_LATE = {0xFF53: 1, 0xFF5D: 1, 0xFF5F: 2}
"""COC and QCC behind COD and QCD, POC behind all."""
_SIZ, _COM = 0xFF51, 0xFF64
_KNOWN = {_SIZ, 0xFF50, 0xFF52, *_LATE, 0xFF5C, 0xFF5E, 0xFF55, 0xFF57, 0xFF58, 0xFF60, 0xFF61, 0xFF63, _COM}


def ordered(data: bytes) -> bytes:
    """The same file with the segments of each header in order, and comments for unknown ones of the main header."""
    start = data.find(b"\xff\x4f\xff\x51")
    head: list[tuple[int, int, int]] = []
    out, main = bytearray(data), True
    for at, marker, size in segments(data, start) if start >= 0 else []:
        if marker not in {SOT, SOD, EOC}:
            head.append((at, marker, size))
            continue
        if any(0xFF30 <= m <= 0xFF3F or a + n > len(data) for a, m, n in head):
            return data  # no segments, or none that are whole
        if head:
            found = sorted(head, key=lambda s: (s[1] != _SIZ, _LATE.get(s[1], 0)))
            out[head[0][0] : at] = b"".join(_segment(data, s, main=main) for s in found)
        head, main = [], False
    return bytes(out)


def _segment(data: bytes, segment: tuple[int, int, int], *, main: bool) -> bytes:
    at, marker, size = segment
    marker = _COM if main and marker not in _KNOWN and size > 5 else marker
    return marker.to_bytes(2, "big") + data[at + 2 : at + size]
