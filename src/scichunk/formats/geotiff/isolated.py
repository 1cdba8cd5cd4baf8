"""GDAL in a process of its own, for codecs that write beyond their memory where data are damaged.

libtiff's decoder of CCITT T.4 writes behind its memory for some damaged lines, as glibc's checks of the heap show (GDAL 3.12.2), so what
GDAL decodes of CCITT comes from another process, which may end. Nothing that comes from there is trusted: a line of JSON, and as many
bytes as the window has.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.errors import UnsupportedFeature
from scichunk.raster.texts import is_pam_readable
from scichunk.sources.pool import HandlePool

__all__ = ["ISOLATED", "IsolatedError", "environment", "read_isolated", "serve"]

ISOLATED: Final = frozenset({2, 3, 4, 32771})
"""Compressions that are decoded in another process: CCITT, with and without ends of lines."""
_MOST_LINE_BYTES: Final = 1 << 16
_PROGRAM: Final = "import sys; sys.path[:] = {!r}; from scichunk.formats.geotiff.isolated import serve; serve()"


class IsolatedError(Exception):
    """GDAL cannot read it, or has ended the process."""


class _EndedError(Exception):
    """The other process is not there any more, or says what makes no sense."""


class _Process:
    """Another process, which reads windows one after the other."""

    def __init__(self) -> None:
        if not sys.executable:
            msg = "CCITT is decoded in a process of its own, and this Python does not know how to start one (sys.executable)"
            raise UnsupportedFeature(msg)
        command = [sys.executable, "-W", "ignore", "-c", _PROGRAM.format(sys.path)]
        self._child = subprocess.Popen(  # noqa: S603  # this interpreter
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.served = 0
        """Requests that were answered: memory may have been written over in any of them."""

    def read(self, request: dict[str, Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Send a request and wait for its answer.

        Raises
        ------
        IsolatedError
            If GDAL cannot read it.
        _EndedError
            If there is no answer.
        """
        try:
            requests = cast("IO[bytes]", self._child.stdin)
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            answer = json.loads(cast("IO[bytes]", self._child.stdout).readline(_MOST_LINE_BYTES))
            refused = answer.get("error")
            found = None if refused else self._receive(np.dtype(str(answer["dtype"])), shape)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _EndedError(self._end()) from error
        if found is None:
            raise IsolatedError(str(refused))
        self.served += 1
        return found

    def _receive(self, kind: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        if kind.kind not in "iufc":
            raise ValueError(kind)
        values = np.empty(shape, kind)
        view, done = memoryview(values.reshape(-1).view(np.uint8)), 0
        while done < values.nbytes:
            got = self._child.stdout.readinto(view[done:])  # type: ignore[union-attr]  # a BufferedReader
            if not got:
                raise EOFError
            done += got
        return values

    def _end(self) -> str:
        """Say how the process has ended; one that has not is ended by the pool."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1)
        code = self._child.poll()
        return (
            "nothing sensible came from it" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        )

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):  # what was written and not sent is lost with the process
                cast("IO[bytes]", stream).close()


_processes: Final = HandlePool(lambda process: process.close())


def environment(name: str) -> dict[str, bool]:
    """Settings with which GDAL opens a file: metadata are read elsewhere, and a PAM file only counts for what absent tiles hold."""
    path = name.split(":", 3)[-1] if name.startswith("GTIFF_DIR:off:") else name
    settings = {"GDAL_DISABLE_READDIR_ON_OPEN": True}
    return settings if is_pam_readable(path) else settings | {"GDAL_PAM_ENABLED": False}


def read_isolated(
    name: str, bands: Sequence[int], area: tuple[int, int, int, int], kind: str | None
) -> npt.NDArray[Any]:
    """Read a window by GDAL in another process.

    Parameters
    ----------
    name
        What rasterio opens: a path of this machine, or a directory of one.
    bands
        From 1 on.
    area
        First column, first row, columns, rows.
    kind
        Type of the values; None: that of the bands.

    Returns
    -------
    ndarray, shape (bands, rows, columns)

    Raises
    ------
    IsolatedError
        If GDAL cannot read it, or has ended the process.
    UnsupportedFeature
        If no process can be started.
    """
    # What this process has open lies elsewhere for another one.
    request = {
        "name": name.replace("/proc/self/", f"/proc/{os.getpid()}/"),
        "bands": list(bands),
        "area": area,
        "kind": kind,
        "environment": {"GDAL_CACHEMAX": options.get().gdal_cache_bytes, **environment(name)},
    }
    while True:  # until a fresh process was tried: a failed one goes
        served = 0
        try:
            with _processes.lend("GDAL", _Process) as process:
                served = process.served
                found: npt.NDArray[Any] = process.read(request, (len(bands), area[3], area[2]))
                return found
        except _EndedError as error:
            if not served:  # else it may have been harmed by a file before
                msg = f"the process in which GDAL decodes it has ended ({error}): it is damaged, or that process cannot be started"
                raise IsolatedError(msg) from error


def serve() -> None:
    """Answer requests until there are no more: the other process."""
    import rasterio
    from rasterio.windows import Window

    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not get in between
    for line in requests:
        asked = json.loads(line)
        try:
            with (
                rasterio.Env(**asked["environment"]),
                rasterio.open(asked["name"], driver="GTiff") as dataset,
            ):
                found = dataset.read(asked["bands"], window=Window(*asked["area"]), out_dtype=asked["kind"])
            head, values = {"dtype": found.dtype.str}, np.ascontiguousarray(found).tobytes()
        except Exception as error:  # noqa: BLE001  # rasterio raises what GDAL's plug-ins raise
            head, values = {"error": str(error)[: _MOST_LINE_BYTES // 16]}, b""
        answers.write(json.dumps(head).encode() + b"\n" + values)
        answers.flush()
