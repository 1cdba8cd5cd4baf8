"""Decoders of FITS tiles on bytes that are no tiles: compiled with numba's checks of bounds, in a process of its own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from astropy.io.fits.hdu.compressed import _codecs as codecs
from hypothesis import HealthCheck, given, settings, strategies as st
from scichunk.codecs import hcompress, plio, rice
from scichunk.codecs.hcompress_codes import huffman_table
from scichunk.codecs.tile_scratch import hcompress_scratch, pad_words

GUARD = 7
rng = np.random.default_rng(0)
count = int(sys.argv[1])
image = rng.poisson(50, (20, 24)).astype(np.int32)
valid = {
    "rice": [bytes(codecs.Rice1(blocksize=b, bytepix=p, tilesize=image.size).encode(image.ravel().astype(f"i{p}"))) for b in (16, 32) for p in (2, 4)],
    "plio": [np.frombuffer(codecs.PLIO1(tilesize=image.size).encode(image.ravel()), np.int16).astype(">i2").tobytes()],  # as in files
    "hcompress": [bytes(codecs.HCompress1(scale=s, smooth=0, bytepix=4, nx=20, ny=24).encode(image)) for s in (0, 3)],
}


@st.composite
def streams(draw, kind):
    data = bytearray(draw(st.sampled_from(valid[kind]))) if draw(st.integers(0, 3)) else bytearray(draw(st.binary(max_size=200)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            at = draw(st.integers(0, min(len(data), 60) - 1) | st.integers(0, len(data) - 1))
            data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


def run(decode, stream):
    buffer = np.frombuffer(b"\\xff" * GUARD + stream + b"\\xff" * GUARD, np.uint8)
    out = np.full(2 * GUARD + image.size, 123456789, np.int32)
    status = np.zeros(1, np.int64)
    one = lambda value: np.array([value], np.int64)
    decode(buffer, one(GUARD), one(len(stream)), one(GUARD), out, status, one)
    assert status[0] in (0, 1)
    assert (out[:GUARD] == 123456789).all() and (out[GUARD + image.size :] == 123456789).all()
    return out[GUARD : GUARD + image.size], int(status[0])


def several(streams, block, size, sizes):
    # tiles side by side, each with a guard behind its pixels
    data, offsets, places, at, place = b"\\xff" * GUARD, [], [], GUARD, GUARD
    for stream, pixels in zip(streams, sizes):
        offsets.append(at)
        places.append(place)
        data += stream
        at += len(stream)
        place += pixels + GUARD
    out = np.full(place, 123456789, np.int32)
    status = np.full(len(streams), 5, np.int64)
    table = [np.array(c, np.int64) for c in (offsets, [len(s) for s in streams], places, sizes)]
    rice.decode_rice(pad_words(np.frombuffer(data, np.uint8)), *table, block, size, out, status)
    found = []
    for place, pixels in zip(places, sizes):
        assert (out[place - GUARD : place] == 123456789).all() and (out[place + pixels : place + pixels + GUARD] == 123456789).all()
        found.append(out[place : place + pixels])
    return found, status.tolist()


def decode_rice(block, size):
    return lambda b, o, n, p, out, s, one: rice.decode_rice(pad_words(b), o, n, p, one(image.size), block, size, out, s)


def decode_plio(b, o, n, p, out, s, one):
    plio.decode_plio(b, o, n, p, one(image.size), out, s)


def decode_hcompress(b, o, n, p, out, s, one):
    sides = one(20), one(24)
    hcompress.decode_hcompress(b, o, n, p, *sides, huffman_table(), *hcompress_scratch(*sides, out.size), out, s)


for stream, (block, size) in zip(valid["rice"], ((16, 2), (16, 4), (32, 2), (32, 4))):
    got, bad = run(decode_rice(block, size), stream)
    assert not bad and (got == image.ravel()).all()
got, bad = run(decode_plio, valid["plio"][0])
assert not bad and (got == image.ravel()).all()
got, bad = run(decode_hcompress, valid["hcompress"][0])
assert not bad and (got == image.ravel()).all()

many = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@many
@given(streams("rice"), st.sampled_from([1, 7, 16, 32]), st.sampled_from([1, 2, 4]))
def test_rice(stream, block, size):
    run(decode_rice(block, size), stream)


@many
@given(st.lists(st.sampled_from([0, 1]) | streams("rice"), min_size=1, max_size=5), st.sampled_from([0, 1, 2, 3]), st.booleans())
def test_rice_pairs(kinds, which, short):
    block, size = ((16, 2), (16, 4), (32, 2), (32, 4))[which]
    good = [valid["rice"][which]] * 2
    sizes = [image.size - (17 if short and i == 1 else 0) for i in range(len(kinds))]
    found, status = several([k if isinstance(k, bytes) else good[k] for k in kinds], block, size, sizes)
    for i, (kind, pixels, bad) in enumerate(zip(kinds, found, status)):
        if not isinstance(kind, bytes):  # whatever its neighbours are; one holds more than its tile
            assert bad if short and i == 1 else not bad and (pixels == image.ravel()).all()


@many
@given(streams("plio"))
def test_plio(stream):
    run(decode_plio, stream)


@many
@given(streams("hcompress"))
def test_hcompress(stream):
    run(decode_hcompress, stream)


test_rice(); test_rice_pairs(); test_plio(); test_hcompress()
print("fine")
"""


@pytest.mark.slow
def test_no_decoder_leaves_its_buffers(tmp_path):
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, "3000"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=280,
    )
    assert run.stdout.strip().endswith("fine"), run.stderr[-3000:]
