"""What the process remembers: bounded, shared, and forgotten at a word."""

import gc
import os
import shutil
import threading
import weakref

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.lru import LRU, on_clear

FILE = "test_data/dem_2024-01-01.tif"


def test_the_least_recently_used_goes_first():
    cache = LRU(lambda: 2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    assert len(cache) == 2


def test_the_first_value_of_a_key_is_kept():
    cache = LRU(lambda: 2)
    first, second = object(), object()
    assert cache.put("a", first) is first
    assert cache.put("a", second) is first


def test_values_weigh():
    cache = LRU(lambda: 10, len)
    for name in "abc":
        cache.put(name, name * 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, "bbbb", "cccc")
    assert cache.put("too heavy", "x" * 11) == "x" * 11
    assert cache.get("too heavy") is None
    assert cache.get("c") == "cccc", "what cannot be kept drops nothing"


def test_a_smaller_limit_holds_from_the_next_value_on():
    limit = [8]
    cache = LRU(lambda: limit[0])
    for i in range(8):
        cache.put(i, i + 1)
    limit[0] = 3
    cache.put(8, 9)
    assert len(cache) == 3
    assert cache.get(8) == 9


def test_weights_are_counted_anew_after_clearing():
    cache = LRU(lambda: 10, len)
    cache.put("a", "x" * 10)
    cache.clear()
    assert len(cache) == 0
    cache.put("b", "y" * 10)
    assert cache.get("b") == "y" * 10


def test_clear_caches_empties_every_cache_and_keeps_none_alive():
    cache, calls = LRU(lambda: 10), []
    cache.put("a", 1)
    on_clear(lambda: calls.append(1))
    scichunk.clear_caches()
    assert (len(cache), calls) == (0, [1])
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    scichunk.clear_caches()


def test_open_datasets_stay_valid():
    ds = xr.open_dataset(FILE, engine="geotiff")
    want = ds.band_data.values
    again = xr.open_dataset(FILE, engine="geotiff", chunks={})
    scichunk.clear_caches()
    np.testing.assert_array_equal(again.band_data.values, want)


def test_files_are_closed_once_forgotten(tmp_path):
    path = shutil.copy(FILE, tmp_path / "a.tif")
    scichunk.from_geotiff(path).compute()
    scichunk.clear_caches()
    gc.collect()
    names = [
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    ]
    assert str(path) not in names


@pytest.mark.parametrize("option", ["cached_files", "cached_tile_bytes"])
def test_nothing_is_kept_where_nothing_may_be(option):
    with scichunk.options.set(**{option: 0}):
        values = scichunk.from_geotiff(FILE)[:, 3:5, 3:5].compute()
    np.testing.assert_array_equal(values, scichunk.from_geotiff(FILE).compute()[:, 3:5, 3:5])


def test_values_are_bounded_in_number_and_in_weight():
    cache = LRU(lambda: 10, len, most=lambda: 2)
    for name in "abc":
        cache.put(name, name)
    assert (len(cache), cache.get("a")) == (2, None)
    cache.put("d", "d" * 9)
    assert (cache.get("b"), cache.get("c"), cache.get("d")) == (None, "c", "d" * 9)


def test_keys_weigh_too():
    cache = LRU(lambda: 10, len, weigh_key=len)
    cache.put("key", "x" * 3)
    cache.put("another", "y" * 3)
    assert (cache.get("key"), cache.get("another")) == (None, "yyy")


class Growing:
    size = 1


def growing(limit, **more):
    return LRU(lambda: limit, lambda value: value.size, grows=True, **more)


def test_what_has_grown_is_weighed_again_when_another_is_asked_for():
    gone = []
    cache = growing(10, let_go=gone.append)
    one, two = cache.put("one", Growing()), cache.put("two", Growing())
    assert cache.get("one") is one
    one.size = 12
    assert len(cache) == 2
    assert cache.get("two") is two
    assert (len(cache), gone) == (1, [one])
    three = cache.put("three", Growing())
    three.size = 8
    assert cache.get("two") is two
    assert len(cache) == 2
    two.size = 8
    cache.put("four", Growing())
    assert (cache.get("three"), cache.get("two"), len(cache)) == (None, two, 2)


def test_the_value_that_was_used_last_stays_unless_nothing_may_be_kept():
    large = Growing()
    large.size = 100
    cache = growing(10)
    cache.put("small", Growing())
    cache.put("large", large)
    assert (cache.get("small"), cache.get("large")) == (None, large)
    cache.put("other", Growing())
    assert (cache.get("large"), len(cache)) == (None, 1)
    for nothing in (growing(0), growing(10, most=lambda: 0)):
        nothing.put("large", large)
        assert len(nothing) == 0


def test_two_threads_share_a_value_that_is_too_heavy():
    cache = growing(10)
    large = Growing()
    large.size = 100
    assert cache.get_or_make("a", lambda: large) is large
    assert cache.get_or_make("a", Growing) is large


# ---------------------------------------------------------------- what is told


def held():
    return scichunk.cache_info()["opened files"]


def test_every_cache_has_a_bound():
    scichunk.from_geotiff(FILE)[:, 3:5, 3:5].compute()
    found = scichunk.cache_info()
    for name, cache in found.items():
        assert cache.max_bytes is not None or cache.max_entries is not None, name
        assert cache.bytes is None or cache.bytes <= cache.max_bytes, name
    assert found["opened files"].entries == 1
    assert (found["opened files"].max_entries, found["opened files"].max_bytes) == (256, 1 << 29)
    assert found["decoded chunks"].bytes > 0
    assert found["decoded chunks"].entries == 1
    assert found["descriptors of local files"].entries == 1
    assert found.total_bytes >= found["opened files"].bytes + found["decoded chunks"].bytes
    assert found.to_dict()["opened files"]["entries"] == 1


def test_what_is_told_can_be_printed():
    scichunk.from_geotiff(FILE)
    lines = repr(scichunk.cache_info()).splitlines()
    assert lines[0].split() == ["cache", "entries", "at", "most", "memory", "at", "most"]
    assert lines[-1].startswith("together")
    line = next(line for line in lines if line.startswith("opened files"))
    assert line.split()[2:4] == ["1", "256"]
    assert line.endswith("512.0 MiB")


def test_clearing_is_told():
    scichunk.from_geotiff(FILE)[:, 3:5, 3:5].compute()
    scichunk.clear_caches()
    assert all(not cache.entries and not cache.bytes for cache in scichunk.cache_info().values())


def test_content_is_part_of_the_memory_of_opened_files():
    with open(FILE, "rb") as file:
        data = file.read()
    scichunk.from_geotiff(FILE)
    alone = held().bytes
    scichunk.from_geotiff(data + bytes(1 << 20))
    assert len(data) + (1 << 20) < held().bytes - alone < len(data) + (2 << 20)


def test_opened_files_are_bounded_in_bytes():
    with open(FILE, "rb") as file:
        data = file.read()
    arrays = []
    with scichunk.options.set(cached_file_bytes=5 << 20):
        for i in range(12):
            arrays.append(scichunk.from_geotiff(data + bytes([i]) * (1 << 20)))
            assert held().bytes <= 5 << 20
        assert 2 <= held().entries <= 4
        want = scichunk.from_geotiff(FILE).compute()
        for array in arrays:
            np.testing.assert_array_equal(array.compute(), want)
        assert held().bytes <= 5 << 20


def sparse(path, edge):
    import rasterio

    profile = {"driver": "GTiff", "width": 16 * edge, "height": 16 * edge, "count": 1, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=16, blockysize=16, SPARSE_OK=True, compress="deflate"):
        pass
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_indexes_count_when_they_are_made(tmp_path):
    """A raster of 90,000 tiles: 16 bytes each in the index, and what was read of the file."""
    paths = [sparse(tmp_path / f"{i}.tif", 300) for i in range(4)]
    scichunk.from_geotiff(paths[0])
    assert 90_000 * 16 < held().bytes < 90_000 * 40
    with scichunk.options.set(cached_file_bytes=90_000 * 60):
        for path in [*paths, FILE]:
            scichunk.from_geotiff(path)[:, :20, :20].compute()
        assert held().entries == 3, "two of them, and the small one"
        assert held().bytes <= 90_000 * 60
    with scichunk.options.set(cached_file_bytes=1000):
        assert not scichunk.from_geotiff(paths[3])[:, :20, :20].compute().any()
        assert held().entries == 1, "the file that is being read is not opened for each chunk"


def test_headers_count():
    from astropy.io import fits

    header = fits.Header([("COMMENT", "x" * 70)] * 20_000)
    scichunk.from_fits(fits_bytes(fits.PrimaryHDU(np.zeros((4, 4), "i2"))))
    short = held().bytes
    scichunk.clear_caches()
    scichunk.from_fits(fits_bytes(fits.PrimaryHDU(np.zeros((4, 4), "i2"), header)))
    assert held().bytes - short > 2 * 20_000 * 80


def fits_bytes(*hdus):
    import io

    from astropy.io import fits

    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def test_documents_count():
    from tests.votable_docs import doc

    fields = '<FIELD name="a" datatype="int"/>'
    scichunk.read_votable(doc("", fields).encode())
    short = held().bytes
    scichunk.clear_caches()
    scichunk.read_votable(doc("", fields, after="<INFO name='a' value='b'/>" * 5000).encode())
    assert held().bytes - short > 5000 * 500


def test_more_chunks_than_dask_can_list():
    from tests.formats.test_hostile_sizes import PLAIN, tiff

    data = tiff(PLAIN | {257: (4, 40_000_000), 278: (4, 1)})
    assert scichunk.from_geotiff(data).npartitions < 10
    for chunks in ("native", {}, {0: 1, 1: 1, 2: 8}, {"y": 2}, 1, (1, 5, 8)):
        with pytest.raises(
            scichunk.errors.LimitExceeded, match=r'000 chunks of \d along axis 1.*chunks="auto"'
        ) as caught:
            scichunk.from_geotiff(data, chunks=chunks)
        assert caught.value.url


@pytest.mark.parametrize("wish", [KeyboardInterrupt, SystemExit])
def test_a_thread_that_is_asked_to_end_takes_no_other_with_it(wish):
    cache, begun, waits, found = LRU(lambda: 2), threading.Event(), threading.Event(), []

    def interrupted():
        begun.set()
        waits.wait(10)
        raise wish

    def first():
        with pytest.raises(wish):
            cache.get_or_make("a", interrupted)

    threads = [
        threading.Thread(target=first),
        threading.Thread(target=lambda: found.append(cache.get_or_make("a", lambda: 7))),
    ]
    threads[0].start()
    begun.wait(10)
    threads[1].start()
    while cache._flights["a"].done is None:  # the second waits for the first
        pass
    waits.set()
    for thread in threads:
        thread.join()
    assert found == [7]
