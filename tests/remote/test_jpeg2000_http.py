"""JPEG 2000 over a server of this machine: requests and bytes counted."""

import numpy as np
import pytest

import scichunk
from scichunk.core.cache import files, tiles
from scichunk.core.handles import open_file
from scichunk.errors import SourceError
from scichunk.sources import locate
from scichunk.testing import RangeServer
from tests.jpeg2000_files import decode, encode, texture

SIDE = 1200


@pytest.fixture(scope="module")
def data():
    plane = texture((SIDE, SIDE), 12)
    marked = encode(
        [plane], bits=12, tile=(150, 150), levels=4, plt=True, tlm=True, order="RPCL", precincts=((64, 64),)
    )
    plain = encode([plane], bits=12, tile=(150, 150), levels=4, precincts=((64, 64),))
    single = encode([plane], bits=12, levels=4, plt=True, order="PCRL", precincts=((128, 128),))
    return {"marked": marked, "plain": plain, "single": single, "plane": plane}


@pytest.fixture
def server(data):
    files.clear()
    tiles.clear()
    with RangeServer({k: v for k, v in data.items() if k != "plane"}) as found:
        yield found


def test_one_request_opens_one_reads_a_tile(server, data):
    array = scichunk.from_jpeg2000(server.url("marked"))
    assert server.requests == 1
    server.reset()
    np.testing.assert_array_equal(array[0, 300:450, 600:750].compute(), data["plane"][300:450, 600:750])
    assert server.requests == 1
    server.reset()
    np.testing.assert_array_equal(array[0, 305:440, 610:700].compute(), data["plane"][305:440, 610:700])
    assert server.requests <= 3


def test_reduced_images_cost_what_they_weigh(server, data):
    total = len(data["marked"])
    sent = []
    with scichunk.options.set(range_gap=0):
        for reduce in (4, 3, 1):
            files.clear()
            server.reset()
            got = scichunk.from_jpeg2000(server.url("marked"), reduce=reduce).compute()
            np.testing.assert_array_equal(got[0], decode(data["marked"], reduce)[0])
            sent.append(server.bytes_sent - 65536)
    assert sent[0] < sent[2] < total
    assert sent[0] < 0.45 * total  # the tiles are small: a header read of each is most of it


def test_window_of_one_large_tile(server, data):
    array = scichunk.from_jpeg2000(server.url("single"))
    server.reset()
    np.testing.assert_array_equal(array[0, 500:600, 700:800].compute(), data["plane"][500:600, 700:800])
    assert server.bytes_sent < 0.35 * len(data["single"])
    server.reset()
    np.testing.assert_array_equal(array[0, 100:200, 900:1000].compute(), data["plane"][100:200, 900:1000])
    assert server.requests <= 12


def test_without_tlm_chains_find_all_tile_parts(server, data):
    file = open_file("jpeg2000", locate(server.url("plain")))
    server.reset()
    parts = file.parts.get()
    local = open_file("jpeg2000", locate(data["plain"])).parts.get()
    assert parts.found == local.found == "tile-parts"
    assert parts.complete
    np.testing.assert_array_equal(parts.starts, local.starts)
    np.testing.assert_array_equal(parts.stops, local.stops)
    array = scichunk.from_jpeg2000(server.url("plain"))
    server.reset()
    np.testing.assert_array_equal(array[0, :150, :150].compute(), data["plane"][:150, :150])
    assert server.requests == 0 or server.bytes_sent < 60_000


def test_false_marks_do_no_harm(data):
    """A comment that holds what looks like a tile-part."""
    plain = data["plain"]
    false = b"\xff\x90\0\x0a\0\5\0\0\1\0\0\1" * 3000
    comment = b"\xff\x64" + (4 + len(false)).to_bytes(2, "big") + b"\0\0" + false
    start = plain.index(b"\xff\x90")
    made = plain[:start] + comment + plain[start:]
    files.clear()
    with RangeServer({"a": made}) as server:
        parts = open_file("jpeg2000", locate(server.url("a"))).parts.get()
        assert len(parts.starts) == 64
        np.testing.assert_array_equal(
            scichunk.from_jpeg2000(server.url("a"))[0, -99:, -99:].compute(), data["plane"][-99:, -99:]
        )


def test_failures_are_tried_again_and_changes_noticed(server, data):
    array = scichunk.from_jpeg2000(server.url("marked"))
    server.fail("503", "short")
    np.testing.assert_array_equal(array[0, 300:450, 600:750].compute(), data["plane"][300:450, 600:750])
    server.files["marked"] = data["plain"]
    with pytest.raises(SourceError, match="changed"):
        array[0, 900:1050, 600:750].compute()
