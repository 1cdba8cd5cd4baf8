"""Reduced images of local files without PLT: the packets of low resolutions alone where a table of their walk serves for many tiles."""

import numpy as np
import pytest

import scichunk
from scichunk.codecs.jpeg2000 import tile_packets
from scichunk.sources.local import LocalSource
from tests.jpeg2000_files import decode, encode, texture


@pytest.fixture
def fetched(monkeypatch):
    """Lengths of what is read of local files."""
    found = []
    fill = LocalSource._fill_view

    def count(source, file, view, start):
        found.append(len(view))
        fill(source, file, view, start)

    monkeypatch.setattr(LocalSource, "_fill_view", count)
    return found


@pytest.mark.parametrize("order, layers", [("LRCP", 1), ("RLCP", 2), ("RPCL", 2)])
@pytest.mark.parametrize("offset", [(0, 0), (13, 7)])
def test_the_packets_of_low_resolutions_alone(order, layers, offset, tmp_path, monkeypatch, fetched):
    planes = [texture((520, 700), seed=i) for i in range(2)]
    data = encode(planes, order=order, layers=layers, tile=(256, 256), levels=4, offset=offset)
    path = tmp_path / "tiles.j2k"
    path.write_bytes(data)
    for reduce in range(1, 5):
        wanted = np.stack(decode(data, reduce))
        for quick in (True, False):
            monkeypatch.setattr(tile_packets, "can_walk_at_once", lambda quick=quick: quick)
            scichunk.clear_caches()
            array = scichunk.from_jpeg2000(path, reduce=reduce)
            fetched.clear()
            np.testing.assert_array_equal(array.compute(), wanted)
            part = sum(fetched) / len(data)
            assert part > 0.9 if not quick else part < (0.8, 0.5, 0.4, 0.4)[reduce - 1]


def test_tiles_of_several_precincts_are_read_as_a_whole(tmp_path, fetched):
    planes = [texture((300, 300))]
    data = encode(planes, tile=(256, 256), levels=3, precincts=((32, 32),))
    path = tmp_path / "tiles.j2k"
    path.write_bytes(data)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(path, reduce=1).compute(), decode(data, 1))
    assert sum(fetched) > 0.9 * len(data)
