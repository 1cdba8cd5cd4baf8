"""Rice decoding beside cfitsio's encoder: any spread of values, block lengths, numbers of pixels."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.io.fits.hdu.compressed import _codecs as codecs
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tile_kernels import decode_rice


@st.composite
def tiles(draw, size):
    """Pixels whose differences range from none to more than fits."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    n = draw(st.sampled_from([1, 2, 3, 15, 31, 32, 33, 64, 100, 1000]) | st.integers(1, 400))
    kind = np.dtype(f"i{size}" if size > 1 else "u1")
    info = np.iinfo(kind)
    spread = np.exp2(
        rng.uniform(0, draw(st.integers(0, 8 * size)), n) if draw(st.booleans()) else draw(st.integers(0, 8 * size))
    )
    values = np.clip(rng.normal(0, 1, n) * spread, info.min, info.max).astype(kind)
    if draw(st.booleans()):
        values[rng.random(n) < draw(st.sampled_from([0.01, 0.1, 0.9]))] = draw(st.sampled_from([0, info.min, info.max]))
    return values


def decode(encoded, counts, block, size):
    lengths = np.array([len(e) for e in encoded], np.int64)
    counts = np.array(counts, np.int64)
    out, status = np.zeros(counts.sum(), np.int32), np.ones(len(encoded), np.int64)
    data = np.frombuffer(b"".join(encoded), np.uint8)
    decode_rice(
        data, np.cumsum(lengths) - lengths, lengths, np.cumsum(counts) - counts, counts, block, size, out, status
    )
    return out, status


@pytest.mark.parametrize("size", [1, 2, 4])
def test_as_encoded(size):
    @settings(deadline=None, max_examples=300)
    @given(st.lists(tiles(size), min_size=1, max_size=4), st.sampled_from([16, 32]), st.booleans())
    def check(given_tiles, block, alike):
        wanted = [given_tiles[0][::-1], *given_tiles[:1]] if alike else given_tiles
        encoded = [bytes(codecs.Rice1(blocksize=block, bytepix=size, tilesize=len(t)).encode(t)) for t in wanted]
        out, status = decode(encoded, [len(t) for t in wanted], block, size)
        assert not status.any()
        np.testing.assert_array_equal(out, np.concatenate(wanted))

    check()


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from astropy.io.fits.hdu.compressed import _codecs as codecs
from scichunk.codecs import rice
from scichunk.codecs.tile_scratch import pad_words

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * page)
room = np.frombuffer(memory, np.uint8)
libc = ctypes.CDLL(None, use_errno=True)
for guard in (0, 2 * page):
    assert libc.mprotect(ctypes.c_void_p(room.ctypes.data + guard), page, 0) == 0

def check(data, block, size, pixels, good):
    for first in (page, 2 * page - len(data)):  # right after the one guard, right before the other
        view = room[first : first + len(data)]
        view[:] = np.frombuffer(data, np.uint8)
        one = lambda n: np.array([n], np.int64)
        out, status = np.zeros(pixels, np.int32), np.ones(1, np.int64)
        rice.decode_rice(pad_words(view), one(0), one(len(data)), one(0), one(pixels), block, size, out, status)
        assert status[0] == (not good), (len(data), size)
        assert not good or (out == 7).all()

for size in (1, 2, 4):
    for pixels in (1, 2, 40, 1000):
        kind = np.dtype(f"i{size}" if size > 1 else "u1")
        whole = bytes(codecs.Rice1(blocksize=32, bytepix=size, tilesize=pixels).encode(np.full(pixels, 7, kind)))
        check(whole, 32, size, pixels, True)
        for length in range(min(len(whole), 12)):
            check(whole[:length], 32, size, pixels, False)
print("read within its bytes")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is guarded by mprotect")
def test_nothing_is_read_beside_the_bytes_of_a_tile():
    """Bits are loaded eight bytes at once; a read outside the bytes that are given would kill the process."""
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "read within its bytes\n"), done.stderr


@pytest.mark.parametrize("cut", [1, 2, 5, 40])
def test_a_tile_that_ends_too_early_is_corrupt_and_its_neighbour_is_not(cut):
    values = np.random.default_rng(1).normal(0, 50, 640).astype("i4")
    whole = bytes(codecs.Rice1(blocksize=32, bytepix=4, tilesize=640).encode(values))
    for order in ((0, 1), (1, 0)):
        encoded = [(whole, whole[:-cut])[i] for i in order]
        out, status = decode(encoded, [640, 640], 32, 4)
        assert status.tolist() == list(order)
        good = order.index(0)
        np.testing.assert_array_equal(out[640 * good : 640 * (good + 1)], values)
