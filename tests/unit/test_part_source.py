"""Files within other files, read where they lie."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.core import registry
from scichunk.core.selection import Span
from scichunk.errors import FormatError
from scichunk.sources import ByteSource, PartSource, locate

DATA = Path(__file__).parents[2] / "test_data"
BEFORE, BEHIND = b"container" * 1000, b"rest" * 500


@pytest.fixture
def container(tmp_path):
    def make(name):
        inner = (DATA / name).read_bytes()
        path = tmp_path / "container.bin"
        path.write_bytes(BEFORE + inner + BEHIND)
        return locate(str(path)), len(BEFORE), len(BEFORE) + len(inner)

    return make


@pytest.mark.parametrize(
    ("name", "format_name", "selectors"),
    [
        ("scene_deflate.tif", "geotiff", {}),
        ("bgr.jp2", "jpeg2000", {}),
        ("exposure.fits", "fits", {"hdu": 1}),
    ],
)
def test_a_file_within_a_file(container, name, format_name, selectors):
    location, start, stop = container(name)
    file = registry.get_format(format_name).open_file(location, source=PartSource(location.open(), start, stop))
    place, _ = file.find_array(**selectors)
    array = file.array(place)
    want = scichunk.from_file(str(DATA / name), **selectors).compute()
    np.testing.assert_array_equal(array.read([Span(0, n, 1) for n in array.shape]), want)
    file.close()


def test_ranges_count_from_its_first_byte(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    source = PartSource(locate(str(path)).open(), 2, 8)
    assert isinstance(source, ByteSource)
    assert source.fingerprint.size == 6
    assert bytes(source.head()) == b"234567"
    assert [bytes(v) for v in source.read_ranges([0, 4], [2, 6])] == [b"23", b"67"]
    assert [bytes(v) for v in asyncio.run(source.read_ranges_async([1], [3]))] == [b"34"]
    with scichunk.options.set(head_bytes=4):
        far = PartSource(locate(str(path)).open(), 5, 10)
        assert bytes(far.head()) == b"5678"
    for start, stop in ((0, 7), (-1, 3), (4, 2)):
        with pytest.raises(FormatError, match="outside"):
            source.read_ranges([start], [stop])


@pytest.mark.parametrize(("start", "stop"), [(0, 11), (-1, 5), (6, 5)])
def test_it_lies_within_the_file(tmp_path, start, stop):
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    with pytest.raises(FormatError, match="outside"):
        PartSource(locate(str(path)).open(), start, stop)


def test_two_stretches_are_two_identities(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    source = locate(str(path)).open()
    assert len({PartSource(source, 0, 4).key, PartSource(source, 4, 8).key, source.key}) == 3
