"""Images within blocks say how large they are; that is read before a decoder makes room for it."""

import itertools
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scichunk.codecs.image_heads import ImageSize, check_sampling, check_size, read_size
from scichunk.errors import FormatError, LimitExceeded
from scichunk.options import set as set_options

SIZES = [(37, 52), (8, 8), (1, 300), (64, 128), (600, 80), (72, 128), (16, 9)]
WRITERS = {
    "jpeg": ("jpeg", "jpeg8_encode", {}),
    "webp, lossless": ("webp", "webp_encode", {"lossless": True}),
    "webp, lossy": ("webp", "webp_encode", {"lossless": False, "level": 80}),
    "jpegxl": ("jpegxl", "jpegxl_encode", {"lossless": True}),
    "jpegxl in boxes": ("jpegxl", "jpegxl_encode", {"usecontainer": True}),
}


def pixels(rows, columns, samples=3):
    return np.random.default_rng(0).integers(0, 255, (rows, columns, samples), np.uint8)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("kind", WRITERS)
def test_sizes(kind, shape):
    codec, writer, arguments = WRITERS[kind]
    size = read_size(codec, bytes(getattr(imagecodecs, writer)(pixels(*shape), **arguments)))
    assert size[:2] == shape


def test_alpha_of_webp():
    assert read_size("webp", bytes(imagecodecs.webp_encode(pixels(37, 52, 4), lossless=False, level=80)))[:2] == (
        37,
        52,
    )


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("version", [None, 4, 5])
def test_lerc(dtype, version):
    data = bytes(imagecodecs.lerc_encode(pixels(9, 7).astype(dtype), version=version))
    assert read_size("lerc", data) == ImageSize(9, 7, 3 * np.dtype(dtype).itemsize)
    bands = np.moveaxis(pixels(9, 7), -1, 0).astype(dtype).copy()
    assert read_size("lerc", bytes(imagecodecs.lerc_encode(bands, planar=True))) == ImageSize(
        9, 7, 3 * np.dtype(dtype).itemsize
    )


@given(st.sampled_from(["jpeg", "webp", "lerc", "jpegxl"]), st.binary(max_size=80), st.integers(0, 3))
def test_whatever_stands_there(codec, data, start):
    begins = {
        "jpeg": b"\xff\xd8\xff",
        "webp": b"RIFF1234WEBPVP8",
        "lerc": b"Lerc2 \4\0\0\0",
        "jpegxl": b"\0\0\0\x0cJXL ",
    }
    size = read_size(codec, (begins[codec] if start else b"") + data)
    assert size is None or isinstance(size, ImageSize)


@given(st.binary(max_size=20), st.integers(0, 4), st.integers(0, 17))
def test_frames_that_end_early(tail, count, cut):
    """What components say of their sampling is compared as far as it is there."""
    head = (b"\xff\xd8\xff\xc0\0\x11\x08\0\x08\0\x08" + bytes([count]) + b"\1\x22\0" * count)[: 21 - cut]
    check_sampling(head)
    try:
        check_sampling(head + tail)
    except FormatError as error:
        assert "sampled differently" in error.message


@pytest.mark.parametrize("extra", [0, 1, 2, 17, 18, 40])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("options", [{}, {"usecontainer": True}, {"lossless": False, "distance": 1.0}])
def test_extra_channels_of_jpegxl(extra, dtype, options):
    bands = np.zeros((1 + extra, 16, 24), dtype)
    data = bytes(imagecodecs.jpegxl_encode(bands, planar=True, photometric="gray", **({"lossless": True} | options)))
    assert imagecodecs.jpegxl_decode(data, index=0).size == bands.size
    assert read_size("jpegxl", data) == ImageSize(16, 24, (1 + extra) * np.dtype(dtype).itemsize)
    check_size("jpegxl", data, 24, bands[:, 0, 0].nbytes)
    if extra:
        with pytest.raises(FormatError, match=f"pixels of {bands[:, 0, 0].nbytes} bytes"):
            check_size("jpegxl", data, 24, np.dtype(dtype).itemsize)


def in_parts(stream, *places):
    """A container of JPEG XL whose codestream is cut at some places."""
    signature = bytes.fromhex("0000000c4a584c200d0a870a") + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    parts = [stream[a:b] for a, b in itertools.pairwise((0, *places, len(stream)))]
    last = len(parts) - 1
    boxes = [struct.pack(">I4sI", 12 + len(p), b"jxlp", i | (i == last) << 31) + p for i, p in enumerate(parts)]
    return signature + b"".join(boxes)


@pytest.mark.parametrize("places", [(), (3,), (2, 4, 5)])
def test_codestreams_of_jpegxl_in_parts(places):
    data = bytes(imagecodecs.jpegxl_encode(np.zeros((9, 37, 52), "u2"), planar=True, lossless=True))
    stream = data[data.index(b"\xff\x0a") :]  # in its last box, if it is in any
    data = in_parts(stream, *places)
    assert imagecodecs.jpegxl_decode(data, index=0).shape[-2:] in {(37, 52), (52, 9)}
    assert read_size("jpegxl", data) == read_size("jpegxl", stream)


def test_animations_of_jpegxl():
    frames = np.zeros((3, 37, 52, 3), "u1")
    data = bytes(imagecodecs.jpegxl_encode(frames, photometric="rgb", lossless=True))
    assert read_size("jpegxl", data) == ImageSize(37, 52, 1)


def of_scans(count):
    """A JPEG of 8 x 8 pixels that has its scan so many times."""
    data = bytes(imagecodecs.jpeg8_encode(pixels(8, 8, 1)[..., 0]))
    at = data.index(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def test_jpegs_of_very_many_scans():
    check_size("jpeg", of_scans(100), 8, 1)
    with pytest.raises(LimitExceeded, match="101 scans, more than 100"):
        check_size("jpeg", of_scans(101), 8, 1)


def test_what_is_refused():
    data = bytes(imagecodecs.jpegxl_encode(pixels(37, 52)))
    check_size("jpegxl", data, 52, 3)
    with pytest.raises(FormatError, match="37 x 52 pixels, not of 51 columns"):
        check_size("jpegxl", data, 51, 3)
    with set_options(max_chunk_bytes=37 * 52 * 3 - 1), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        check_size("jpegxl", data, 52, 3)
