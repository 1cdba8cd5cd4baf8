"""What a parent has opened is read in a child, started in each way; or the error says why it cannot be. Nothing hangs."""

import concurrent.futures
import gzip
import io
import multiprocessing.util
import os
import pickle
import signal
import tempfile
import threading
import time
import warnings
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import SourceError
from scichunk.testing import RangeServer

ROWS = np.arange(300 * 400, dtype="i4").reshape(300, 400)
SECONDS = 60
METHODS = [m for m in ("fork", "spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]
KINDS = [
    "local", "http", "s3", "simplecache", "zip", "zip over http", "gz in memory", "gz in a file", "memory", "bytes",
    "file object", "obstore memory", "obstore http", "file system",
]  # fmt: skip
SLOW = {"s3", "gz in a file", "obstore http"}
"""Kinds that take a second and more each, and have a quick one beside them: together these tests take half a minute."""
REFUSED = {
    ("fork", "obstore memory"): "forked",
    ("fork", "obstore http"): "forked",
    ("fork", "file object"): "forked",
    ("spawn", "memory"): "no such file",
    ("forkserver", "memory"): "no such file",
}
"""What cannot be read in such a child, and a word of the error."""
STAYS = {"obstore memory"}
"""What cannot be sent to another process: a store whose bytes lie in the memory of its own."""


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


DATA = fits_bytes(ROWS)


def kinds(*names):
    """Parameters of a test, those of slow kinds with their mark."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


class Odd:
    """An open file of which nothing is known."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell


@pytest.fixture(scope="module")
def server():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.fits", DATA)
    with RangeServer({"a.fits": DATA, "a.zip": packed.getvalue()}) as running:
        yield running


@pytest.fixture(scope="module")
def bucket():
    """The options with which an S3 server of this machine is reached, or the reason why there is none."""
    try:
        import boto3
        import s3fs  # noqa: F401
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        yield f"no S3 server to ask: {error}"
        return
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="bkt")
    client.put_object(Bucket="bkt", Key="a.fits", Body=DATA)
    yield {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"}}
    client.close()
    running.stop()


def source(kind, server, folder, bucket):
    """Name and storage options of a file, and its content."""
    path = Path(folder) / "a.fits"
    path.write_bytes(DATA)
    if kind == "local":
        return str(path), None, ROWS
    if kind == "http":
        return server.url("a.fits"), None, ROWS
    if kind == "s3":
        if isinstance(bucket, str):
            pytest.skip(bucket)
        return "s3://bkt/a.fits", bucket, ROWS
    if kind == "simplecache":
        return f"simplecache::{server.url('a.fits')}", None, ROWS
    if kind.startswith("zip"):
        (path.parent / "a.zip").write_bytes(server.files["a.zip"])
        archive = server.url("a.zip") if kind == "zip over http" else path.parent / "a.zip"
        return f"zip://a.fits::{archive}", None, ROWS
    if kind.startswith("gz"):  # beyond 64 MB, the content lies in a temporary file
        pixels = ROWS if kind == "gz in memory" else np.zeros((4500, 4000), "i4")
        path.with_suffix(".fits.gz").write_bytes(gzip.compress(fits_bytes(pixels), 1))
        return str(path.with_suffix(".fits.gz")), None, pixels
    if kind == "memory":
        fsspec.filesystem("memory").pipe("/a.fits", DATA)
        return "memory://a.fits", None, ROWS
    if kind in {"bytes", "file object"}:
        return io.BytesIO(DATA) if kind == "bytes" else Odd(DATA), None, ROWS
    if kind == "file system":
        return fsspec.filesystem("http").open(server.url("a.fits")), None, ROWS
    obstore = pytest.importorskip("obstore")
    from obstore.store import HTTPStore, MemoryStore

    if kind == "obstore http":
        address = server.url("").rstrip("/")
        return "a.fits", {"store": HTTPStore.from_url(address, client_options={"allow_http": True})}, ROWS
    store = MemoryStore()
    obstore.put(store, "a.fits", DATA)
    return "a.fits", {"store": store}, ROWS


def window(array):
    """Read the last rows, which are beyond the head of the file; dask's own pool of threads does not survive a fork."""
    last = array[-3:].data if isinstance(array, xr.DataArray) else array[-3:]
    with scichunk.options.set(cached_tile_bytes=0):  # so that a child cannot take them from what the parent has decoded
        return last.compute(scheduler="synchronous")


def read(array, dataset):
    """Read both; runs in the child."""
    warnings.simplefilter("ignore")
    try:
        return window(array), window(dataset)
    except scichunk.errors.ScichunkError as error:
        return error


class Child:
    """A child of a start method that imports everything anew: one for all files, since that takes its time."""

    def __init__(self, method):
        self._context = multiprocessing.get_context(method)
        self.start()

    def start(self):
        self._pool = concurrent.futures.ProcessPoolExecutor(1, self._context)
        self._first = self._pool.submit(os.getpid)

    def ask(self, *work):
        self._first.result(SECONDS)
        try:
            return self._pool.submit(*work).result(SECONDS)
        except concurrent.futures.TimeoutError:
            self.kill()
            self.start()
            pytest.fail(f"the child hangs for {SECONDS} s")

    def kill(self):
        os.kill(self._first.result(SECONDS), signal.SIGKILL)
        self._pool.shutdown(wait=True, cancel_futures=True)


@pytest.fixture(scope="module")
def children():
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # multiprocessing removes its folder of sockets after the tests' own is gone
        patch.setattr(tempfile, "tempdir", "/tmp")
        multiprocessing.util.get_temp_dir()
    made = {method: Child(method) for method in METHODS if method != "fork"}
    for child in made.values():
        child.ask(os.getpid)
    yield made
    for child in made.values():
        child.kill()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", kinds(*KINDS))
def test_what_the_parent_opened_is_read_in_a_child(kind, method, server, tmp_path, bucket, children):
    name, options, pixels = source(kind, server, tmp_path, bucket)
    array = scichunk.from_fits(name, storage_options=options)
    dataset = xr.open_dataset(name, engine="fits", chunks={}, storage_options=options)
    image = next(iter(dataset.data_vars.values()))
    np.testing.assert_array_equal(window(array), pixels[-3:])
    if kind in STAYS and method != "fork":
        with pytest.raises(Exception, match=r"[Pp]ickl"):
            pickle.dumps(array)
        return
    found = forked(read, array, image) if method == "fork" else children[method].ask(read, array, image)
    expected = REFUSED.get((method, kind))
    if expected is not None:
        assert isinstance(found, SourceError), found
        assert expected in str(found)
        return
    for values in found if isinstance(found, tuple) else pytest.fail(f"in the child: {found}"):
        np.testing.assert_array_equal(values, pixels[-3:])
    np.testing.assert_array_equal(window(array), pixels[-3:])  # and the parent goes on


def forked(work, *args):
    """Run a function in a forked child, which has a time to end, and return its result."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run():
        theirs.send(work(*args))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            pytest.fail(f"the child hangs for {SECONDS} s")
        return ours.recv()
    finally:
        process.kill()
        process.join()
        ours.close()


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", kinds("http", "simplecache", "zip", "zip over http", "s3", "gz in a file"))
def test_a_forked_child_opens_what_the_parent_opened_again(kind, server, tmp_path, bucket):
    name, options, pixels = source(kind, server, tmp_path, bucket)
    np.testing.assert_array_equal(window(scichunk.from_fits(name, storage_options=options)), pixels[-3:])

    def again(name, options):
        scichunk.clear_caches()
        return window(scichunk.from_fits(name, storage_options=options))

    np.testing.assert_array_equal(forked(again, name, options), pixels[-3:])
    np.testing.assert_array_equal(window(scichunk.from_fits(name, storage_options=options)), pixels[-3:])


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", kinds("obstore memory", "obstore http"))
def test_a_forked_child_is_told_that_it_cannot_open_a_store(kind, server, tmp_path, bucket):
    name, options, pixels = source(kind, server, tmp_path, bucket)
    np.testing.assert_array_equal(window(scichunk.from_fits(name, storage_options=options)), pixels[-3:])

    def again(name, options):
        scichunk.clear_caches()
        try:
            return window(scichunk.from_fits(name, storage_options=options))
        except SourceError as error:
            return error

    found = forked(again, name, options)
    assert isinstance(found, SourceError)
    assert "forked" in str(found)


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_ends_takes_no_connection_from_its_parent(server):
    """Its event loop shares a selector with the parent's: a session that it closed would be closed for both."""
    array = scichunk.from_fits(server.url("a.fits"))
    np.testing.assert_array_equal(window(array), ROWS[-3:])

    def let_go():
        import gc

        scichunk.clear_caches()
        fsspec.filesystem("http").clear_instance_cache()
        gc.collect()
        return "ended"

    assert forked(let_go) == "ended"
    server.reset()
    with scichunk.options.set(timeout=5.0, retries=0):
        np.testing.assert_array_equal(window(array), ROWS[-3:])
    assert server.requests == 1


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_forked_while_threads_read(server, tmp_path):
    lazy = xr.open_dataset(server.url("a.fits"), engine="fits", cache=False)["data"]

    def window():
        """Read without Dask, whose lock of tokens a child inherits locked where a thread of the parent holds it."""
        with scichunk.options.set(cached_tile_bytes=0):
            return lazy[-3:].values

    window()  # all is imported: a fork while a thread imports leaves the lock of the module locked, whoever reads
    ended = threading.Event()

    def busy():
        while not ended.is_set():
            window()

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            np.testing.assert_array_equal(forked(window), ROWS[-3:])
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_child(server):
    array = scichunk.from_fits(server.url("a.fits"))
    window(array)
    np.testing.assert_array_equal(forked(lambda: forked(window, array)), ROWS[-3:])


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_os_fork(server):
    array = scichunk.from_fits(server.url("a.fits"))
    window(array)
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        os._exit(0 if np.array_equal(window(array), ROWS[-3:]) else 3)
    deadline = time.monotonic() + SECONDS + 5
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(window(array), ROWS[-3:])
