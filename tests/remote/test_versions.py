"""A file that is replaced is another version: on every storage, at any length, right after it was opened."""

import asyncio
import base64
import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import tempfile
import threading
import zipfile
from typing import ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from fsspec.core import OpenFile
from fsspec.implementations.cached import WholeFileCacheFileSystem
from fsspec.implementations.memory import MemoryFileSystem

import scichunk
from scichunk.errors import LimitExceeded, MissingFile, ScichunkError, SourceError
from scichunk.sources import locate
from scichunk.testing import RangeServer
from tests.archive_files import make_tar, make_zip
from tests.remote.ftp import FTPServer
from tests.votable_docs import ROW, doc

PIXELS = np.arange(300 * 300, dtype="i4").reshape(300, 300)
CHANGED = "changed since it was opened; open it again"


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


FIRST, SECOND, SHORT = fits_bytes(PIXELS), fits_bytes(PIXELS + 1), fits_bytes(PIXELS[:60])


class Distant(MemoryFileSystem):
    """A file system whose files are not on this machine, as far as its name says."""

    protocol = "distant"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix(f"{cls.protocol}://"))


class Bare(Distant):
    """One that says nothing of versions."""

    protocol = "bare"

    def info(self, path, **kwargs):
        found = super().info(path, **kwargs)
        return {name: found[name] for name in ("name", "size", "type")}


class Slow(Distant):
    """One whose reads, but for those of the head, last until somebody ends them."""

    protocol = "slow"
    ends = threading.Event()

    def cat_file(self, path, start=None, end=None, **kwargs):
        if start:
            self.ends.wait(20)
        return super().cat_file(path, start, end, **kwargs)


class Swapped(Distant):
    """One whose file is replaced while a batch of ranges is read; it writes down what it is asked."""

    protocol = "swapped"
    asked: ClassVar = []
    replacement = None

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.asked.append("cat_file")
        found = super().cat_file(path, start, end, **kwargs)
        if start and self.replacement is not None:
            self.pipe(path, self.replacement)
        return found

    def info(self, path, **kwargs):
        self.asked.append("info")
        return super().info(path, **kwargs)


class Named(Distant):
    """One that names versions in a word of its own."""

    protocol = "named"
    word, version = "", ""

    def info(self, path, **kwargs):
        found = super().info(path, **kwargs)
        return {name: found[name] for name in ("name", "size", "type")} | {self.word: self.version}


for system in (Distant, Bare, Slow, Swapped, Named):
    fsspec.register_implementation(system.protocol, system, clobber=True)


@pytest.fixture
def storages():
    """By name: what opens a file, and what replaces it."""
    made = {}
    with RangeServer() as server:

        def http(data):
            server.files["a.fits"] = data

        made["http"] = http, server.url("a.fits"), None
        for protocol in ("memory", "distant"):
            system = fsspec.filesystem(protocol)
            made[protocol] = lambda data, system=system: system.pipe("/a.fits", data), f"{protocol}://a.fits", None
        obstore = pytest.importorskip("obstore")
        from obstore.store import HTTPStore, MemoryStore

        store = MemoryStore()
        made["obstore memory"] = lambda data: obstore.put(store, "a.fits", data), "a.fits", {"store": store}
        web = HTTPStore.from_url(server.url("").rstrip("/"), client_options={"allow_http": True})
        made["obstore http"] = http, "a.fits", {"store": web}
        with tempfile.TemporaryDirectory() as folder:
            local = f"{folder}/a.fits"

            def on_disk(data):
                with open(local, "wb") as out:
                    out.write(data)

            made["local"] = on_disk, local, None
            yield made


STORAGES = ["http", "memory", "distant", "obstore memory", "obstore http", "local"]


@pytest.mark.parametrize("name", STORAGES)
@pytest.mark.parametrize("other", [SECOND, SHORT], ids=["equal length", "shorter"])
def test_a_file_that_is_replaced_after_it_was_opened(storages, name, other):
    replace, url, options = storages[name]
    replace(FIRST)
    array = scichunk.from_fits(url, storage_options=options)
    replace(other)
    with scichunk.options.set(retry_wait=0.001, timeout=5.0), pytest.raises(SourceError, match=CHANGED):
        array.compute(scheduler="synchronous")
    pixels = PIXELS + 1 if other is SECOND else PIXELS[:60]
    np.testing.assert_array_equal(scichunk.from_fits(url, storage_options=options), pixels)


@pytest.mark.parametrize("name", STORAGES)
def test_a_file_that_is_replaced_between_two_reads(storages, name):
    replace, url, options = storages[name]
    replace(FIRST)
    array = scichunk.from_fits(url, storage_options=options)
    np.testing.assert_array_equal(array, PIXELS)
    replace(SECOND)
    with scichunk.options.set(retry_wait=0.001, timeout=5.0), pytest.raises(SourceError, match=CHANGED):
        array[100:].compute(scheduler="synchronous")


@pytest.mark.parametrize("name", ["http", "obstore memory", "obstore http"])
def test_a_file_that_is_removed(storages, name):
    replace, url, options = storages[name]
    replace(FIRST)
    array = scichunk.from_fits(url, storage_options=options)
    if "http" in name:
        replace(None)
    else:
        import obstore

        obstore.delete(options["store"], "a.fits")
    with pytest.raises(MissingFile, match=r"a\.fits"):
        array.compute(scheduler="synchronous")


@pytest.fixture(scope="module")
def bucket():
    """An S3 server of this machine: its client, and its address."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed, so there is no S3 server to ask")
    boto3 = pytest.importorskip("boto3")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="bkt")
    yield client, address
    running.stop()


@pytest.mark.parametrize("by", ["s3fs", "obstore", "presigned URL"])
def test_objects_of_s3_that_are_replaced(by, bucket):
    client, address = bucket
    client.put_object(Bucket="bkt", Key="a.fits", Body=FIRST)
    url, options = "s3://bkt/a.fits", {"key": "a", "secret": "b", "endpoint_url": address}
    if by == "obstore":
        store = pytest.importorskip("obstore.store").S3Store(
            "bkt", endpoint=address, region="us-east-1", access_key_id="a", secret_access_key="b",
            client_options={"allow_http": True},
        )  # fmt: skip
        url, options = "a.fits", {"store": store}
    elif by == "presigned URL":
        url, options = client.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "a.fits"}), None
    else:
        pytest.importorskip("s3fs", reason="s3fs is not installed")
    array = scichunk.from_fits(url, storage_options=options)
    np.testing.assert_array_equal(array, PIXELS)
    client.put_object(Bucket="bkt", Key="a.fits", Body=SECOND)
    with pytest.raises(SourceError, match=CHANGED):
        array.compute(scheduler="synchronous")
    np.testing.assert_array_equal(scichunk.from_fits(url, storage_options=options), PIXELS + 1)


@pytest.mark.parametrize("writer", ["fits", "votable"])
def test_tables_on_s3(writer, bucket):
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    url, options = f"s3://bkt/t.{writer}", {"key": "a", "secret": "b", "endpoint_url": bucket[1]}
    write = {"fits": scichunk.write_fits_table, "votable": scichunk.write_votable}[writer]
    write(pa.table({"a": np.arange(5)}), url, storage_options=options)
    with pytest.raises(SourceError, match="exists already"):
        write(pa.table({"a": np.arange(6)}), url, storage_options=options)
    assert scichunk.read_table(url, storage_options=options).compute().a.tolist() == [0, 1, 2, 3, 4]
    write(pa.table({"a": np.arange(6)}), url, storage_options=options, overwrite=True)
    assert len(scichunk.read_table(url, storage_options=options)) == 6
    with pytest.raises(MissingFile), scichunk.options.set(retries=0):
        write(pa.table({"a": np.arange(6)}), "s3://none/t", storage_options=options)


def test_members_of_archives_with_equal_dates_and_lengths(tmp_path):
    names = []
    for data in (FIRST, SECOND):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.fits", (2020, 1, 1, 0, 0, 0)), data)
        fsspec.filesystem("zip", fo=str(path)).clear_instance_cache()
        array = scichunk.from_fits(f"zip://a.fits::{path}")
        np.testing.assert_array_equal(array, PIXELS + (data is SECOND))
        names.append(array.name)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    "word", ["modify", "modificationTime", "sha", "hex", "blob_id", "md5Checksum", "modified", "mtime", "created"]
)
def test_what_storages_call_a_version(monkeypatch, word):
    """Those of FTP, WebHDFS, GitHub, git, Hugging Face, Google Drive, WebDAV, SFTP and memory."""
    monkeypatch.setattr(Named, "word", word)
    monkeypatch.setattr(Named, "version", "1")
    system, pixels = fsspec.filesystem("named"), np.zeros((300, 300), "f4")

    def content(value):
        out = io.BytesIO()
        fits.PrimaryHDU(pixels + value).writeto(out)
        return out.getvalue()

    system.pipe("/a.fits", content(1))
    opened = scichunk.reader("named://a.fits")
    assert opened[0, 0] == 1
    system.pipe("/a.fits", content(2))
    monkeypatch.setattr(Named, "version", "2")
    with pytest.raises(SourceError, match="has changed"):
        opened[...]
    assert scichunk.reader("named://a.fits")[299, 299] == 2


def test_what_names_no_version_is_told_apart_by_its_first_bytes():
    system = fsspec.filesystem("bare")
    system.pipe("/c.fits", FIRST)
    first = scichunk.from_fits("bare://c.fits")
    np.testing.assert_array_equal(first, PIXELS)
    system.pipe("/c.fits", SECOND)
    second = scichunk.from_fits("bare://c.fits")
    np.testing.assert_array_equal(second, PIXELS + 1)
    assert first.name != second.name


def test_stores_that_say_weak_tags_or_nothing():
    pytest.importorskip("obstore")
    from obstore.store import HTTPStore

    for validators in ("weak", "date", "none"):
        scichunk.clear_caches()
        with RangeServer({"a.fits": FIRST}, validators=validators) as server:
            given = {"store": HTTPStore.from_url(server.url("").rstrip("/"), client_options={"allow_http": True})}
            array = scichunk.from_fits("a.fits", storage_options=given)
            np.testing.assert_array_equal(array, PIXELS)
            server.files["a.fits"] = SECOND
            again = scichunk.from_fits("a.fits", storage_options=given)
            np.testing.assert_array_equal(again, PIXELS + 1)
            assert array.name != again.name


@pytest.mark.parametrize("kind", ["no server", "a wrong option", "no object", "an empty object"])
def test_stores_that_give_nothing(kind):
    obstore = pytest.importorskip("obstore")
    from obstore.store import HTTPStore, MemoryStore, S3Store

    quick = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    store = {
        "no server": lambda: HTTPStore.from_url("http://127.0.0.1:9/?sig=hunter2", **quick),
        "a wrong option": lambda: S3Store("bkt", endpoint="http://127.0.0.1:9", skip_signature=True, **quick),
    }.get(kind, MemoryStore)()
    if kind == "an empty object":
        obstore.put(store, "a.fits", b"")
    with (
        scichunk.options.set(retries=1, retry_wait=0.001, timeout=5.0),
        pytest.raises(scichunk.errors.ScichunkError, match=r"a\.fits") as caught,
    ):
        scichunk.from_fits("a.fits", storage_options={"store": store})
    assert "hunter2" not in repr(caught.value)
    assert len(str(caught.value)) < 700
    if kind == "no object":
        assert isinstance(caught.value, MissingFile)


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("nonsense://a/b.fits", None),
        ("memory://none.fits", None),
        ("zip://a.fits::/none/none.zip", None),
        ("s3://bkt/a.fits", {"nonsense": 1}),
        ("simplecache::http://127.0.0.1:99999/a.fits", None),
        ("simplecache::http://127.0.0.1:9/a.fits", None),
        ("memory://", None),
    ],
)
def test_file_systems_that_give_nothing(url, given):
    with scichunk.options.set(retries=1, retry_wait=0.001, timeout=5.0), pytest.raises(SourceError) as caught:
        scichunk.from_fits(url, storage_options=given)
    assert caught.value.__cause__ is None
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_file_that_is_replaced_while_it_is_read_by_fsspec():
    system = fsspec.filesystem("swapped")
    system.pipe("/e.fits", FIRST)
    array = scichunk.from_fits("swapped://e.fits", chunks=(100, 300))
    Swapped.asked.clear()
    with scichunk.options.set(range_gap=0, range_max=1 << 14):
        np.testing.assert_array_equal(array[100:200].compute(scheduler="synchronous"), PIXELS[100:200])
        assert Swapped.asked.count("info") == 1  # one look after the batch
        assert Swapped.asked.count("cat_file") >= 1
        Swapped.asked.clear()
        np.testing.assert_array_equal(array.compute(scheduler="synchronous"), PIXELS)
        assert Swapped.asked.count("info") <= 3  # one for each chunk, none for what the head has brought
    for replacement in (SECOND, SHORT):
        system.pipe("/e.fits", FIRST)
        array = scichunk.from_fits("swapped://e.fits")
        try:
            Swapped.replacement = replacement
            with pytest.raises(SourceError, match=CHANGED):
                array.compute(scheduler="synchronous")
        finally:
            Swapped.replacement = None


def test_a_file_system_that_does_not_answer():
    Slow.ends.clear()
    fsspec.filesystem("slow").pipe("/d.fits", FIRST)
    array = scichunk.from_fits("slow://d.fits")
    try:
        with (
            scichunk.options.set(retries=1, retry_wait=0.001, timeout=0.1),
            pytest.raises(SourceError, match=r"no answer within 0\.1 s.*2 times"),
        ):
            array[-1].compute(scheduler="synchronous")
    finally:
        Slow.ends.set()


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_small_reads_of_what_is_here_are_cheap(kind, tmp_path):
    fs = fsspec.filesystem("memory" if kind == "memory" else "file")
    path = "/e.fits" if kind == "memory" else str(tmp_path / "e.fits")
    fs.pipe_file(path, FIRST)
    assert locate("memory://e.fits").open().is_cheap if kind == "memory" else True
    from scichunk.sources import Location

    source = Location((fs, path)).open()
    assert source.is_cheap
    size = source.fingerprint.size
    got = source.read_ranges([0, size - 5, size - 100_000], [4, size, size - 99_000])
    assert [bytes(g) for g in got] == [FIRST[:4], FIRST[-5:], FIRST[-100_000:-99_000]]
    later = asyncio.run(source.read_ranges_async([size - 5], [size]))
    assert bytes(later[0]) == FIRST[-5:]
    fs.pipe_file(path, FIRST[:100_000])
    with pytest.raises(SourceError, match=CHANGED):
        source.read_ranges([size - 5], [size])


def test_far_file_systems_are_not_cheap():
    with RangeServer({"a.fits": FIRST}) as server:
        assert not locate(server.url("a.fits")).open().is_cheap
        assert not locate(f"simplecache::{server.url('a.fits')}").open().is_cheap


@pytest.mark.parametrize("validators", ["strong", "weak", "date"])
def test_a_version_that_is_named_after_the_opening_is_compared_from_then_on(validators):
    with RangeServer({"a.fits": FIRST}, validators=validators) as server, scichunk.options.set(retries=0):

        def hide(_request, reply):
            reply.headers.pop("ETag", None)
            reply.headers.pop("Last-Modified", None)

        server.alter = hide
        with scichunk.options.set(head_bytes=4096):
            array = scichunk.from_fits(server.url("a.fits"), chunks=(100, 300))
        server.alter = None
        np.testing.assert_array_equal(array[:100], PIXELS[:100])
        server.files["a.fits"] = SECOND
        with pytest.raises(SourceError, match=CHANGED):
            array.compute()


# ---- members of archives, references, caches

LONG = np.arange(1500 * 1000, dtype="i4").reshape(1500, 1000)


def zip_bytes(data, compression=zipfile.ZIP_STORED):
    return make_zip([("a.fits", data)], compression)


def tar_bytes(data):
    return make_tar([("a.fits", data)])


def read_lazily(target, **options):
    return scichunk.from_fits(target, chunks=(500, 1000), **options)


ARCHIVES = {"zip": zip_bytes, "tar": tar_bytes}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize(
    "storage", ["http", "memory", "local", "simplecache", "blockcache", "a name of fsspec", "a file system"]
)
def test_an_archive_that_is_replaced(tmp_path, kind, storage, begun):
    first, second = ARCHIVES[kind](fits_bytes(LONG)), ARCHIVES[kind](fits_bytes(LONG + 1))
    memory, path = fsspec.filesystem("memory"), tmp_path / "a"
    with RangeServer({"a": first}) as server:
        memory.pipe("/archives/a", first)
        path.write_bytes(first)
        target = {
            "http": f"{kind}://a.fits::{server.url('a')}",
            "memory": f"{kind}://a.fits::memory://archives/a",
            "local": f"{kind}://a.fits::{path}",
            "a name of fsspec": f"{kind}://a.fits::{server.url('a')}",
            "a file system": fsspec.filesystem(kind, fo=server.url("a")),
        }.get(storage, f"{kind}://a.fits::{storage}::{server.url('a')}")
        if storage == "a name of fsspec":
            target = fsspec.open(target)
        elif storage == "a file system":
            target = OpenFile(target, "a.fits")
        array = read_lazily(target)
        if begun:
            np.testing.assert_array_equal(array[:500], LONG[:500])
        server.files["a"] = second
        memory.pipe("/archives/a", second)
        path.write_bytes(second)
        with pytest.raises(SourceError, match="changed since"):
            array.compute()
        if storage in {"http", "memory", "local"}:
            again = read_lazily(target)
            assert again.name != array.name
            np.testing.assert_array_equal(again, LONG + 1)


def test_an_archive_that_is_replaced_while_it_is_read():
    longer = np.tile(LONG, (4, 1))
    with RangeServer({"a.zip": zip_bytes(fits_bytes(longer))}) as server:
        array = read_lazily(f"zip://a.fits::{server.url('a.zip')}")
        before = server.requests

        def replace(*_):
            if server.requests > before + 1:
                server.files["a.zip"] = zip_bytes(fits_bytes(longer + 1))

        server.alter = replace
        with pytest.raises(SourceError, match="changed since"):
            array.compute(scheduler="synchronous")


@pytest.mark.parametrize(("told", "message"), [(True, "came instead of"), (False, "does not say which bytes")])
def test_an_archive_of_which_other_bytes_come(told, message):
    data = zip_bytes(fits_bytes(LONG))

    def alter(request, reply):
        if request.start and reply.status == 206:
            first = request.start - 64
            reply.body = data[first : first + len(reply.body)]
            reply.headers.pop("Content-Range")
            if told:
                reply.headers["Content-Range"] = f"bytes {first}-{first + len(reply.body) - 1}/{len(data)}"

    with RangeServer({"a.zip": data}) as server, scichunk.options.set(retries=0):
        server.alter = alter
        with pytest.raises(SourceError, match=message):
            read_lazily(f"zip://a.fits::{server.url('a.zip')}").compute()


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("kind", ["zip", "tar", "deflated zip", "compressed tar", "zip in a zip"])
def test_members_of_archives_are_read_by_many_threads(kind, concurrency):
    data = fits_bytes(LONG)
    name, chain, made = {
        "zip": ("a.zip", "zip://a.fits::", lambda: zip_bytes(data)),
        "tar": ("a.tar", "tar://a.fits::", lambda: tar_bytes(data)),
        "deflated zip": ("a.zip", "zip://a.fits::", lambda: zip_bytes(data, zipfile.ZIP_DEFLATED)),
        "compressed tar": ("a.tar.gz", "tar://a.fits::", lambda: gzip.compress(tar_bytes(data), 1)),
        "zip in a zip": ("b.zip", "zip://a.fits::zip://a.fits::", lambda: zip_bytes(zip_bytes(data))),
    }[kind]
    with RangeServer({name: made()}) as server, scichunk.options.set(concurrency=concurrency, timeout=20.0):
        array = read_lazily(chain + server.url(name))
        np.testing.assert_array_equal(array.compute(scheduler="threads", num_workers=8), LONG)


def count_bytes(monkeypatch, kind, method):
    """Have the bytes summed up that a method gives."""
    counted, own = [0], getattr(kind, method)

    def counting(self, *args):
        found = own(self, *args)
        counted[0] += len(found)
        return found

    monkeypatch.setattr(kind, method, counting)
    return counted


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("spilled", [False, True])
def test_a_compressed_member_is_decompressed_once(monkeypatch, kind, spilled):
    """Not anew up to each range that is read."""
    monkeypatch.setattr("scichunk.sources.spill._IN_MEMORY_BYTES", 1 << 20 if spilled else 1 << 26)
    data = fits_bytes(LONG)
    make = {
        "zip": lambda: ("a.zip", zip_bytes(data, zipfile.ZIP_DEFLATED)),
        "tar": lambda: ("a.tar.gz", gzip.compress(tar_bytes(data), 1)),
    }
    name, archive = make[kind]()
    counted = count_bytes(
        monkeypatch, *((zipfile.ZipExtFile, "_read1") if kind == "zip" else (gzip._GzipReader, "read"))
    )
    with RangeServer({name: archive}) as server:
        opened = scichunk.reader(f"{kind}://a.fits::{server.url(name)}")
        scans = counted[0] if kind == "zip" else 2 * len(data)  # the archive is gone through once to find its members
        assert counted[0] <= scans
        counted[0] = 0
        for row in reversed(range(0, len(LONG), 500)):
            np.testing.assert_array_equal(opened[row : row + 100], LONG[row : row + 100])
        assert counted[0] < 1.1 * len(data) + (3 << 20)
        opened.close()
        np.testing.assert_array_equal(opened[7], LONG[7])
        again = pickle.loads(pickle.dumps(opened))
        np.testing.assert_array_equal(again[...], LONG)


def test_a_compressed_member_is_decompressed_as_far_as_it_is_read(monkeypatch):
    pixels = np.random.default_rng(0).integers(
        0, 1 << 31, LONG.shape, "i4"
    )  # more of them than is read at once of an archive
    data = fits_bytes(pixels)
    counted = count_bytes(monkeypatch, zipfile.ZipExtFile, "_read1")
    with RangeServer({"a.zip": zip_bytes(data, zipfile.ZIP_DEFLATED)}) as server:
        opened = scichunk.reader(f"zip://a.fits::{server.url('a.zip')}")
        np.testing.assert_array_equal(opened[20], pixels[20])
        assert counted[0] < len(data) // 4
        with scichunk.options.set(max_expanded_bytes=1 << 21), pytest.raises(LimitExceeded, match="max_expanded_bytes"):
            scichunk.reader(f"zip://a.fits::{server.url('a.zip')}")[len(LONG) - 1]
        opened[len(LONG) - 1]
        server.files["a.zip"] = zip_bytes(fits_bytes(pixels // 2), zipfile.ZIP_DEFLATED)
        with pytest.raises(SourceError, match="changed"):
            opened[30:40]


def test_what_members_of_archives_take_is_counted():
    with RangeServer({"a.zip": zip_bytes(fits_bytes(LONG))}) as server:
        array = read_lazily(f"zip://a.fits::{server.url('a.zip')}")
        asked = server.requests
        with scichunk.profile(show=False) as found:
            array.compute(scheduler="synchronous")
    assert found.total["requests"] == server.requests - asked > 0
    assert found.total["asked"] == LONG.nbytes
    assert found.total["fetched"] >= LONG.nbytes


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, None])
def test_a_damaged_archive_gives_no_values(tmp_path, pack):
    """gzip has its checksum behind the end of the archive, where nobody looks who reads members."""
    data = fits_bytes(np.random.default_rng(0).integers(0, 99, (300, 300), "i4"))
    packed = zip_bytes(data, zipfile.ZIP_DEFLATED) if pack is None else pack(tar_bytes(data))
    kind, suffix = (
        ("zip", "zip")
        if pack is None
        else ("tar", {"gzip": "tar.gz", "bz2": "tar.bz2", "lzma": "tar.xz"}[pack.__module__])
    )
    path = tmp_path / f"a.{suffix}"
    for at in range(len(packed) // 4, len(packed) - 2000, len(packed) // 6):
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 255]) + packed[at + 1 :])
        with scichunk.options.set(retries=0), pytest.raises(ScichunkError):
            scichunk.from_fits(f"{kind}://a.fits::{path}").compute(scheduler="synchronous")


def tar_of_many(count):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for number in range(count):
            file.write(tarfile.TarInfo(f"{number}.fits").tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(1024))
    return out.getvalue()


def test_members_of_a_compressed_archive_are_counted(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(tar_of_many(3000))
    (tmp_path / "a.tar").write_bytes(gzip.decompress(tar_of_many(3000)))
    with scichunk.options.set(max_header_bytes=1 << 20):
        with pytest.raises(LimitExceeded, match="819 members of a compressed archive"):
            scichunk.from_fits(f"tar://7.fits::{tmp_path}/a.tar.gz")
        with pytest.raises(scichunk.errors.FormatError, match=r"empty|not a FITS"):
            scichunk.from_fits(f"tar://7.fits::{tmp_path}/a.tar")
    with pytest.raises(scichunk.errors.FormatError, match=r"empty|not a FITS"):
        scichunk.from_fits(f"tar://7.fits::{tmp_path}/a.tar.gz")


def test_options_of_each_link_of_an_archive():
    with RangeServer({"a.zip": zip_bytes(FIRST)}) as server:
        options = {"http": {"headers": {"X-Test": "yes"}}}
        np.testing.assert_array_equal(
            scichunk.from_fits(f"zip://a.fits::{server.url('a.zip')}", storage_options=options), PIXELS
        )
        assert all(request.headers.get("x-test") == "yes" for request in server.log)
        options = {
            "fo": server.url("a.zip"),
            "target_protocol": "http",
            "target_options": {"headers": {"X-Test": "yes"}},
        }
        np.testing.assert_array_equal(scichunk.from_fits("zip://a.fits", storage_options=options), PIXELS)
        assert all(request.headers.get("x-test") == "yes" for request in server.log)


@pytest.mark.parametrize("form", ["base64", "text"])
def test_files_within_references(form):
    """Their length is not that of the text that holds them."""
    small = PIXELS[:9, :9]
    data = fits_bytes(small) if form == "base64" else doc(2 * ROW).encode()

    def refer(data):
        text = "base64:" + base64.b64encode(data).decode() if form == "base64" else data.decode()
        return {"fo": {"a": text}}

    if form == "base64":
        array = scichunk.from_fits("reference://a", storage_options=refer(data))
        np.testing.assert_array_equal(array, small)
        assert scichunk.from_fits("reference://a", storage_options=refer(fits_bytes(small + 1))).name != array.name
    else:
        assert scichunk.read_table("reference://a", storage_options=refer(data)).a.compute().tolist() == [1, 1]


def test_references_to_a_file_that_is_replaced():
    with RangeServer({"a.fits": fits_bytes(LONG)}) as server:
        options = {"fo": {"a.fits": [server.url("a.fits"), 0, len(fits_bytes(LONG))]}, "remote_protocol": "http"}
        array = read_lazily("reference://a.fits", storage_options=options)
        np.testing.assert_array_equal(array[:500], LONG[:500])
        server.files["a.fits"] = fits_bytes(LONG + 1)
        with pytest.raises(SourceError, match=CHANGED):
            array.compute()
        assert read_lazily("reference://a.fits", storage_options=options).name != array.name


@pytest.mark.parametrize("chain", ["simplecache::", "filecache::", "blockcache::"])
def test_caches_of_servers_that_list_no_folders(chain):
    with RangeServer({"a.fits": FIRST}) as server:
        array = scichunk.from_fits(chain + server.url("a.fits"))
        np.testing.assert_array_equal(array, PIXELS)
        server.files["a.fits"] = SECOND
        with pytest.raises(SourceError, match=CHANGED):
            array.compute()


def test_a_cache_of_blocks_of_an_older_version(tmp_path):
    with RangeServer({"a.fits": fits_bytes(LONG)}) as server:
        url, options = f"blockcache::{server.url('a.fits')}", {"blockcache": {"cache_storage": str(tmp_path)}}
        np.testing.assert_array_equal(read_lazily(url, storage_options=options)[:500], LONG[:500])
        server.files["a.fits"] = fits_bytes(LONG + 1)
        with pytest.raises(SourceError, match="the cache has kept blocks of it"):
            read_lazily(url, storage_options=options)


class Sizeless(Distant):
    """One that does not say how long files are, as web servers at times."""

    protocol = "sizeless"

    def info(self, path, **kwargs):
        return super().info(path, **kwargs) | {"size": None}


@pytest.mark.parametrize("where", ["a file system", "a server"])
def test_the_cache_that_messages_advise_serves(where):
    fsspec.register_implementation("sizeless", Sizeless, clobber=True)
    Sizeless().pipe("/a.fits", FIRST)
    with RangeServer({"a.fits": FIRST}, ignore_ranges=True) as server:
        url = server.url("a.fits") if where == "a server" else "sizeless://a.fits"
        with (
            pytest.raises(ScichunkError, match=r"use a caching URL \(simplecache::"),
            scichunk.options.set(max_header_bytes=1 << 14),
        ):
            scichunk.from_fits(url)
        with scichunk.options.set(max_header_bytes=1 << 14):
            np.testing.assert_array_equal(scichunk.from_fits(f"simplecache::{url}"), PIXELS)


def test_references_to_a_file_of_no_version_that_is_replaced():
    """Opened again, the file that a server gives without an ETag and a date is told by its first bytes, as without references."""
    with RangeServer({"a.fits": fits_bytes(LONG)}, validators="none") as server:
        options = {"fo": {"a.fits": [server.url("a.fits"), 0, len(fits_bytes(LONG))]}, "remote_protocol": "http"}
        old = read_lazily("reference://a.fits", storage_options=options)
        np.testing.assert_array_equal(old, LONG)
        server.files["a.fits"] = fits_bytes(LONG + 1)
        new = read_lazily("reference://a.fits", storage_options=options)
        assert new.name != old.name
        np.testing.assert_array_equal(new, LONG + 1)
        server.files["a.fits"] += bytes(2880)
        with pytest.raises(SourceError, match=CHANGED):
            new.compute()


@pytest.mark.parametrize("how", ["by options", "by an unopened file"])
def test_an_archive_in_an_archive_that_is_named_in_another_way_than_by_a_chain(how):
    """What lies around it is read by requests of its own, which must not wait for that of the inner one."""
    inner, outer = io.BytesIO(), io.BytesIO()
    for out, name, data in ((inner, "a.fits", FIRST), (outer, "inner.zip", None)):
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, inner.getvalue() if data is None else data)
    MemoryFileSystem().pipe("/nested.zip", outer.getvalue())
    if how == "by options":
        fs = fsspec.filesystem("zip", fo="zip://inner.zip::memory://nested.zip", target_options={})
    else:
        around = fsspec.filesystem("zip", fo="memory://nested.zip")
        fs = fsspec.filesystem("zip", fo=fsspec.core.OpenFile(around, "inner.zip"))
    with scichunk.options.set(concurrency=1, timeout=5, retries=0):
        np.testing.assert_array_equal(scichunk.from_fits(fsspec.core.OpenFile(fs, "a.fits")), PIXELS)


def test_a_cache_that_another_thread_reads_anew(tmp_path, monkeypatch):
    """What a thread has downloaded may not be known any more to the cache when it is to be opened."""
    calls = []

    def check(self, path, known=WholeFileCacheFileSystem._check_file):
        calls.append(path)
        return False if len(calls) == 2 else known(self, path)

    monkeypatch.setattr(WholeFileCacheFileSystem, "_check_file", check)
    with RangeServer({"a.fits": FIRST}) as server, scichunk.options.set(retry_wait=0.01):
        options = {"filecache": {"cache_storage": str(tmp_path)}}
        np.testing.assert_array_equal(
            scichunk.from_fits(f"filecache::{server.url('a.fits')}", storage_options=options), PIXELS
        )
    assert len(calls) > 2


@pytest.mark.parametrize("how", ["plain", "cache"])
def test_a_file_system_with_one_connection(how):
    """What several threads ask by FTP at the same time would get mixed up, and the connection be of no use from then on."""
    with (
        FTPServer(fits_bytes(LONG)) as server,
        scichunk.options.set(timeout=20, retries=1, retry_wait=0.01, range_gap=1),
    ):
        target = f"simplecache::{server.url}" if how == "cache" else server.url
        array = scichunk.from_fits(target, chunks=(500, 1000))
        np.testing.assert_array_equal(array[::97, :3], LONG[::97, :3])
        np.testing.assert_array_equal(array.compute(scheduler="threads", num_workers=4), LONG)
    assert server.reads > (0 if how == "cache" else 3)


@pytest.mark.parametrize("below", ["memory", "file"])
def test_a_folder_of_a_file_system_without_asynchronous_methods(below, tmp_path):
    """That of the folder says that it has some, which are those of what is below."""
    fs, folder = fsspec.filesystem(below), str(tmp_path)
    fs.makedirs(folder, exist_ok=True)
    fs.pipe_file(f"{folder}/a.fits", FIRST)
    found = scichunk.from_fits(OpenFile(fsspec.filesystem("dir", path=folder, fs=fs), "a.fits"))
    np.testing.assert_array_equal(found, PIXELS)
    np.testing.assert_array_equal(scichunk.from_fits(f"dir://a.fits::{below}://{folder}"), PIXELS)
    fs.pipe_file(f"{folder}/a.fits", SHORT)
    with pytest.raises(SourceError, match=CHANGED):
        found.compute()
