"""What the process remembers: bounded, shared, and forgotten at a word."""

import gc
import os
import shutil
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
