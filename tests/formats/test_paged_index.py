"""Places of very many tiles stay in the file: a window fetches the pages of the index that it needs, and reads what it would read anyway."""

import asyncio
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.core.paged import PagedTable
from scichunk.errors import FormatError, SourceError
from scichunk.sources.memory import BytesSource
from scichunk.testing import RangeServer

DATA = Path(__file__).parents[2] / "test_data"
FILES = sorted(DATA.glob("*.tif"))
TILES, TILE = 150, 16
"""Offsets of 8 bytes fill three pages of 64 KiB, byte counts of 2 bytes one."""
OFFSETS, COUNTS = 324, 325


@pytest.fixture
def paged():
    """Every index is read in pages."""
    scichunk.clear_caches()
    with scichunk.options.set(paged_index_bytes=0):
        yield


def write_mosaic(path, pixels, **how):
    profile = {
        "driver": "GTiff",
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
    }
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "BIGTIFF": "YES", "compress": "deflate"}
    with rasterio.open(path, "w", **profile | how) as file:
        file.write(pixels)
    return path


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A file of 22,500 tiles, and its pixels."""
    pixels = np.random.default_rng(0).integers(0, 9, (1, TILES * TILE, TILES * TILE)).astype("u1")
    return write_mosaic(tmp_path_factory.mktemp("paged") / "mosaic.tif", pixels), pixels


def find_table(data, code):
    """(first byte, bytes of a value) of the values of a tag of the first directory of a little-endian BigTIFF."""
    first = int.from_bytes(data[8:16], "little")
    for i in range(int.from_bytes(data[first : first + 8], "little")):
        entry = data[first + 8 + 20 * i : first + 28 + 20 * i]
        if int.from_bytes(entry[:2], "little") == code:
            return int.from_bytes(entry[12:], "little"), {3: 2, 4: 4, 16: 8}[int.from_bytes(entry[2:4], "little")]
    raise AssertionError(code)


def page_requests(server, data):
    """Ranges of requests that lie in the tables of the index."""
    bounds = []
    for code in (OFFSETS, COUNTS):
        start, size = find_table(data, code)
        bounds.append((start, start + size * TILES * TILES))
    return [(r.start, r.stop) for r in server.log if any(a <= r.start < b for a, b in bounds)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_equal_to_an_index_read_at_once(path):
    def read():
        scichunk.clear_caches()
        array = scichunk.from_geotiff(path, chunks="native")
        window = array[:, 5:70:3, 10:41]
        points = array.vindex[[0, 0, 0], [3, 29, 20], [7, 31, 0]]
        return [np.asarray(a.compute(scheduler="sync")) for a in (array, window, points)], str(scichunk.info(path))

    at_once = read()
    with scichunk.options.set(paged_index_bytes=0):
        in_pages = read()
    for one, other in zip(at_once[0], in_pages[0], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert at_once[1] == in_pages[1]


@pytest.mark.parametrize(
    "how", [{}, {"ENDIANNESS": "BIG"}, {"compress": None}, {"interleave": "band"}, {"BIGTIFF": "NO"}]
)
def test_layouts(how, tmp_path, paged):
    pixels = np.random.default_rng(1).integers(0, 4000, (3, 200, 333)).astype("u2")
    path = write_mosaic(tmp_path / "a.tif", pixels, **how)
    array = scichunk.from_geotiff(path, chunks={"band": 3, "y": 64, "x": 64})
    np.testing.assert_array_equal(array.compute(), pixels)
    assert scichunk.info(path).arrays[0].reader == "indexed"
    with scichunk.options.set(cached_tile_bytes=0):
        scichunk.clear_caches()
        np.testing.assert_array_equal(scichunk.from_geotiff(path)[:, 30:99, ::7].compute(), pixels[:, 30:99, ::7])


def test_absent_tiles(tmp_path, paged):
    path = tmp_path / "sparse.tif"
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": 160,
        "width": 160,
        "dtype": "uint8",
        "nodata": 7,
        "sparse_ok": True,
    }
    with rasterio.open(path, "w", **profile, tiled=True, blockxsize=16, blockysize=16) as file:
        file.write(np.ones((1, 32, 32), "u1"), window=rasterio.windows.Window(16, 16, 32, 32))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), file.read())
    assert scichunk.info(path).arrays[0].notes["absent"] == 96


def test_few_pages_are_fetched_for_a_window(mosaic, paged):
    path, pixels = mosaic
    data = path.read_bytes()
    with RangeServer({"mosaic.tif": data}) as server:
        array = scichunk.from_geotiff(server.url("mosaic.tif"), chunks="native")
        assert page_requests(server, data) == []
        opened = server.requests
        window = np.s_[:, 1190:1210, 1190:1210]
        np.testing.assert_array_equal(array[window].compute(scheduler="sync"), pixels[window])
        pages = page_requests(server, data)
        assert 1 <= len(pages) <= 4  # those of the byte counts may lie in the head of the file
        assert sum(stop - start for start, stop in pages) <= 4 << 16
        assert server.requests - opened <= len(pages) + 4
        server.reset()
        beside = np.s_[:, 1210:1230, 1190:1210]
        np.testing.assert_array_equal(array[beside].compute(scheduler="sync"), pixels[beside])
        assert page_requests(server, data) == []


def test_everything_fetches_each_page_once(mosaic, paged):
    path, pixels = mosaic
    data = path.read_bytes()
    with RangeServer({"mosaic.tif": data}) as server:
        array = scichunk.from_geotiff(server.url("mosaic.tif"))
        np.testing.assert_array_equal(array.compute(scheduler="sync"), pixels)
        pages = page_requests(server, data)
        assert sum(stop - start for start, stop in pages) <= 1.1 * 10 * TILES * TILES


def test_asynchronously(mosaic, paged):
    path, pixels = mosaic
    with RangeServer({"mosaic.tif": path.read_bytes()}) as server:
        found = xr.open_dataset(server.url("mosaic.tif"), engine="geotiff").band_data

        async def read():
            return await asyncio.gather(*(found[:, r : r + 40, 99:200].load_async() for r in range(0, 2400, 400)))

        for r, part in zip(range(0, 2400, 400), asyncio.run(read()), strict=True):
            np.testing.assert_array_equal(part.values, pixels[:, r : r + 40, 99:200])


def test_in_threads(mosaic, paged):
    path, pixels = mosaic
    reader = scichunk.reader(path)
    wrong = []

    def read(seed):
        for y, x in np.random.default_rng(seed).integers(0, TILES * TILE - 50, (60, 2)).tolist():
            if not np.array_equal(reader[:, y : y + 50, x : x + 50], pixels[:, y : y + 50, x : x + 50]):
                wrong.append((y, x))

    with scichunk.options.set(cached_tile_bytes=1 << 17):  # two pages: they leave while others are read
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_what_travels_is_small(mosaic, paged):
    path, pixels = mosaic
    window = scichunk.from_geotiff(path, chunks="native")[:, 32:64, 32:64]
    window.compute(scheduler="sync")
    sent = pickle.dumps(window)
    assert len(sent) < 10_000
    scichunk.clear_caches()
    np.testing.assert_array_equal(pickle.loads(sent).compute(scheduler="sync"), pixels[:, 32:64, 32:64])


def test_memory_is_that_of_pages(mosaic, paged):
    path, _ = mosaic
    scichunk.from_geotiff(path, chunks="native")[:, :32, :32].compute(scheduler="sync")
    assert (
        scichunk.cache_info().total_bytes < 300_000
    )  # the head, and two or three pages, of 225 kB of tables that would be 360 kB


@pytest.mark.parametrize("table", [OFFSETS, COUNTS])
def test_a_damaged_page_names_the_tile_and_others_are_read(table, mosaic, paged):
    path, pixels = mosaic
    data = bytearray(path.read_bytes())
    start, size = find_table(data, table)
    at = start + 3 * TILES * size  # the first tile of the fourth row
    # Places beyond the end of the file, and byte counts of which nothing can be decoded.
    data[at : at + 40 * size] = b"\xff" * (40 * size) if table == OFFSETS else (1).to_bytes(size, "little") * 40
    array = scichunk.from_geotiff(bytes(data), chunks="native")
    with pytest.raises(FormatError, match=f"page 0, tile {3 * TILES}") as caught:
        array[:, 3 * TILE : 4 * TILE, :TILE].compute(scheduler="sync")
    assert caught.value.url
    np.testing.assert_array_equal(array[:, : 3 * TILE, :50].compute(scheduler="sync"), pixels[:, : 3 * TILE, :50])


def test_a_file_that_is_cut_in_its_index(mosaic, paged):
    data = mosaic[0].read_bytes()
    start, size = find_table(data, OFFSETS)
    data = data[: start + 9 * size]
    with pytest.raises(FormatError, match="outside the file") as caught:
        scichunk.from_geotiff(data, chunks="native")[:, :16, :16].compute()
    assert caught.value.url
    with pytest.raises(FormatError, match="outside the file"):
        xr.open_dataset(data, engine="geotiff")


def test_a_file_that_has_changed_since(mosaic, paged):
    data = mosaic[0].read_bytes()
    with RangeServer({"mosaic.tif": data}) as server:
        array = scichunk.from_geotiff(server.url("mosaic.tif"), chunks="native")
        server.files["mosaic.tif"] = data[:-1] + b"x"
        with pytest.raises(SourceError, match="changed"):
            array[:, :16, :16].compute(scheduler="sync")


def test_uncompressed_tiles_of_too_few_bytes(tmp_path, paged):
    pixels = np.arange(64 * 64, dtype="u2").reshape(1, 64, 64)
    data = bytearray(write_mosaic(tmp_path / "a.tif", pixels, compress=None).read_bytes())
    start, size = find_table(data, COUNTS)
    data[start + 5 * size : start + 6 * size] = (100).to_bytes(size, "little")
    array = scichunk.from_geotiff(bytes(data), chunks="native")
    with pytest.raises(FormatError, match=r"too few.*tile 5"):
        array[:, 16:32, 16:32].compute(scheduler="sync")
    np.testing.assert_array_equal(array[:, :16].compute(scheduler="sync"), pixels[:, :16])


def test_a_plan_looks_at_pages(mosaic, paged):
    array = scichunk.from_geotiff(mosaic[0])
    found = scichunk.plan(array, measure=False).readings[0]
    assert 0.9 * mosaic[0].stat().st_size < found.bytes + 10 * TILES * TILES < 1.1 * mosaic[0].stat().st_size


def test_tables_that_begin_at_one_byte():
    """Two directories may share a table, of which one has only the first rows of tiles; or take its bytes for other numbers."""
    scichunk.clear_caches()
    source = BytesSource(np.arange(40_000, dtype="<u4").tobytes())
    for kind, count in (("<u4", 100), ("<u4", 20_000), ("<u8", 20_000)):
        table = PagedTable(source, 0, np.dtype(kind), count)
        for number in (0, count - 1):
            assert table[number] == np.frombuffer(source.read_ranges([0], [160_000])[0], kind)[number]
