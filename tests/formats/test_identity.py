"""One file is one file: by name, version and credentials, whatever it lies in, and whoever reads it."""

import bz2
import gc
import gzip
import http.server
import io
import os
import pickle
import pydoc
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dask
import fsspec
import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.sources import locate
from scichunk.testing import RangeServer

TEST_DATA = Path(__file__).parents[2] / "test_data"


def write_tif(path, value, size=8, **profile):
    with rasterio.open(path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint8", **profile) as file:
        file.write(np.full((1, size, size), value, "u1"))


def tif_bytes(value, size=64):
    with rasterio.MemoryFile() as memory:
        write_tif(memory.name, value, size)
        return memory.read()


def fits_bytes(value, shape=(10, 10)):
    out = io.BytesIO()
    fits.PrimaryHDU(np.full(shape, value, "f4")).writeto(out)
    return out.getvalue()


def first_value(target):
    return int(scichunk.from_geotiff(target).compute()[0, 0, 0])


def descriptors():
    gc.collect()
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue  # the descriptor of the listing itself
    return found


# -- names ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_results():
    """A server without validators whose answers differ by a long value in the query only, as those of cut-out services do."""
    tables = {}
    for value in (1, 2):
        out = io.BytesIO()
        Table({"a": np.full(2000, value, "i4"), "b": np.zeros(2000)}).write(out, format="fits")
        rows = f"<TR><TD>{value}</TD><TD>0</TD></TR>" * 20_000
        fields = '<FIELD name="a" datatype="int"/><FIELD name="b" datatype="int"/>'
        doc = f'<VOTABLE version="1.4"><RESOURCE><TABLE>{fields}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>'
        tables["fits", str(value) * 20], tables["votable", str(value) * 20] = out.getvalue(), doc.encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            query = parse_qs(urlsplit(self.path).query)
            data = tables[query["kind"][0], query["id"][0]]
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, len(data))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            self.wfile.write(data[start:stop])

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield lambda kind, value: f"http://127.0.0.1:{server.server_port}/get?kind={kind}&id={str(value) * 20}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize(("kind", "keywords"), [("fits", {"hdu": 1}), ("votable", {})])
def test_urls_that_differ_in_the_query_are_different_files(two_results, kind, keywords):
    for value in (1, 2):
        with xr.open_dataset(two_results(kind, value), engine=kind, **keywords) as ds:
            assert int(ds["a"][1500]) == value


def test_columns_of_urls_that_differ_in_the_query(two_results):
    for value in (1, 2):
        assert int(scichunk.from_votable(two_results("votable", value), "a")[1500].compute()) == value


@pytest.fixture
def shadowed(tmp_path, monkeypatch):
    """A folder with archives that hold ``scene.tif`` of ones, and a file of twos of that very name."""
    monkeypatch.chdir(tmp_path)
    write_tif("inside.tif", 1)
    with tarfile.open("x.tar", "w") as archive:
        archive.add("inside.tif", "scene.tif")
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.write("inside.tif", "scene.tif")
    data = Path("inside.tif").read_bytes()
    Path("scene.tif.gz").write_bytes(gzip.compress(data))
    Path("scene.tif.bz2").write_bytes(bz2.compress(data))
    write_tif("scene.tif", 2)
    return tmp_path


def test_a_member_of_an_archive_is_itself(shadowed):
    with tarfile.open("x.tar") as archive, archive.extractfile("scene.tif") as member:
        assert first_value(member) == 1
    with zipfile.ZipFile("x.zip") as archive, archive.open("scene.tif") as member:
        assert first_value(member) == 1
    with fsspec.open("zip://scene.tif::x.zip") as member:
        assert first_value(member) == 1


def test_a_decompressing_object_is_itself(shadowed):
    with gzip.open("scene.tif.gz") as file:
        assert first_value(file) == 1
    with bz2.open("scene.tif.bz2") as file:
        assert first_value(file) == 1
    with fsspec.open("scene.tif.gz", compression="gzip") as file:
        assert first_value(file) == 1


def test_the_engine_reads_open_members_too(shadowed):
    with (
        zipfile.ZipFile("x.zip") as archive,
        archive.open("scene.tif") as member,
        xr.open_dataset(member, engine="geotiff") as ds,
    ):
        assert int(ds.band_data[0, 0, 0]) == 1


def test_an_open_file_is_the_one_that_was_opened(shadowed):
    with open("inside.tif", "rb") as file:
        os.unlink("inside.tif")
        assert first_value(file) == 1
        write_tif("inside.tif", 3)
        assert first_value(file) == 1
    with open("scene.tif", "rb") as file, open("scene.tif", "r+b") as writable:
        assert locate(file).local_path == str(shadowed / "scene.tif")
        assert locate(writable).local_path is None


def test_a_relative_name_and_another_folder(shadowed, monkeypatch):
    with open("inside.tif", "rb") as file:
        monkeypatch.chdir("/")
        assert first_value(file) == 1


def test_an_object_that_is_gone_leaves_no_name_to_the_next():
    class Wrapped:
        def __init__(self, data):
            self._file = io.BytesIO(data)
            self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    for value in range(1, 30):  # objects of one size follow each other at one address
        assert scichunk.from_fits(Wrapped(fits_bytes(value)))[0, 0].compute() == value


def test_an_object_whose_content_travels_is_the_same_file():
    class Wrapped(io.BufferedReader):
        pass

    array = scichunk.from_fits(Wrapped(io.BytesIO(fits_bytes(7))))
    again = pickle.loads(pickle.dumps(array))
    assert again.name == array.name
    assert again[0, 0].compute() == 7


# -- keys -----------------------------------------------------------------------------------------------------------------------


def test_keys_need_no_dask_and_hold_no_secret():
    code = """
        import sys
        from scichunk.sources import locate
        key = locate("s3://bucket/scene.tif", {"key": "me", "secret": "hush", "client_kwargs": {"endpoint_url": "http://h"}}).key
        assert "dask" not in sys.modules
        print(key)
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    first, second = (subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout for _ in "ab")
    assert first == second
    assert "hush" not in first
    assert "scene" not in first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}),
        ({"a": [1, 2]}, {"a": [12]}),
        ({"a": "1"}, {"a": 1}),
        ({"a": {"b": "c"}}, {"a": "b", "c": None}),
        ({"headers": {"Authorization": "x"}}, {"headers": {"Authorization": "y"}}),
    ],
)
def test_other_options_are_another_key(one, other):
    assert locate("s3://b/k", one).key != locate("s3://b/k", other).key
    assert locate("s3://b/k", one).key == locate("s3://b/k", dict(reversed(one.items()))).key


def memory_store(value):
    obstore = pytest.importorskip("obstore")
    store = obstore.store.MemoryStore()
    for name in ("a.tif", "b.tif"):
        obstore.put(store, name, tif_bytes(value))
    return store


@pytest.mark.parametrize("headers", ["all", "first"])
def test_stacks_of_two_stores_are_two(headers):
    stacks = [
        scichunk.from_geotiffs(["a.tif", "b.tif"], storage_options={"store": memory_store(value)}, headers=headers)
        for value in (1, 2)
    ]
    assert stacks[0].name != stacks[1].name
    assert [np.unique(found).tolist() for found in dask.compute(*stacks)] == [[1], [2]]


def test_arrays_of_two_stores_are_two():
    arrays = [scichunk.from_geotiff("a.tif", storage_options={"store": memory_store(value)}) for value in (1, 2)]
    assert [int(found.max()) for found in dask.compute(*arrays)] == [1, 2]


def test_one_store_is_one_file_in_the_cache():
    store = memory_store(1)
    names = {scichunk.from_geotiff("a.tif", storage_options={"store": store}).name for _ in range(3)}
    assert len(names) == 1


# -- versions -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_sidecars(tmp_path):
    for name in ("sidecars.tif", "sidecars.tfw", "sidecars.tif.aux.xml"):
        shutil.copy(TEST_DATA / name, tmp_path / name)
    return tmp_path / "sidecars.tif"


def test_an_edited_world_file_is_seen(with_sidecars):
    name = scichunk.from_geotiff(with_sidecars).name
    with xr.open_dataset(with_sidecars, engine="geotiff") as before:
        x = float(before.x[0])
    world = with_sidecars.with_suffix(".tfw")
    lines = world.read_text().split()
    lines[4] = str(float(lines[4]) + 1000)
    world.write_text("\n".join(lines))
    with xr.open_dataset(with_sidecars, engine="geotiff") as after:
        assert float(after.x[0]) == pytest.approx(x + 1000)
    assert scichunk.from_geotiff(with_sidecars).name != name


def test_a_removed_sidecar_is_seen(with_sidecars):
    with xr.open_dataset(with_sidecars, engine="geotiff") as before:
        attrs = dict(before.band_data.attrs)
    (with_sidecars.parent / "sidecars.tif.aux.xml").unlink()
    with xr.open_dataset(with_sidecars, engine="geotiff") as after:
        assert dict(after.band_data.attrs) != attrs


def test_overviews_and_masks_that_come_later_are_seen(tmp_path):
    path = tmp_path / "late.tif"
    write_tif(path, 1, 256)
    assert "/overview_1" not in scichunk.open(path).groups
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2])
    assert path.with_suffix(".tif.ovr").exists()
    assert "/overview_1" in scichunk.open(path).groups
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(np.full((256, 256), 255, "u1"))
    assert path.with_suffix(".tif.msk").exists()
    with xr.open_dataset(path, engine="geotiff", mask_and_scale=False) as ds:
        assert "mask" in ds


def test_a_world_file_of_jpeg2000(tmp_path):
    path = tmp_path / "scene.jp2"
    shutil.copy(TEST_DATA / "bgr.jp2", path)
    with xr.open_dataset(path, engine="jpeg2000") as before:
        x = float(before.x[0])
    path.with_suffix(".j2w").write_text("10\n0\n0\n-10\n5005\n7005\n")
    with xr.open_dataset(path, engine="jpeg2000") as after:
        assert float(after.x[0]) == 5005 != x


def test_a_changed_sibling_is_an_error_while_computing(with_sidecars):
    array = pickle.loads(pickle.dumps(scichunk.from_geotiff(with_sidecars)))
    with_sidecars.with_suffix(".tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    scichunk.clear_caches()
    with pytest.raises(scichunk.errors.SourceError, match="changed"):
        array.compute()


def test_a_sibling_that_was_given_its_old_date_is_seen(with_sidecars):
    before = xr.open_dataset(with_sidecars, engine="geotiff")  # and stays open, so that the file is kept
    x, name = float(before.x[0]), scichunk.from_geotiff(with_sidecars).name
    world = with_sidecars.with_suffix(".tfw")
    lines = world.read_text().split()
    lines[4] = str(float(lines[4]) + 1).ljust(len(lines[4]))[: len(lines[4])]
    put_in_place(world, "\n".join(lines).ljust(world.stat().st_size).encode())
    with xr.open_dataset(with_sidecars, engine="geotiff") as after:
        assert float(after.x[0]) == pytest.approx(x + 1)
    assert scichunk.from_geotiff(with_sidecars).name != name
    before.close()


# -- another file of equal length and date --------------------------------------------------------------------------------------


def put_in_place(path, data):
    """Write over a file, and put its date back."""
    found = path.stat()
    assert found.st_size == len(data)
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def move_upon(path, data):
    """Replace a file by another one of its date."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)


def move_upon_a_linked_one(path, data):
    os.link(path, path.with_suffix(".linked"))
    move_upon(path, data)


def rename_and_put(path, data):
    """Put another file of its date where one was that has another name now."""
    date = path.stat().st_mtime_ns
    path.rename(path.with_suffix(".away"))
    path.write_bytes(data)
    os.utime(path, ns=(date, date))


REPLACEMENTS = [put_in_place, move_upon, move_upon_a_linked_one, rename_and_put]
READERS = {
    "fits": (lambda v: fits_bytes(v, (40, 40)), lambda p: scichunk.from_fits(p, chunks="native")),
    "tif": (tif_bytes, lambda p: scichunk.from_geotiff(p, chunks="native")),
    "tif by rasterio": (tif_bytes, lambda p: scichunk.from_geotiff(p, reader="reference")),
    "fits by astropy": (lambda v: fits_bytes(v, (40, 40)), lambda p: scichunk.from_fits(p, reader="reference")),
    "stack": (lambda v: fits_bytes(v, (40, 40)), lambda p: scichunk.from_fits_files([p])),
    "expanded": (lambda v: gzip.compress(fits_bytes(v, (40, 40)), 0, mtime=0), scichunk.from_fits),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_another_file_of_equal_length_and_date(tmp_path, replace, kind):
    make, open_array = READERS[kind]
    path = tmp_path / "a.dat"
    path.write_bytes(make(1))
    array = open_array(path)
    assert np.asarray(array[..., :1, :1]).max() == 1
    replace(path, make(2))
    again = open_array(path)
    assert again.name != array.name
    assert (np.asarray(again) == 2).all()
    travelled = pickle.loads(pickle.dumps(array))
    scichunk.clear_caches()
    for reader in (array, travelled):
        with pytest.raises(scichunk.errors.SourceError, match=r"changed since it was opened.*trust_ctime=False"):
            reader.compute()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("name", "module", "method"),
    [
        ("scene_deflate.tif", "geotiff.reference.RasterioWindows", "_read_bands"),
        ("image.fits", "fits.image.reference.AstropyWindows", "_open_file"),
        ("signed_97.j2k", "jpeg2000.reference.GlymurWindows", "_read_planes"),
    ],
)
def test_a_file_that_is_written_while_a_library_reads_it(tmp_path, monkeypatch, name, module, method, fails):
    path = tmp_path / name
    if name == "image.fits":
        path.write_bytes(fits_bytes(1))
    else:
        shutil.copy(TEST_DATA / name, path)
    array = scichunk.from_file(path, reader="reference")
    kind = pydoc.locate(f"scichunk.formats.{module}")
    read = getattr(kind, method)

    def read_and_write(*args):
        found = read(*args)
        os.utime(path, ns=(1, 1))
        if fails:
            raise ValueError(name)
        return found

    monkeypatch.setattr(kind, method, read_and_write)
    with pytest.raises(scichunk.errors.SourceError, match="changed since it was opened"):
        array.compute()


def test_datasets_of_two_versions_are_computed_together(tmp_path):
    """Dask takes arrays of one name for one: xarray would name both after the path and its date."""
    path = tmp_path / "a.fits.gz"
    path.write_bytes(gzip.compress(fits_bytes(1, (40, 40)), 0, mtime=0))
    old = xr.open_dataset(path, engine="fits", chunks={})
    old.data[:1].load()  # what was expanded is kept
    move_upon(path, gzip.compress(fits_bytes(2, (40, 40)), 0, mtime=0))
    new = xr.open_dataset(path, engine="fits", chunks={})
    for pair in ((old, new), (new, old)):
        found = [float(v) for v in dask.compute(*(ds.data.max() for ds in pair))]
        assert found == [1 if ds is old else 2 for ds in pair]
    assert xr.open_dataset(path, engine="fits", chunks={}).data.data.name == new.data.data.name != old.data.data.name


def test_objects_of_two_versions_are_computed_together():
    versions = [fits_bytes(v, (40, 40)) for v in (1, 2)]
    fs = fsspec.filesystem("memory")
    found = []
    for data in versions:
        fs.pipe("/versions/a.fits", data)
        found.append(xr.open_dataset("memory://versions/a.fits", engine="fits", chunks={}))
    assert found[0].data.data.name != found[1].data.data.name


def test_rows_beside_a_document_are_part_of_its_version(tmp_path):
    """The document stays as it is; the file that its stream refers to is another one."""
    fields = '<FIELD name="a" datatype="int"/>'
    rows = '<DATA><BINARY><STREAM href="rows.bin"/></BINARY></DATA>'
    path, beside = tmp_path / "a.vot", tmp_path / "rows.bin"
    path.write_text(f'<VOTABLE version="1.4"><RESOURCE><TABLE nrows="200">{fields}{rows}</TABLE></RESOURCE></VOTABLE>')
    open_all = [
        lambda: scichunk.read_votable(path).a,
        lambda: scichunk.from_votable(path, "a"),
        lambda: xr.open_dataset(path, engine="votable", chunks={}).a.data,
    ]
    before = []
    for value, replace in ((1, type(path).write_bytes), (2, put_in_place), (3, type(path).write_bytes), (4, move_upon)):
        replace(beside, np.full(200, value, ">i4").tobytes())
        found = [make() for make in open_all]
        for array in found:
            assert set(np.asarray(array.compute())) == {value}
        if before:
            scichunk.clear_caches()
            for old, new in zip(before, found, strict=True):
                assert dask.base.tokenize(old) != dask.base.tokenize(new)
                with pytest.raises(scichunk.errors.SourceError, match=r"changed.*rows\.bin"):
                    pickle.loads(pickle.dumps(old)).compute(scheduler="synchronous")
                assert set(np.asarray(new.compute())) == {value}
        before = found


@pytest.mark.parametrize("change", ["permissions", "a link", "a name"])
def test_a_status_that_changes_may_be_passed_over(tmp_path, change):
    path = tmp_path / "a.fits"
    path.write_bytes(fits_bytes(3, (40, 40)))
    with scichunk.options.set(trust_ctime=False):
        careless = scichunk.from_fits(path)
    careful = scichunk.from_fits(path)
    assert (careless[:1] == careful[:1]).all().compute()
    if change == "permissions":
        path.chmod(0o640)
    elif change == "a link":
        os.link(path, tmp_path / "b.fits")
    else:
        path.rename(tmp_path / "b.fits")
    with pytest.raises(scichunk.errors.SourceError, match="ctime"):
        careful.compute()
    assert (np.asarray(careless) == 3).all()
    if change != "a name":  # which a process that opens the file now cannot find
        travelled = pickle.loads(pickle.dumps(careless))
        scichunk.clear_caches()
        assert (np.asarray(travelled) == 3).all()


def test_a_file_that_is_written_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    path.write_bytes(fits_bytes(1, (100, 100)))
    array = scichunk.from_fits(path)
    read, new = os.preadv, fits_bytes(2, (100, 100))

    def read_while_somebody_writes(*arguments):
        got = read(*arguments)
        path.write_bytes(new)
        os.utime(path, ns=(1, 1))
        return got

    monkeypatch.setattr(os, "preadv", read_while_somebody_writes)
    with pytest.raises(scichunk.errors.SourceError, match="changed"):
        array.compute(scheduler="synchronous")


# -- one flight -----------------------------------------------------------------------------------------------------------------


def test_sixteen_cold_threads_open_a_file_once():
    data = fits_bytes(3, (1600, 400))
    with RangeServer({"a.fits": data}, latency=0.05) as server:
        array = scichunk.from_fits(server.url("a.fits"), chunks=(100, 400))
        cold = pickle.loads(pickle.dumps(array))
        scichunk.clear_caches()
        server.reset()
        with dask.config.set(scheduler="threads", num_workers=16):
            assert (cold.compute() == 3).all()
        assert sum(r.start == 0 for r in server.log) == 1
        assert server.requests <= 17


def test_an_error_reaches_all_threads_that_wait():
    with RangeServer({"a.fits": fits_bytes(3, (1600, 400))}, latency=0.05) as server:
        cold = pickle.loads(pickle.dumps(scichunk.from_fits(server.url("a.fits"), chunks=(100, 400))))
        scichunk.clear_caches()
        server.files.clear()
        found = []

        def read(number):
            try:
                cold[number * 100].compute(scheduler="synchronous")
            except scichunk.errors.MissingFile as error:
                found.append(error)

        threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(found) == 8


# -- closing --------------------------------------------------------------------------------------------------------------------


def test_close_gives_up_descriptors_and_others_go_on(tmp_path):
    path = tmp_path / "image.fits"
    path.write_bytes(fits_bytes(4, (100, 100)))
    one, other = (xr.open_dataset(path, engine="fits") for _ in range(2))
    array = scichunk.from_fits(path)
    assert float(one.data[0, 0]) == 4
    one.close()
    assert float(other.data[1, 1]) == 4
    other.close()
    assert not [d for d in descriptors() if d.startswith(str(path))]
    assert float(array[2, 2].compute()) == 4
    assert float(other.data[3, 3]) == 4  # as with xarray's own files, reading opens them again
    other.close()


@pytest.mark.parametrize("engine", ["fits", "scichunk"])
def test_deleted_files_keep_no_space_after_close(tmp_path, engine):
    for number in range(20):
        path = tmp_path / f"{number}.fits"
        path.write_bytes(fits_bytes(number, (50, 50)))
        with xr.open_dataset(path, engine=engine, chunks={}) as ds:
            ds.load()
        with xr.open_datatree(path, engine=engine) as tree:
            tree.load()
        path.unlink()
    assert not [d for d in descriptors() if "(deleted)" in d and str(tmp_path) in d]


def test_a_file_that_was_closed_and_replaced_is_not_read(tmp_path):
    path = tmp_path / "image.fits"
    path.write_bytes(fits_bytes(4, (100, 100)))
    ds = xr.open_dataset(path, engine="fits")
    ds.close()
    path.write_bytes(fits_bytes(5, (100, 100)))
    os.utime(path, ns=(1, 1))
    with pytest.raises(scichunk.errors.SourceError, match="changed"):
        ds.load()


def test_threads_that_end_leave_no_descriptor():
    array = scichunk.from_geotiff(TEST_DATA / "scene_deflate.tif", reader="reference")
    array.compute(scheduler="synchronous")
    before = len(descriptors())
    for _ in range(40):
        thread = threading.Thread(target=lambda: array[0, 0, 0].compute(scheduler="synchronous"))
        thread.start()
        thread.join(30)
    assert len(descriptors()) <= before + 2


@pytest.mark.slow
def test_many_files_and_threads_within_the_limit_of_descriptors(tmp_path):
    code = f"""
        import os, resource, shutil
        from concurrent.futures import ThreadPoolExecutor
        import scichunk
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        paths = [f"{tmp_path}/{{i}}.tif" for i in range(512)]
        for path in paths:
            shutil.copy("{TEST_DATA / "dem_2024-01-01.tif"}", path)
        for reader in ("reference", "indexed"):
            arrays = [scichunk.from_geotiff(p, reader=reader) for p in paths]
            def read(number):
                return [int(a[0, number, 0].compute(scheduler="synchronous")) for a in arrays]
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(read, range(8)))
            assert len(os.listdir("/proc/self/fd")) < 500
        open(paths[0]).close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=280)


# -- temporary files ------------------------------------------------------------------------------------------------------------


def large_gz(path, cut=0):
    """81 MB of pixels, which do not stay in memory when they are expanded."""
    out = io.BytesIO()
    fits.PrimaryHDU(np.ones((4500, 4500), "f4")).writeto(out)
    data = gzip.compress(out.getvalue(), 1)
    path.write_bytes(data[: len(data) - cut])
    return path


def own_folder(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder, {**os.environ, "TMPDIR": str(folder)}


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_no_temporary_file_has_a_name(tmp_path, end):
    path = large_gz(tmp_path / "large.fits.gz")
    folder, environment = own_folder(tmp_path)
    code = f"""
        import os, warnings
        import scichunk
        warnings.simplefilter("ignore")
        array = scichunk.from_fits("{path}", chunks=(500, 4500))
        assert array[:10].compute(scheduler="synchronous").max() == 1
        array = scichunk.from_fits("{path}", chunks=(500, 4500), reader="reference")
        assert array[:10].compute(scheduler="synchronous").max() == 1
        assert os.listdir("{folder}") == []
        {end}
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == {"": 0, "os.kill(os.getpid(), 9)": -9, "raise SystemExit(3)": 3}[end], done.stderr
    assert list(folder.iterdir()) == []


def test_failed_decompression_leaves_nothing(tmp_path):
    path = large_gz(tmp_path / "cut.fits.gz", cut=200)
    folder, environment = own_folder(tmp_path)
    code = f"""
        import warnings
        import scichunk
        warnings.simplefilter("ignore")
        try:
            scichunk.from_fits("{path}")
        except scichunk.errors.FormatError as error:
            print(error.url)
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=280)
    assert done.stdout.strip() == str(path)
    assert list(folder.iterdir()) == []


def test_a_child_that_ends_takes_nothing_from_its_parent(tmp_path):
    path = large_gz(tmp_path / "large.fits.gz")
    code = f"""
        import os, sys, warnings
        import scichunk
        warnings.simplefilter("ignore")
        array = scichunk.from_fits("{path}", chunks=(500, 4500))
        array[:10].compute(scheduler="synchronous")
        child = os.fork()
        if not child:
            assert array[600:610].compute(scheduler="synchronous").max() == 1
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert array[1000:1010].compute(scheduler="synchronous").max() == 1
        assert scichunk.from_fits("{path}")[1000:1010].compute(scheduler="synchronous").max() == 1
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=280)


def test_expanded_files_are_read_again_after_close(tmp_path):
    path = large_gz(tmp_path / "large.fits.gz")
    with xr.open_dataset(path, engine="fits") as ds:
        assert float(ds.data[10, 10]) == 1
    assert not [d for d in descriptors() if "scichunk" in d]
    assert float(ds.data[20, 20]) == 1
    ds.close()
