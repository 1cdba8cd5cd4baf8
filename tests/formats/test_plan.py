"""``scichunk.plan`` says before what ``scichunk.profile`` counts then."""

from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.adapters.cli import main
from scichunk.testing import RangeServer
from tests.children import outcomes
from tests.formats.test_geotiff_layouts import tiff
from tests.formats.test_reduce import write_tiff


@pytest.fixture
def scene(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (2, 70, 90)).astype("u2")
    return write_tiff(tmp_path / "scene.tif", values)


@pytest.fixture
def files(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (1, 40, 40)).astype("u2")
    return [write_tiff(tmp_path / f"f{n}.tif", values) for n in range(5)]


def counted(array):
    with scichunk.profile(show=False) as found, dask.config.set(scheduler="sync"):
        array.compute()
    return found.total


@pytest.mark.parametrize("chunks", ["native", "auto", (2, 32, 48)])
def test_as_it_is_counted_then(scene, chunks):
    array = scichunk.from_geotiff(scene, chunks=chunks)
    planned = scichunk.plan(array, measure=False)
    (reading,) = planned.readings
    total = counted(array)
    assert reading.tasks == total["reads"]
    assert reading.requests == total["requests"] - total["opened"]
    assert reading.bytes == total["fetched"]
    assert reading.repeats == total["chunks"] / reading_of(array).size
    assert planned.seconds == 0


def reading_of(array):
    from scichunk.adapters.dask.native import find_reader

    return find_reader(array).grid


DATA = Path(__file__).parents[2] / "test_data"
KINDS = {
    "GeoTIFF": lambda: scichunk.from_geotiff(DATA / "scene_deflate.tif", chunks="native"),
    "GeoTIFF, large chunks": lambda: scichunk.from_geotiff(DATA / "scene_deflate.tif", chunks=(4, 128, 256)),
    "GeoTIFF, strips": lambda: scichunk.from_geotiff(DATA / "pages_lzw.tif", chunks="native"),
    "GeoTIFF by the reference": lambda: scichunk.from_geotiff(DATA / "scene_deflate.tif", reader="reference"),
    "FITS image": lambda: scichunk.from_fits(DATA / "cube.fits", chunks=(1, 5, 12, 32)),
    "FITS, scaled": lambda: scichunk.from_fits(DATA / "scaled.fits", chunks="native"),
    "FITS, RICE": lambda: scichunk.from_fits(DATA / "compressed.fits", chunks="native"),
    "JPEG 2000": lambda: scichunk.from_jpeg2000(DATA / "bgr.jp2", chunks="native"),
    "JPEG 2000 with TLM and PLT": lambda: scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2", chunks="native"),
    "HTJ2K": lambda: scichunk.from_jpeg2000(DATA / "high_throughput.jph", chunks="native"),
    "stack": lambda: scichunk.from_files([DATA / "dem_2024-01-01.tif"] * 5, chunks="native"),
    "stack, merged": lambda: scichunk.from_files([DATA / "dem_2024-01-01.tif"] * 5, chunks=(2, 1, 128, 128)),
    "VOTable": lambda: scichunk.from_votable(DATA / "stars.vot", "ra"),
    "VOTable, all columns": lambda: xr.open_dataset(DATA / "stars.vot", engine="votable", chunks={}),
    "FITS table": lambda: xr.open_dataset(DATA / "catalogue.fits", engine="fits", chunks={})[["ra", "dec"]],
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(kind):
    array = KINDS[kind]()
    readings = scichunk.plan(array).readings
    if kind.startswith(("JPEG", "HTJ2K")):
        scichunk.clear_caches()  # what the plan has decoded would be taken from the cache
        array = KINDS[kind]()
        array[..., :1, :1].compute(scheduler="sync")  # where its tiles lie
    total = counted(array)

    def planned(name):
        return sum(getattr(reading, name) for reading in readings)

    assert planned("tasks") == (3 if kind == "stack, merged" else total["reads"])
    assert planned("decoded") == pytest.approx(total["decoded"], rel=0.05)  # texts are counted as pointers
    if "reference" not in kind:
        assert planned("requests") == pytest.approx(total["requests"], abs=1)
        assert planned("bytes") == pytest.approx(total["fetched"], rel=0.05)
        assert total["hits"] == 0


def test_over_http():
    with RangeServer({"scene.tif": (DATA / "scene_deflate.tif").read_bytes()}) as server:
        array = scichunk.from_geotiff(server.url("scene.tif"), chunks=(4, 128, 256))
        (reading,) = scichunk.plan(array, measure=False).readings
        server.reset()
        total = counted(array)
        assert reading.requests == total["requests"] == server.requests
        assert reading.bytes == total["fetched"] == server.bytes_sent


def test_repeated_decoding_is_seen(scene):
    with pytest.warns(scichunk.errors.PerformanceWarning):
        array = scichunk.from_geotiff(scene, chunks=(2, 10, 10))
    planned = scichunk.plan(array)
    assert planned.readings[0].repeats > 2
    assert "suggest_chunks" in str(planned)


def test_stacks_datasets_and_what_is_made_of_them(files, scene):
    stack = scichunk.open_stack(files, chunks={"file": 2})
    planned = scichunk.plan(stack.band_data.mean("file") + 1, workers=3, threads=2)
    (reading,) = planned.readings
    assert reading.tasks == 3
    assert planned.tasks > 3
    assert planned.memory > 2 * 2 * 40 * 40
    assert planned.seconds > 0
    ds = xr.open_dataset(scene, engine="geotiff", chunks={})
    assert len(scichunk.plan(ds.mean()).readings) == 1
    both = ds.band_data.data.sum() + scichunk.from_files(files).sum()
    assert len(scichunk.plan(both, measure=False).readings) == 2
    mapped = scichunk.map_chunks(np.sqrt, scichunk.from_geotiff(scene))
    assert scichunk.plan(mapped, measure=False).readings[0].requests >= 1
    assert scichunk.plan(scichunk.from_geotiff(scene, reader="reference"), measure=False).readings[0].bytes == 0


def test_chunks_that_are_suggested(scene, files):
    sizes = scichunk.suggest_chunks(scene)
    assert sizes == (2, 70, 90)
    small = scichunk.suggest_chunks(scene, memory="20 kB", threads=1)
    assert all(s % 16 == 0 or s == n for s, n in zip(small[1:], (70, 90), strict=True))
    assert np.prod(small) * 2 <= 20_000
    assert scichunk.from_geotiff(scene, chunks=small).compute().shape == (2, 70, 90)
    ds = xr.open_dataset(scene, engine="geotiff")
    named = scichunk.suggest_chunks(ds.band_data)
    assert named == {"band": 2, "y": 70, "x": 90}
    assert scichunk.suggest_chunks(scichunk.open_stack(files).band_data)["file"] == 5


def test_what_cannot_be_planned(scene):
    with pytest.raises(TypeError, match="nothing in it reads"):
        scichunk.plan(da.ones(3))
    with pytest.raises(TypeError, match="open it with chunks"):
        scichunk.plan(np.ones(3))
    with pytest.raises(TypeError, match="open it with chunks"):
        scichunk.plan(xr.open_dataset(scene, engine="geotiff"))
    with pytest.raises(TypeError, match="as scichunk has opened it"):
        scichunk.suggest_chunks(da.ones(3))


def test_on_the_command_line(scene, capsys):
    assert main(["plan", scene, "--chunks", "2,32,32", "--workers", "3"]) == 0
    said = capsys.readouterr().out
    assert "3 workers of 4 threads" in said
    assert "suggested: --chunks 2,70,90" in said
    assert main(["plan", scene, "--chunks", "nonsense"]) == 2
    assert main(["plan", scene + ".missing"]) == 1


def test_a_stack_whose_first_file_is_bad(files):
    Path(files[0]).write_bytes(b"II*\0")
    stack = scichunk.from_files(files, errors="ignore", fill=0)
    planned = scichunk.plan(stack)
    assert (planned.readings[0].requests, planned.readings[0].native) != (0, ())
    assert scichunk.plan(stack, measure=False).readings[0].bytes > 0


@pytest.mark.parametrize("words", [{"workers": 0}, {"threads": 0}, {"workers": -3}])
def test_no_workers_and_no_threads(scene, words):
    for function in (scichunk.plan, scichunk.suggest_chunks):
        with pytest.raises(ValueError, match="at least 1"):
            function(scichunk.from_geotiff(scene), **words)


@pytest.mark.parametrize(
    "words", [["--workers", "0"], ["--threads", "0"], ["--memory", "0"], ["--memory", "much"], ["--threads=-1"]]
)
def test_what_the_command_line_cannot_plan(scene, capsys, words):
    assert main(["plan", scene, *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("scichunk: ")
    assert not told.out


def test_absent_tiles_of_any_size(tmp_path):
    """They are filled as far as they are asked for, which of a trial is no more than a chunk may have."""
    edge = 16_384
    tags = {256: edge, 257: edge, 258: 8, 259: 8, 322: edge, 323: edge, 277: 1, 42113: (2, 2, b"7\0")}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([b""], tags))
    small = tiff([bytes(64)], {256: 8, 257: 8, 258: 8, 278: 8})
    code = f"""
import pathlib, re, scichunk
def peak():  # of this program; getrusage begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
array = scichunk.from_geotiff({str(path)!r}, chunks=-1)
scichunk.options.set(max_chunk_bytes=1 << 22)
scichunk.plan(scichunk.from_geotiff({small!r}))  # imports what planning needs
before = peak()
plan = scichunk.plan(array)
chunks = scichunk.suggest_chunks(array)
print(plan.tasks, plan.readings[0].decoded, peak() - before < 1 << 16)
"""
    assert outcomes(code) == [f"1 {edge * edge} True"]
