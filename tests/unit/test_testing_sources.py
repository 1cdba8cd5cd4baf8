"""The sources that tests of formats use: they count, and fail, what they say."""

import asyncio

import pytest

from scichunk.errors import SourceError
from scichunk.sources.memory import BytesSource
from scichunk.testing import CountingSource, FlakySource


def test_reads_ranges_and_bytes_are_counted():
    source = CountingSource(BytesSource(b"0123456789"))
    assert [bytes(v) for v in source.read_ranges([0, 4], [2, 9])] == [b"01", b"45678"]
    assert [bytes(v) for v in asyncio.run(source.read_ranges_async([9], [10]))] == [b"9"]
    assert (source.reads, source.ranges, source.nbytes) == (2, [(0, 2), (4, 9), (9, 10)], 8)
    assert source.fingerprint == BytesSource(b"0123456789").fingerprint


def test_a_source_fails_after_some_reads_and_stays_so():
    source = FlakySource(BytesSource(b"0123456789"), fail_after=2)
    assert bytes(source.head()) == b"0123456789"
    assert bytes(source.read_ranges([0], [1])[0]) == b"0"
    for _ in range(2):
        with pytest.raises(SourceError):
            source.read_ranges([0], [1])
        with pytest.raises(SourceError):
            asyncio.run(source.read_ranges_async([0], [1]))


def test_a_source_fails_with_what_is_given():
    with pytest.raises(OSError, match="unplugged"):
        FlakySource(BytesSource(b"0"), error=OSError("unplugged")).read_ranges([0], [1])
