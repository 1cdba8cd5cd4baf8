"""Options: values that are not possible, overlays that end in any order, and readers that keep what they were made with."""

import asyncio
import operator
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk import errors, options
from scichunk.testing import RangeServer

TIFF = "test_data/scene_deflate.tif"
IMPOSSIBLE = [
    {"concurrency": 0}, {"retries": "x"}, {"retries": -1}, {"retries": 1.5}, {"retries": True}, {"range_gap": -5},
    {"timeout": 0}, {"timeout": float("nan")}, {"timeout": float("inf")}, {"timeout": None}, {"max_chunk_bytes": 0},
    {"follow_hrefs": 1}, {"follow_hrefs": "yes"}, {"retry_wait": -0.1}, {"max_pages": "7"},
]  # fmt: skip


@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
def test_impossible_values_are_refused_by_name(change):
    before = options.get()
    name = next(iter(change))
    with pytest.raises(errors.OptionError, match=rf"options\.{name} = ") as caught:
        options.set(**change)
    assert isinstance(caught.value, ValueError)
    assert options.get() == before
    pickle.loads(pickle.dumps(caught.value))


def test_possible_values_keep_their_types():
    with options.set(max_chunk_bytes=1e9, timeout=5, retries=np.int64(2), retry_wait=0, follow_hrefs=True) as now:
        assert now.max_chunk_bytes == 10**9
        assert [type(v) for v in (now.max_chunk_bytes, now.timeout, now.retries)] == [int, float, int]


def _child(program, **variables):
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "text"),
    [("RETRIES", "many"), ("TIMEOUT", "-1"), ("CONCURRENCY", "0"), ("FOLLOW_HREFS", "perhaps"), ("MAX_PAGES", "1.5")],
)
def test_a_wrong_variable_is_named_at_first_use_and_breaks_no_import(variable, text):
    program = """
import scichunk, xarray as xr
try: xr.open_dataset("nothing.nc")
except FileNotFoundError: print("not found")
for _ in range(2):
    try: scichunk.options.get()
    except scichunk.errors.OptionError as error: print(error)
import os; del os.environ["SCICHUNK_" + VARIABLE]
print(scichunk.options.get().retries)
""".replace("VARIABLE", repr(variable))
    done = _child(program, **{f"SCICHUNK_{variable}": text})
    out = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert out[0] == "not found"
    assert out[1] == out[2]
    assert out[1].startswith(f"SCICHUNK_{variable}={text}: ")
    assert out[3] == "4"


@pytest.mark.parametrize(("text", "value"), [("on", True), ("YES", True), ("1", True), ("off", False), ("No", False)])
def test_words_of_the_environment(text, value):
    done = _child(
        "import scichunk; o = scichunk.options.get(); print(o.follow_hrefs, o.timeout)",
        SCICHUNK_FOLLOW_HREFS=text,
        SCICHUNK_TIMEOUT="2.5",
    )
    assert done.stdout.split() == [str(value), "2.5"], done.stderr


def _overlap(first_out):
    """Enter an overlay in each of two threads; leave that of thread ``first_out`` first. Returns what was seen."""
    seen, steps = [], [threading.Event() for _ in range(4)]
    entered, out = (steps[0], steps[1]), (steps[2], steps[3])

    def work(number):
        if number:
            assert entered[0].wait(30)
        with options.set(**{"retries": number + 1, ("range_gap", "timeout")[number]: 7}):
            entered[number].set()
            assert entered[1].wait(30)
            if number != first_out:
                assert out[first_out].wait(30)
                seen.append(options.get())
        out[number].set()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return seen[0]


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlays_that_overlap_in_two_threads_are_removed_exactly(first_out):
    before = options.get()
    left = _overlap(first_out)
    assert options.get() == before
    assert left.retries == 2 - first_out
    assert (left.range_gap == 7, left.timeout == 7.0) == (first_out == 1, first_out == 0)


def test_overlays_nested_and_used_again():
    before = options.get()
    overlay = options.set(retries=1)
    with overlay:
        with options.set(retries=2, timeout=9), overlay:
            assert (options.get().retries, options.get().timeout) == (1, 9.0)
        assert options.get().retries == 1
    assert options.get() == before
    with overlay:
        assert options.get().retries == 1
    assert options.get() == before


def test_a_plain_call_is_for_good_and_for_all_threads():
    program = """
import threading, scichunk
from scichunk import options
for n in range(10000): options.set(retries=n % 7)
with options.set(timeout=3):
    options.set(retries=5)
    thread = threading.Thread(target=lambda: print(options.get().retries, options.get().timeout))
    thread.start(); thread.join()
print(options.get().retries, options.get().timeout)
"""
    assert _child(program).stdout.split() == ["5", "3.0", "5", "60.0"]


def test_an_overlay_is_seen_in_what_works_for_its_block():
    async def ask():
        return options.get().retries, await asyncio.to_thread(lambda: options.get().retries)

    with ThreadPoolExecutor(1) as old:
        old.submit(int).result()
        with options.set(retries=1), ThreadPoolExecutor(1) as new:
            assert [p.submit(options.get).result().retries for p in (old, new)] == [1, 1]
            assert asyncio.run(ask()) == (1, 1)


def _image():
    return scichunk.from_geotiff(TIFF, chunks="native")


def _dataset():
    return xr.open_dataset(TIFF, engine="geotiff", chunks={}).band_data.data


def _stack():
    return scichunk.from_geotiffs([TIFF, TIFF])


def _frame():
    return scichunk.read_fits_table("test_data/catalogue.fits").map_partitions(len)


READERS = {"array": _image, "dataset": _dataset, "stack": _stack, "table": _frame}


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_limits_hold_as_they_were_when_the_reader_was_made(make, scheduler):
    with options.set(max_chunk_bytes=64):
        tight = make()
    loose = make()
    with pytest.raises(errors.LimitExceeded, match="max_chunk_bytes"):
        tight.compute(scheduler=scheduler)
    loose.compute(scheduler=scheduler)
    with ThreadPoolExecutor(1) as pool, pytest.raises(errors.LimitExceeded):
        pool.submit(pickle.loads(pickle.dumps(tight)).compute, scheduler="synchronous").result()
    with options.set(max_chunk_bytes=64):
        with options.set(max_chunk_bytes=1 << 30):
            generous = make()
        generous.compute(scheduler=scheduler)
    assert options.get().max_chunk_bytes == options.Options().max_chunk_bytes


def test_arrays_with_other_limits_have_other_names():
    with options.set(max_chunk_bytes=64):
        tight = _image()
    assert tight.name != _image().name
    with options.set(cached_files=7):
        assert _image().name == _image().name


def test_limits_hold_on_an_event_loop():
    with options.set(max_chunk_bytes=64):
        ds = xr.open_dataset(TIFF, engine="geotiff", chunks=None)
    with pytest.raises(errors.LimitExceeded):
        asyncio.run(ds.load_async())


def test_retries_travel_to_remote_reads():
    with open(TIFF, "rb") as file, RangeServer({"scene.tif": file.read()}) as server:
        with options.set(retries=0):
            hasty = scichunk.from_geotiff(server.url("scene.tif"), chunks="native")
        with options.set(retries=1, retry_wait=0.001):
            patient = scichunk.from_geotiff(server.url("scene.tif"), chunks="native")
    for array, times in ((hasty, 1), (patient, 2)):
        with pytest.raises(errors.SourceError, match=f"tried: {times} times"):
            array.compute()


def test_readers_stay_small():
    with options.set(max_chunk_bytes=1 << 20, timeout=5, retries=1):
        travelling = _task(_image())
    assert _task(_image()) < travelling <= 500


def _task(array):
    """Bytes of the reader in the graph of an array."""
    task = next(iter(dict(array.dask).values()))
    reader = next(a for a in task.args if "LazyArray" in repr(a))
    return len(pickle.dumps(getattr(reader, "value", reader)))


CACHES = [name for name in options.Options.__dataclass_fields__ if name.startswith(("cached_", "warm_", "gdal_cache_"))]


@pytest.mark.parametrize("name", CACHES)
def test_sizes_of_caches_belong_to_the_process(name):
    plain = _image()
    with options.set(**{name: 7}):
        assert options.take_snapshot() == ()
        assert _image().name == plain.name
        assert _task(_image()) == _task(plain)


def test_calls_travel_back_from_workers_without_what_they_changed():
    with options.set(retries=9):
        blocks = [options.set(retries=8), options.set()]
        back = [pickle.loads(pickle.dumps(block)) for block in blocks]
        assert repr(back[0]) == "scichunk.options.set(retries=8)"
        del blocks
        options.set(retries=7)
        with back[0]:
            assert options.get().retries == 8
            with back[0], back[1]:
                assert options.get().retries == 8
        assert options.get().retries == 7
        options.set(**vars_of(options.Options()))


def vars_of(found):
    """All options by name."""
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


@pytest.mark.parametrize("ask", ["options.get", "options.take_snapshot", "list_formats", "info"])
def test_what_the_package_says_travels(ask):
    function = operator.attrgetter(ask)(scichunk)
    given = [TIFF] if ask == "info" else []
    assert pickle.loads(pickle.dumps(function(*given))) == function(*given)
