"""Requests, counted on a loopback server with 50 ms latency."""

import asyncio
import pickle
from pathlib import Path

import fsspec.asyn
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.io import MemoryFile
from rasterio.shutil import copy

import scichunk
from scichunk import errors
from scichunk.core.cache import files
from scichunk.formats.geotiff.array_ids import PageId
from scichunk.testing import RangeServer
from tests.votable_docs import doc

SIDE, TILE = 2048, 256
SCENE = Path(__file__).parents[2] / "test_data" / "scene_deflate.tif"


@pytest.fixture(scope="module")
def cog():
    """A COG of 64 tiles of about 100 kB, and its pixels."""
    pixels = np.random.default_rng(0).integers(0, 4000, (1, SIDE, SIDE), "u2")
    with MemoryFile() as memory, MemoryFile() as out:
        with memory.open(
            driver="GTiff",
            count=1,
            height=SIDE,
            width=SIDE,
            dtype="uint16",
            crs="EPSG:32633",
            transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
        ) as ds:
            ds.write(pixels)
        copy(memory.name, out.name, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=TILE, PREDICTOR=2)
        return out.read(), pixels


@pytest.fixture
def server(cog):
    files.clear()
    with RangeServer({"cog.tif": cog[0], "empty.tif": b"", "scene.tif": SCENE.read_bytes()}, latency=0.05) as running:
        yield running


def tile_bytes(server, chunks):
    from scichunk.core.handles import open_file
    from scichunk.sources import locate

    source = open_file("geotiff", locate(server.url("cog.tif"))).array(PageId(0))
    return [int(source.index.lengths[n]) for n in chunks]


def test_open_is_one_request(server):
    scichunk.from_geotiff(server.url("cog.tif"))
    assert server.requests == 1
    files.clear()
    server.reset()
    xr.open_dataset(server.url("cog.tif"), engine="geotiff", chunks={})
    assert server.requests == 1
    assert all(r.method == "GET" for r in server.log)


def test_a_tile_is_one_request(server, cog):
    array = scichunk.from_geotiff(server.url("cog.tif"), chunks="native")
    wanted = tile_bytes(server, [9 + 2 * 8])[0]
    server.reset()
    np.testing.assert_array_equal(
        array[:, 3 * TILE : 4 * TILE, TILE : 2 * TILE], cog[1][:, 3 * TILE : 4 * TILE, TILE : 2 * TILE]
    )
    assert server.requests == 1
    assert server.bytes_sent <= 1.1 * wanted


def test_a_chunk_is_one_concurrent_batch_without_waste(server, cog):
    array = scichunk.from_geotiff(server.url("cog.tif"), chunks=(1, 1024, 1024))
    wanted = sum(tile_bytes(server, [8 * r + c for r in range(4) for c in range(4)]))
    server.reset()
    np.testing.assert_array_equal(array[:, :1024, :1024], cog[1][:, :1024, :1024])
    assert server.requests <= 4
    assert server.max_concurrent == server.requests
    assert server.bytes_sent <= 1.1 * wanted


def test_everything_and_again_without_requests_for_headers(server, cog):
    array = scichunk.from_geotiff(server.url("cog.tif"), chunks=(1, 1024, 1024))
    np.testing.assert_array_equal(array.compute(scheduler="threads"), cog[1])
    assert not [r for r in server.log[1:] if r.start == 0]


def test_reads_are_asynchronous(server, cog):
    ds = xr.open_dataset(server.url("cog.tif"), engine="geotiff", mask_and_scale=False)

    async def load():
        parts = [ds["band_data"][:, r : r + 256, :256].load_async() for r in range(0, 2048, 256)]
        return await asyncio.gather(*parts)

    server.reset()
    found = asyncio.run(load())
    assert server.max_concurrent >= 8
    np.testing.assert_array_equal(np.concatenate([f.values for f in found], axis=1), cog[1][:, :, :256])


@pytest.mark.parametrize("faults", [["503"], ["drop"], ["short"], ["500", "429", "short"]])
def test_transient_failures_are_retried(server, cog, faults):
    array = scichunk.from_geotiff(server.url("cog.tif"), chunks="native")
    with scichunk.options.set(retry_wait=0.01):
        server.fail(*faults)
        np.testing.assert_array_equal(array[:, :TILE, :TILE], cog[1][:, :TILE, :TILE])
        files.clear()
        server.fail(*faults)
        scichunk.from_geotiff(server.url("cog.tif"))


def test_lasting_failures_name_url_and_range(server):
    array = scichunk.from_geotiff(server.url("cog.tif"), chunks="native")
    with scichunk.options.set(retry_wait=0.001, retries=2):
        server.fail(*["503"] * 10)
        with pytest.raises(errors.SourceError, match=r"503.*cog\.tif.*bytes \d+ to \d+.*3 times"):
            array[:, 1000, 1000].compute()


@pytest.mark.parametrize("status", ["403", "401", "400"])
def test_refusals_are_not_retried(server, status):
    server.fail(status)
    with pytest.raises(errors.SourceError, match=status):
        scichunk.from_geotiff(server.url("cog.tif"))
    assert server.requests == 1


def test_missing_and_empty(server):
    with pytest.raises(FileNotFoundError):
        scichunk.from_geotiff(server.url("nothing.tif"))
    with pytest.raises(errors.FormatError):
        scichunk.from_geotiff(server.url("empty.tif"))


def test_a_file_that_changes_on_the_server(server):
    array = scichunk.from_geotiff(server.url("cog.tif"))
    server.files["cog.tif"] = server.files["cog.tif"][:-1] + b"x"
    with pytest.raises(errors.SourceError, match="changed"):
        array[:, :2000, :2000].compute()


def test_a_server_without_ranges(server):
    server.ignore_ranges = True
    with rasterio.open(SCENE) as ds:
        np.testing.assert_array_equal(scichunk.from_geotiff(server.url("scene.tif")), ds.read())


def test_nothing_is_probed_beside_the_file(server):
    scichunk.open(server.url("scene.tif"))
    assert {r.path for r in server.log} == {"scene.tif"}


def test_a_star_in_a_query_is_no_pattern(tmp_path):
    table = doc("<TR><TD>1</TD></TR>", '<FIELD name="a" datatype="int"/>').encode()
    with RangeServer({"sync": table}) as server:
        url = server.url("sync") + "?LANG=ADQL&QUERY=SELECT+*+FROM+t"
        for frame in (scichunk.read_votable(url), scichunk.read_table(url), scichunk.read_table([url])):
            assert frame.compute().a.tolist() == [1]
        assert scichunk.open_stack(url, dim="answer").a.values.tolist() == [[1]]
        assert scichunk.save_index(url, tmp_path / "x.parquet") == 1


def test_no_server():
    with scichunk.options.set(retries=1), pytest.raises(errors.SourceError):
        scichunk.from_geotiff("http://127.0.0.1:9/none.tif")


def test_a_whole_file_comes_once_where_ranges_are_served_no_more(cog, server, monkeypatch):
    """The many requests of a batch would hold as many copies of it."""
    from scichunk.sources import http

    own, sizes = http._read_body, []

    async def read_body(answer, most):
        found = await own(answer, most)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(http, "_read_body", read_body)
    data, pixels = cog
    with scichunk.options.set(range_gap=0, range_max=1):
        array = scichunk.from_geotiff(server.url("cog.tif"), chunks=(1, SIDE, SIDE))
        sizes.clear()
        server.ignore_ranges = True
        np.testing.assert_array_equal(array.compute(scheduler="synchronous"), pixels)
    assert sizes == [len(data)]


@pytest.mark.parametrize("validators", ["strong", "none"])
@pytest.mark.parametrize("kept", [0, 3, 5000])
def test_a_body_without_a_length_that_is_cut_at_the_opening(validators, kept):
    """Its end looks like that of a whole one; what has come is no head of the file."""
    data = SCENE.read_bytes()

    def alter(request, reply):
        if server.requests == 0:
            told = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
            reply.raw = f"HTTP/1.0 206 x\r\n{told}\r\n".encode() + reply.body[:kept]

    with (
        RangeServer({"a.tif": data}, validators=validators, alter=alter) as server,
        scichunk.options.set(retry_wait=0.01),
    ):
        array = scichunk.from_geotiff(server.url("a.tif"))
        travelled = pickle.loads(pickle.dumps(array))
        files.clear()
        np.testing.assert_array_equal(travelled, scichunk.from_geotiff(SCENE))
    assert server.log[0].status == 206


def test_a_read_in_the_thread_of_the_event_loop(server):
    """It would wait for itself, and with it all other reads of the process."""

    async def read():
        return scichunk.from_geotiff(server.url("cog.tif"))

    future = asyncio.run_coroutine_threadsafe(read(), fsspec.asyn.get_loop())
    with pytest.raises(errors.SourceError, match="read in another thread"):
        future.result(20)
    assert scichunk.from_geotiff(server.url("cog.tif")).shape == (1, SIDE, SIDE)
