"""Streams of the byte codecs that are odd, and that libtiff reads."""

import zlib

import imagecodecs
import numpy as np
import pytest

from scichunk.codecs.bytes import decompress
from scichunk.errors import FormatError


def bits(*fields: tuple[int, int]) -> bytes:
    """Pack (value, width) as DEFLATE does: the lowest bit first (RFC 1951, section 3.1.1)."""
    value = place = 0
    for field, width in fields:
        value |= field << place
        place += width
    return value.to_bytes(-(-place // 8), "little")


def without_codes(tail: bytes) -> bytes:
    """A stream of zeros that zlib refuses: one block whose code lengths are all zero, so that each bit is the literal 0 for libdeflate."""
    lengths = [(0, 3), (0, 3), (1, 3), (0, 3)]  # of the symbols 16, 17, 18 and 0
    repeats = [(0, 1), (138 - 11, 7), (0, 1), (120 - 11, 7)]  # 258 lengths of zero
    block = bits((1, 1), (2, 2), (0, 5), (0, 5), (0, 4), *lengths, *repeats)
    return b"\x78\x9c" + block + tail


def test_incomplete_codes():
    data = without_codes(bytes(100))
    with pytest.raises(zlib.error):
        zlib.decompress(data)
    out = np.full(400, 7, np.uint8)
    decompress("deflate", memoryview(data), out)
    assert not out.any()


def test_incomplete_codes_that_end_early():
    with pytest.raises(FormatError):
        decompress("deflate", memoryview(without_codes(bytes(10))), np.empty(4000, np.uint8))


@pytest.mark.parametrize("codec", ["deflate", "zstd", "lzma"])
def test_more_than_is_wanted(codec):
    want = np.arange(5000, dtype=np.uint16).view(np.uint8)
    data = getattr(imagecodecs, f"{codec}_encode")(want.tobytes())
    out = np.zeros(1001, np.uint8)
    decompress(codec, memoryview(data), out)
    np.testing.assert_array_equal(out, want[:1001])


RUNS = imagecodecs.packbits_encode(bytes(range(60)) + bytes(40))


@pytest.mark.parametrize(
    "tail", [b"", b"\0", b"\5", b"\xff", b"\x80", b"\0\0", b"\x81\7", b"\5ab", b"\x80" * 9 + b"\5"], ids=repr
)
def test_packed_bits_with_anything_behind(tail):
    out = np.zeros(100, np.uint8)
    decompress("packbits", memoryview(RUNS + tail), out)
    assert bytes(out) == bytes(range(60)) + bytes(40)


@pytest.mark.parametrize("last", [bytes([257 - 128, 9]), bytes([9, 9]) + b"abcdefghi", bytes([9, 9]) + b"ab"], ids=repr)
def test_packed_bits_of_which_the_last_run_goes_on(last):
    out = np.zeros(101, np.uint8)
    decompress("packbits", memoryview(RUNS + last), out)
    assert bytes(out) == bytes(range(60)) + bytes(40) + b"\t"


@pytest.mark.parametrize("last", [b"", b"\x81", b"\5", b"\x80\x80", b"\1a"], ids=repr)
def test_packed_bits_that_end_early(last):
    with pytest.raises(FormatError):
        decompress("packbits", memoryview(RUNS + last), np.zeros(103, np.uint8))
