"""Header bytes: right, read once, and within their allowance."""

import random

import pytest

import scichunk
from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources.memory import BytesSource
from scichunk.sources.read_ahead import HeaderReader
from scichunk.testing import CountingSource

DATA = random.Random(1).randbytes(1 << 20)
HEAD = 1 << 16


@pytest.fixture
def source():
    return CountingSource(BytesSource(DATA))


def test_the_first_bytes_are_read_once(source):
    reader = HeaderReader(source)
    reads = source.reads
    for start, stop in ((0, 8), (100, 5000), (HEAD - 1, HEAD), (0, HEAD)):
        assert bytes(reader.get(start, stop)) == DATA[start:stop]
    assert source.reads == reads


def test_windows_are_right_and_are_read_once(source):
    reader, rng = HeaderReader(source), random.Random(2)
    wanted = [(start, start + rng.randrange(1, 40_000)) for start in (rng.randrange(900_000) for _ in range(200))]
    for start, stop in wanted:
        assert bytes(reader.get(start, stop)) == DATA[start:stop]
    reads = source.reads
    for start, stop in wanted:
        assert bytes(reader.get(start, stop)) == DATA[start:stop]
    assert source.reads == reads


def test_neighbours_come_with_one_read(source):
    reader = HeaderReader(source)
    reader.get(500_000, 500_010)
    reads = source.reads
    for start in range(500_000, 510_000, 12):
        assert bytes(reader.get(start, start + 12)) == DATA[start : start + 12]
    assert source.reads == reads


def test_the_end_of_the_file(source):
    reader = HeaderReader(source)
    assert bytes(reader.get(len(DATA) - 3, len(DATA))) == DATA[-3:]
    assert bytes(reader.get(len(DATA), len(DATA))) == b""
    for start, stop in ((len(DATA) - 3, len(DATA) + 1), (-1, 4), (len(DATA) + 5, len(DATA) + 9), (1 << 62, 1 << 63)):
        with pytest.raises(FormatError, match=r"outside the file.*bytes:"):
            reader.get(start, stop)


def test_short_files():
    for size in (0, 1, 100):
        reader = HeaderReader(BytesSource(DATA[:size]))
        assert bytes(reader.get(0, size)) == DATA[:size]
        with pytest.raises(FormatError, match=f"outside the file of {size} bytes"):
            reader.get(0, size + 1)


def test_the_allowance_bounds_what_is_asked_for():
    with scichunk.options.set(max_header_bytes=200_000):
        source = CountingSource(BytesSource(DATA))
        reader = HeaderReader(source)
        with pytest.raises(LimitExceeded, match=r"200000 bytes \(options.max_header_bytes\)"):
            reader.get(100_000, 400_000)
        with pytest.raises(LimitExceeded, match="max_header_bytes"):
            for start in range(100_000, 1_000_000, 50_000):
                reader.get(start, start + 40_000)
    assert source.nbytes < 200_000 + 2 * HEAD


def test_what_is_read_ahead_does_not_count():
    with scichunk.options.set(max_header_bytes=100_000):
        reader = HeaderReader(BytesSource(DATA))
        for start in range(HEAD, 1_000_000, 20_000):
            assert bytes(reader.get(start, start + 100)) == DATA[start : start + 100]
