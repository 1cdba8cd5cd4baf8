"""What readers were made with holds on workers that know nothing of it; errors come back as they are."""

import os
import shutil

import pytest
import xarray as xr

import scichunk
from scichunk import errors, options

pytestmark = pytest.mark.distributed


def _readers(path):
    return {
        "array": scichunk.from_geotiff(path, chunks="native"),
        "dataset": xr.open_dataset(path, engine="geotiff", chunks={}).band_data.data,
        "stack": scichunk.from_geotiffs([path, path]),
        "table": scichunk.read_fits_table("test_data/catalogue.fits").map_partitions(len),
    }


@pytest.mark.parametrize("processes", [False, True])
def test_limits_on_workers(processes):
    distributed = pytest.importorskip("distributed")
    path = os.path.abspath("test_data/scene_deflate.tif")
    with options.set(max_chunk_bytes=64):
        tight = _readers(path)
    loose = _readers(path)
    place = {"dashboard_address": None} | ({"host": "127.0.0.1"} if processes else {})
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=processes, **place) as cluster,
        distributed.Client(cluster),
    ):
        for name, reader in tight.items():
            with pytest.raises(errors.LimitExceeded, match="max_chunk_bytes") as caught:
                reader.compute()
            assert caught.value.url, name
            loose[name].compute()


def test_options_of_workers_are_set_by_run():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        said = client.run(options.set, cached_files=7, cached_handles=3)
        assert [repr(s) for s in said.values()] == ["scichunk.options.set(cached_files=7, cached_handles=3)"]
        found = list(client.run(options.get).values())
        assert [(f.cached_files, f.cached_handles) for f in found] == [(7, 3)]
    assert options.get() == options.Options()


def test_an_error_of_a_reference_library_comes_back_as_it_is(tmp_path):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("rasterio")
    path = tmp_path / "a.tif"
    shutil.copy("test_data/scene_deflate.tif", path)
    with options.set(trust_ctime=False):
        array = scichunk.from_geotiff(path, chunks="native", reader="reference")
    size = path.stat().st_size
    stat = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(size // 3)
        file.write(b"\xff" * (size // 3))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster),
        pytest.raises(errors.ScichunkError) as caught,
    ):
        array.compute()
    assert isinstance(caught.value, errors.FormatError)
    assert caught.value.url
    assert caught.value.tried == "reference (rasterio)"
    assert "rasterio" in f"{caught.value.__cause__!r}"
