import asyncio
import errno
import gzip
import io
import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

import scichunk
from scichunk import errors, options
from scichunk.sources import locate, whole_file

TEST_DATA = Path(__file__).parents[2] / "test_data"

DATA = np.random.default_rng(0).integers(0, 256, 200_000, "u1").tobytes()


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "data.bin"
    file.write_bytes(DATA)
    return file


def memory_store():
    import obstore
    from obstore.store import MemoryStore

    store = MemoryStore()
    obstore.put(store, "data.bin", DATA)
    return store


@pytest.fixture(
    params=[
        "path",
        "file url",
        "bytes",
        "BytesIO",
        "open file",
        "memory",
        "fsspec file",
        "zip",
        "odd object",
        "obstore",
    ]
)
def location(request, path, tmp_path):
    kind = request.param
    if kind == "path":
        return locate(path)
    if kind == "file url":
        return locate(path.as_uri())
    if kind == "bytes":
        return locate(DATA)
    if kind == "BytesIO":
        return locate(io.BytesIO(DATA))
    if kind == "open file":
        file = path.open("rb")
        request.addfinalizer(file.close)
        return locate(file)
    if kind == "obstore":
        return locate("data.bin", {"store": memory_store()})
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
            z.writestr("data.bin", DATA)
        return locate(f"zip://data.bin::{tmp_path / 'a.zip'}")
    if kind == "odd object":

        class Odd:
            def __init__(self):
                self.file = io.BytesIO(DATA)

            def read(self, n=-1):
                return self.file.read(min(n, 1000) if n > 0 else n)

            def seek(self, *a):
                return self.file.seek(*a)

            def tell(self):
                return self.file.tell()

        return locate(Odd())
    fsspec.filesystem("memory").pipe("/data.bin", DATA)
    return locate("memory://data.bin") if kind == "memory" else locate(fsspec.open("memory://data.bin").open())


def test_ranges_are_the_bytes_of_the_file(location):
    source = location.open()
    assert source.fingerprint.size == len(DATA)
    assert bytes(source.head()) == DATA[: options.get().head_bytes]
    starts, stops = [5, 100_000, 0, 7, 150_000], [9, 190_000, 0, 70_000, 150_001]
    assert [bytes(v) for v in source.read_ranges(starts, stops)] == [
        DATA[a:b] for a, b in zip(starts, stops, strict=True)
    ]
    found = asyncio.run(source.read_ranges_async(starts, stops))
    assert [bytes(v) for v in found] == [DATA[a:b] for a, b in zip(starts, stops, strict=True)]
    with pytest.raises(errors.FormatError, match="outside the file"):
        source.read_ranges([0], [len(DATA) + 1])


def test_locations_travel(location):
    if isinstance(location.target, str) and location.options and "store" in location.options:
        pytest.skip("a memory store stays where it is")
    again = pickle.loads(pickle.dumps(location))
    assert bytes(again.open().read_ranges([10], [20])[0]) == DATA[10:20]


@pytest.mark.parametrize("target", ["/no/such/file.tif", "memory://no/such/file.tif", "zip://x::/no/such.zip"])
def test_missing_files(target):
    with pytest.raises(errors.MissingFile) as caught:
        locate(target).open()
    assert isinstance(caught.value, FileNotFoundError)


def test_missing_object():
    with pytest.raises(errors.MissingFile):
        locate("other.bin", {"store": memory_store()}).open()


def test_directories_are_refused(tmp_path):
    with pytest.raises(errors.SourceError, match="directory"):
        locate(tmp_path).open()


def test_unknown_protocol():
    with pytest.raises(errors.SourceError):
        locate("nonsense://x").open()


def test_other_objects():
    with pytest.raises(TypeError, match="expected a path"):
        locate(3)


@pytest.mark.parametrize("change", ["truncate", "rewrite", "remove"])
def test_a_local_file_that_changes(path, change):
    source = locate(path).open()
    if change == "truncate":
        os.truncate(path, 1000)
    elif change == "rewrite":
        path.write_bytes(DATA[::-1])
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(errors.SourceError):
        source.read_ranges([0], [10])


def test_a_memory_file_that_changes():
    fs = fsspec.filesystem("memory")
    fs.pipe("/changes.bin", DATA)
    source = locate("memory://changes.bin").open()
    fs.pipe("/changes.bin", DATA[:-1])
    with pytest.raises(errors.SourceError, match="changed"):
        source.read_ranges([100_000], [100_010])


def test_secrets_stay_out_of_messages():
    url = locate("https://user:password@example.org/a.tif?token=0123456789abcdef0123").url
    assert "password" not in url
    assert "0123456789" not in url
    assert "storage" not in repr(locate("s3://b/k", {"secret": "hush"}))
    assert "hush" not in repr(locate("s3://b/k", {"secret": "hush"}))


@pytest.mark.parametrize("start", [0, 8, 2880, 100_001])
def test_bytes_of_a_file_land_half_a_page_off_their_place_in_it(path, start):
    view = locate(path).open().read_ranges([start], [start + 50_000])[0]
    address = np.frombuffer(view, np.uint8).ctypes.data
    assert (address - start) % 4096 == 2048
    assert view == DATA[start : start + 50_000]


# ---- what goes wrong on this machine


def full_disk(*_args, **_options):
    return open("/dev/full", "w+b")  # whoever asks for a temporary file closes it


def no_folder(*_args, **_options):
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize(("fails", "message"), [(full_disk, "No space left"), (no_folder, "No such file")])
@pytest.mark.parametrize("kind", ["expanded", "copied"])
def test_temporary_files_that_cannot_be_written(monkeypatch, tmp_path, kind, fails, message):
    scene = TEST_DATA / "scene_deflate.tif"
    path = tmp_path / "scene.tif.gz"
    path.write_bytes(gzip.compress(scene.read_bytes()))
    monkeypatch.setattr(whole_file, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", fails)
    with pytest.raises(
        errors.SourceError, match=f"content cannot be kept: {message}.*folder for temporary files"
    ) as caught:
        if kind == "expanded":
            scichunk.from_geotiff(path).compute()
        else:
            scichunk.from_geotiff(scene.read_bytes(), reader="reference").compute()
    assert type(caught.value) is errors.SourceError
    assert caught.value.url


@pytest.mark.parametrize("kind", ["a path", "an open file"])
def test_an_open_file_that_cannot_be_looked_at(monkeypatch, path, kind):
    def stale(_number):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with path.open("r+b") as file:
        target = str(path) if kind == "a path" else file
        source = locate(target).open()
        for work in (lambda: source.read_ranges([150_000], [150_010]), lambda: locate(target).open()):
            with monkeypatch.context() as changed, pytest.raises(errors.SourceError, match=r"cannot be read.*[Ss]tale"):
                changed.setattr(os, "fstat", stale)
                work()
