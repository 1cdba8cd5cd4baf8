"""Small tiles that are decoded together: the same values, and the same errors, as of each by itself (T.800, B.3)."""

import random
import weakref
from collections import Counter

import numpy as np
import pytest

from scichunk.adapters.opening import open_any
from scichunk.codecs.jpeg2000 import openjpeg
from scichunk.codecs.jpeg2000.codec import JPEG2000Codec
from scichunk.core.cache import files, tiles
from scichunk.core.selection import Span
from scichunk.errors import FormatError, ScichunkError
from scichunk.formats.jpeg2000.array_ids import ImageId
from tests.jpeg2000_files import decode, encode, texture

together = JPEG2000Codec.decode_run


def read(data, reduce=0, window=None):
    files.clear()
    tiles.clear()
    array = open_any("jpeg2000", data).file.array(ImageId(reduce=reduce))
    return array.read([Span(0, array.shape[0]), *(window or [Span(0, n) for n in array.shape[1:]])])


def outcome(data, reduce=0):
    """Values, or what is said of the file."""
    try:
        return read(data, reduce).tolist()
    except ScichunkError as error:
        return type(error), str(error)


@pytest.fixture
def runs(monkeypatch):
    """How often tiles were decoded together, by whether it went well."""
    counts = Counter()

    def count(codec, numbers, data, out):
        done = together(codec, numbers, data, out)
        counts[done] += 1
        return done

    monkeypatch.setattr(JPEG2000Codec, "decode_run", count)
    return counts


def one_by_one(monkeypatch):
    monkeypatch.setattr(JPEG2000Codec, "decode_run", lambda *_: False)


# Not any sizes: OpenJPEG's encoder writes beyond its memory once in some thousand images of many small tiles.
@pytest.mark.parametrize("order, plt", [("LRCP", False), ("RPCL", True)])
@pytest.mark.parametrize(
    "shape, tile, offset, tile_offset, count",
    [
        ((64, 120), (32, 32), (0, 0), (0, 0), 1),
        ((50, 97), (24, 16), (0, 0), (0, 0), 3),
        ((33, 101), (32, 24), (7, 5), (3, 2), 2),
        ((20, 70), (16, 16), (13, 9), (12, 8), 1),
        ((1, 90), (16, 16), (0, 3), (0, 0), 1),
    ],
)
@pytest.mark.parametrize("reduce", [0, 1, 2, 3])
def test_values(shape, tile, offset, tile_offset, count, order, plt, reduce):
    planes = [texture(shape, seed=i) for i in range(count)]
    data = encode(planes, tile=tile, offset=offset, tile_offset=tile_offset, order=order, plt=plt)
    whole = decode(data)
    np.testing.assert_array_equal(read(data), np.stack(whole))
    found = outcome(data, reduce)
    with pytest.MonkeyPatch.context() as patch:
        one_by_one(patch)
        assert found == outcome(data, reduce)


def test_are_decoded_together(runs):
    data = encode([texture((64, 130))], tile=(32, 32))
    np.testing.assert_array_equal(read(data)[0], decode(data)[0])
    assert runs == {True: 2}
    part = read(data, window=[Span(0, 64), Span(16, 100)])  # of the first and the last only a part
    np.testing.assert_array_equal(part[0], decode(data)[0][:, 16:100])
    assert runs == {True: 4}


def test_of_several_tile_parts(runs):
    data = encode(
        [texture((64, 128))], tile=(64, 64), parts="R"
    )  # OpenJPEG writes beyond its memory where tiles are smaller
    np.testing.assert_array_equal(read(data)[0], decode(data)[0])
    np.testing.assert_array_equal(read(data, 1)[0], decode(data, 1)[0])
    assert runs[True]


def test_of_some_components(runs):
    planes = [texture((32, 64), seed=i) for i in range(3)]
    data = encode(planes, tile=(16, 16))
    files.clear()
    array = open_any("jpeg2000", data).file.array(ImageId())
    np.testing.assert_array_equal(array.read([Span(1, 2), Span(0, 32), Span(0, 64)])[0], planes[1])
    assert not runs[True]


@pytest.mark.parametrize("part", [10, 11, 4, 6, 0])
def test_tile_parts_that_do_not_add_up(runs, monkeypatch, part):
    """Of a TPsot, TNsot, tile number, length or marker that is wrong, a single tile says what it always did."""
    data = bytearray(encode([texture((32, 96))], tile=(32, 32)))
    second = data.index(b"\xff\x90\0\x0a\0\x01")
    data[second + part] ^= 7
    found = outcome(bytes(data))
    one_by_one(monkeypatch)
    assert found == outcome(bytes(data))


@pytest.mark.parametrize("marker", [b"\xff\x92", b"\xff\x91", b"\xff\x6f"])
def test_unknown_segments_of_the_main_header(runs, monkeypatch, marker):
    """OpenJPEG would go on at what it takes for the next marker, and may come out behind the first tile: it is not shown them."""
    sound = encode([texture((32, 96))], tile=(32, 32))
    at = sound.index(b"\xff\x90\0\x0a")
    data = sound[:at] + marker + b"\0\x08\xff\x90\0\x0a\0\1" + sound[at:]
    found = outcome(data)
    assert runs[True]
    assert found == outcome(sound)
    one_by_one(monkeypatch)
    assert found == outcome(data)


def test_markers_without_parameters_in_the_main_header():
    """What follows one must be a marker (T.800, A.1)."""
    sound = encode([texture((32, 96))], tile=(32, 32))
    at = sound.index(b"\xff\x90\0\x0a")
    assert outcome(sound[:at] + b"\xff\x30" + sound[at:]) == outcome(sound)
    found = outcome(sound[:at] + b"\xff\x30\0\x08\xff\x90\0\x0a\0\1" + sound[at:])
    assert found[0] is FormatError


def test_tiles_that_are_lost_are_counted():
    data = encode([texture((32, 96))], tile=(32, 32))
    first = data.index(b"\xff\x90\0\x0a\0\0")
    second = data.index(b"\xff\x90\0\x0a\0\1")
    lost = data[:first] + data[second:]
    with openjpeg.decode_codestream(lost, lambda _: (32, 96), 1) as planes:
        assert not planes[0][:, :32].any()
    with (
        pytest.raises(FormatError, match="2 tiles of 3"),
        openjpeg.decode_codestream(lost, lambda _: (32, 96), 1, tiles=3),
    ):
        pass
    with openjpeg.decode_codestream(data, lambda _: (32, 96), 1, tiles=3) as planes:
        assert planes[0][:, :32].any()


def test_a_codestream_in_pieces_of_any_length():
    data = encode([texture((150, 130), 12)], bits=12, tile=(64, 64), plt=True)
    with openjpeg.decode_codestream(data, lambda _: (150, 130), 1) as planes:
        want = planes[0].copy()
    rng = random.Random(8)
    for count in (1, 2, 5, 40, 400, len(data)):
        cuts = sorted(rng.randint(0, len(data)) for _ in range(count))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]  # empty ones among them
        pieces[::3] = map(memoryview, pieces[::3])
        with openjpeg.decode_codestream(pieces, lambda _: (150, 130), 1) as planes:
            np.testing.assert_array_equal(planes[0], want)
    for nothing in (b"", [], [b"", b""]):
        with pytest.raises(FormatError), openjpeg.decode_codestream(nothing, lambda _: (150, 130), 1):
            pass


def test_damaged_tiles(monkeypatch):
    sound = encode([texture((48, 96), seed=i) for i in range(2)], tile=(24, 24), layers=2, plt=True)
    rng = random.Random(5)
    start, outcomes = sound.index(b"\xff\x90"), Counter()
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            data[rng.choice([rng.randrange(start, len(data)), start + rng.randrange(12)])] = rng.randrange(256)
        reduce = rng.randrange(3)
        found = outcome(bytes(data), reduce)
        with monkeypatch.context() as patch:
            one_by_one(patch)
            assert found == outcome(bytes(data), reduce)
        outcomes[type(found)] += 1
    assert min(outcomes[list], outcomes[tuple]) > 10


def test_a_thread_does_not_keep_what_it_has_decoded():
    data = np.frombuffer(encode([texture((32, 32))]), np.uint8).copy()
    kept = weakref.ref(data)
    with openjpeg.decode_codestream([memoryview(data)], lambda _: (32, 32), 1):
        assert kept() is not None
    del data
    assert kept() is None
