"""The optimiser that keeps marks: values, windows that reach the reader, and dask's own where nothing is marked."""

import dask
import dask.array as da
import numpy as np
import pytest

import scichunk
from scichunk.cluster import on
from scichunk.cluster.placing import ANNOTATION, optimize


@pytest.fixture(autouse=True)
def hook_of_dask():
    """Marks set a hook in dask's configuration, which stays."""
    with dask.config.set({"array_optimize": None}):
        yield


class Asked:
    """An array that writes down which windows it is asked for."""

    shape = (64, 64)
    dtype = np.dtype("i4")
    ndim = 2

    def __init__(self):
        self.windows = []

    def __getitem__(self, window):
        self.windows.append(window)
        return np.arange(64 * 64, dtype="i4").reshape(64, 64)[window]


def marks(array):
    """How many tasks each pool gets after optimisation."""
    graph = optimize(array.__dask_graph__(), array.__dask_keys__())
    found = {}
    for layer in graph.layers.values():
        note = (layer.annotations or {}).get(ANNOTATION, lambda key: None)
        for key in layer:
            found[note(key)] = found.get(note(key), 0) + 1
    return found


def test_steps_of_one_pool_are_fused_and_others_are_not():
    array = da.ones((8, 8), chunks=4)
    with on("big"):
        marked = ((array + 1) * 2 - 3).map_blocks(np.negative)
    assert marks(marked + 1 + 2) == {None: 8, "big": 4}  # ones; marked steps; those behind
    with on("io"):
        first = array + 1
    with on("big"):
        second = first + 1
    assert marks(second) == {None: 4, "io": 4, "big": 4}


def test_other_annotations_are_kept():
    array = da.ones((8, 8), chunks=4)
    with dask.annotate(retries=3), on("big"):
        marked = array + 1
    (layer,) = optimize(marked.__dask_graph__(), marked.__dask_keys__()).layers.values()
    values = [(layer.annotations["retries"](k), layer.annotations[ANNOTATION](k)) for k in layer]
    assert sorted(values, key=repr) == [(3, "big")] * 4 + [(None, None)] * 4


def test_names_of_spans_keep_nothing_apart():
    array = scichunk.from_geotiff("test_data/scene_deflate.tif", chunks="native")
    name = {"name": ("calibrate",), "ids": ("1",)}
    with dask.annotate(span=name):
        named = array + 1
    from dask.array.optimization import optimize as plain

    graphs = [how(named.__dask_graph__(), named.__dask_keys__()) for how in (plain, optimize)]
    assert graphs[0].keys() == graphs[1].keys()
    with dask.annotate(span=name), on("big"):
        both = array.map_blocks(np.negative)
        both = both + 1
    count = len(both.__dask_keys__()[0]) * len(both.__dask_keys__()[0][0])
    assert marks(both) == {None: count, "big": count}
    (layer,) = optimize(both.__dask_graph__(), both.__dask_keys__()).layers.values()
    assert sum(layer.annotations["span"](key) == name for key in layer) == count


def test_windows_reach_the_reader():
    plain, asked = Asked(), Asked()
    expected = da.from_array(plain, chunks=32, asarray=False)[3:20, 40:50][::2] + 1
    window = da.from_array(asked, chunks=32, asarray=False)[3:20, 40:50][::2]
    with on("big"):
        marked = window + 1
    np.testing.assert_array_equal(marked.compute(scheduler="synchronous"), expected.compute(scheduler="synchronous"))
    assert sorted(map(repr, asked.windows)) == sorted(map(repr, plain.windows))
    assert all((w[0].stop - w[0].start) <= 17 for w in asked.windows)


def test_dask_does_it_alone_where_nothing_is_marked():
    array = scichunk.from_geotiff("test_data/scene_deflate.tif", chunks="native")[:, 3:90] + 1
    from dask.array.optimization import optimize as plain

    assert (
        optimize(array.__dask_graph__(), array.__dask_keys__()).keys()
        == plain(array.__dask_graph__(), array.__dask_keys__()).keys()
    )


def test_without_fusion_too():
    array = da.ones((8, 8), chunks=4)
    with on("big"):
        marked = da.stack([array, array + 1]).sum(axis=0)
    with dask.config.set({"optimization.fuse.active": False}):
        np.testing.assert_array_equal((marked + 1).compute(scheduler="synchronous"), np.full((8, 8), 4.0))
        assert marks(marked)["big"] >= 4


def test_somebody_elses_hook_stays():
    from dask.array.optimization import optimize as theirs

    with dask.config.set({"array_optimize": theirs}):
        with on("big"):
            marked = da.ones(4) + 1
        assert dask.config.get("array_optimize") is theirs
        assert marked.sum().compute(scheduler="synchronous") == 8


def test_a_mark_can_be_used_again_and_nested():
    big = on("big")
    array = da.ones((8, 8), chunks=4)
    with big:
        with on("io"):
            inner = array + 1
        with big:
            again = inner + 1
        outer = again + 1
    assert "big" in repr(big)
    assert marks(outer) == {None: 4, "io": 4, "big": 4}
    assert not any(layer.annotations for layer in (array + 1).dask.layers.values())


@pytest.mark.parametrize("name", ["", "a~b", None, 3])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="the name of a pool"):
        on(name)


def test_tables_take_values_beside_the_table():
    frame = scichunk.read_fits_table("test_data/catalogue.fits", blocksize="1KB")
    with pytest.raises(TypeError, match="compute them before"):
        on("big").map_partitions(lambda rows, other: rows, frame, frame)
    found = on("big").map_partitions(lambda rows, n, more=0: rows.head(n + more), frame, 1, more=1)
    assert len(found) == 2 * frame.npartitions
