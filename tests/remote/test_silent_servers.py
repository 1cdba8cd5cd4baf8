"""A server that accepts and then says nothing: the time-out of the options ends each try, while opening and while reading."""

import contextlib
import io
import re
import socket
import subprocess
import sys
import threading

import fsspec
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import SourceError
from scichunk.testing import RangeServer

QUICK = {"timeout": 0.2, "retries": 1, "retry_wait": 0.001}
SAYS = r"no answer within {} s.*a\.fits.*2 times"
SECONDS = 60
"""After which a reading that does not end is a failure of the test; it is no measure of time."""


class SilentServer:
    """Accepts connections, and keeps them open without a word."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = []
        self._thread = threading.Thread(target=self._accept)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self._socket.accept()[0])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self.connections:
            connection.close()


def named(by, address):
    """Name and storage options of a file on a server."""
    if by == "s3":
        pytest.importorskip("s3fs", reason="s3fs is not installed")
        return "s3://bucket/a.fits", {"key": "a", "secret": "b", "endpoint_url": address, "skip_instance_cache": True}
    if by == "obstore":
        store = pytest.importorskip("obstore.store", reason="obstore is not installed").HTTPStore
        return "a.fits", {"store": store.from_url(address, client_options={"allow_http": True})}
    if by == "file object":
        return fsspec.filesystem("http").open(f"{address}/a.fits"), None
    return f"{address}/a.fits", None


def outcome(read):
    """Return the error of a reading, which is done in a thread: a reading that hangs fails the test, and not only its end."""
    found, ended = [], threading.Event()

    def run():
        try:
            found.append(read())
        except Exception as error:  # looked at by the test
            found.append(error)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(SECONDS), "it hangs"
    return found[0]


OPENERS = {
    "from_fits": lambda name, options: scichunk.from_fits(name, storage_options=options),
    "open_dataset": lambda name, options: xr.open_dataset(name, engine="fits", storage_options=options),
    "open": lambda name, options: scichunk.open(name, storage_options=options),
    "info": lambda name, options: scichunk.info(name, storage_options=options),
    "read_table": lambda name, options: scichunk.read_table(name, storage_options=options),
    "open_stack": lambda name, options: scichunk.open_stack([name, name], storage_options=options),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_opening_ends(opener):
    with SilentServer() as server, scichunk.options.set(**QUICK):
        name, options = named("http", server.address)
        error = outcome(lambda: OPENERS[opener](name, options))
    assert isinstance(error, SourceError), error
    assert re.search(SAYS.format(r"0\.2"), str(error)), error


def test_looking_for_files_ends():
    with SilentServer() as server, scichunk.options.set(**QUICK):
        error = outcome(lambda: scichunk.from_files(f"{server.address}/*.fits"))
    assert isinstance(error, SourceError), error
    assert "no answer within 0.4 s" in str(error)


@pytest.mark.parametrize("by", ["http", "obstore", "s3"])
def test_opening_ends_by_whatever_library(by):
    with SilentServer() as server, scichunk.options.set(**QUICK):
        name, options = named(by, server.address)
        error = outcome(lambda: scichunk.from_fits(name, storage_options=options))
    assert isinstance(error, SourceError), error
    assert re.search(SAYS.format(r"0\.2"), str(error)), error


@pytest.mark.parametrize("by", ["http", "obstore", "file object"])
def test_reading_ends(by):
    out = io.BytesIO()
    pixels = np.arange(400 * 400, dtype="i4").reshape(400, 400)
    fits.PrimaryHDU(pixels).writeto(out)
    # A second, since the server answers first, which a loaded machine must be able to.
    with RangeServer({"a.fits": out.getvalue()}) as server, scichunk.options.set(**QUICK | {"timeout": 1}):
        name, options = named(by, server.url("").rstrip("/"))
        last = scichunk.from_fits(name, storage_options=options)[-1]
        server.fault = "stall"
        error = outcome(lambda: last.compute(scheduler="synchronous"))
        assert isinstance(error, SourceError), error
        assert re.search(SAYS.format(1), str(error)), error
        server.fault = ""
        np.testing.assert_array_equal(last.compute(scheduler="synchronous"), pixels[-1])


INTERRUPTED = """
import os, signal, sys, threading, time
import scichunk
from scichunk.testing import RangeServer

def alter(request, reply):
    if server.requests and (request.path != "0.fits" or "patches" in sys.argv[2]):
        reply.how = "stall"

with open(sys.argv[1], "rb") as file:
    data = file.read()
with RangeServer({f"{n}.fits": data for n in range(4)}, alter=alter) as server, scichunk.options.set(timeout=30, retries=0):
    urls = [server.url(f"{n}.fits") for n in range(4)]
    opened = scichunk.reader(urls[0])
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        READ
    except KeyboardInterrupt:
        print(time.monotonic() - began < 15)
"""


@pytest.mark.parametrize(
    "read", ["scichunk.from_files(urls)", "scichunk.patches(opened, 100).read(range(8))", "list(scichunk.patches(opened, 100).batches(2))"]
)  # fmt: skip
def test_reads_in_threads_are_left_upon_ctrl_c(read, tmp_path):
    """They may wait for a server for minutes, until all tries are over."""
    fits.PrimaryHDU(np.arange(400 * 400, dtype="i4").reshape(400, 400)).writeto(tmp_path / "a.fits")
    program = INTERRUPTED.replace("READ", read)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.fits", read],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.stdout == "True\n", done.stderr
