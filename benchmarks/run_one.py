"""Time one reader on one file in this fresh process; prints a line of JSON. Called by __main__."""

import contextlib
import gc
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import dask
import numpy as np


def peak_kb():
    """High-water mark of resident memory."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak():
    """Let the high-water mark start again from here (Linux; elsewhere it stays, and the peak is a lower bound)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    return peak_kb()


@contextlib.contextmanager
def other_name(path):
    """The file, and what lies beside it (masks), under another name: what a reader keeps of its blocks is of no use for the first name."""
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for file in path.parent.glob(f"{path.name}*"):
            os.link(file, Path(folder) / file.name)
        yield str(Path(folder) / path.name)


def touched(array):
    """The last pixel of each chunk, which is read as a whole."""
    return array.map_blocks(
        lambda b: b[-1:, -1:, -1:].copy(),
        chunks=tuple((1,) * n for n in array.numblocks),
        dtype=array.dtype,
        meta=np.empty((0, 0, 0), array.dtype),
    )


def decode_alone(path):
    """The codec of a GeoTIFF on all its tiles, each into the same warm memory."""
    from scichunk.core.handles import open_file
    from scichunk.core.manifest import EncodedChunk
    from scichunk.formats.geotiff.array_ids import PageId
    from scichunk.sources import locate

    index = open_file("geotiff", locate(path)).array(PageId(0, reader="indexed")).index
    with open(path, "rb") as file:
        data = memoryview(file.read())
    shape = index.grid.chunk_shape
    out, window = np.empty(shape, index.dtype), tuple(slice(0, n, 1) for n in shape)
    jobs = [(i, data[int(s) : int(s + n)]) for i, (s, n) in enumerate(zip(index.starts, index.lengths, strict=True))]
    index.codec.decode(EncodedChunk(jobs[0][1], shape), out, window)
    cpu = time.process_time()
    for number, part in jobs:
        index.codec.decode(EncodedChunk(part, shape, number), out, window)
    cpu = time.process_time() - cpu
    print(json.dumps({"wall": cpu, "cpu": cpu, "gb": out.nbytes * len(jobs) / 1e9}))


def main():
    name, path, threads, chunks = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    warnings.simplefilter("ignore")
    if name == "decode alone":
        decode_alone(path)
        return
    from benchmarks.readers import READERS

    scheduler = {"scheduler": "synchronous"} if threads == 1 else {"scheduler": "threads", "num_workers": threads}
    with dask.config.set(**scheduler):
        with other_name(path) as other:  # imports, kernels, and memory of one chunk, for each reader alike
            touched(READERS[name](other, tuple(chunks)).blocks[:1, :1, :1]).compute()
        array = READERS[name](path, tuple(chunks))
        touch = touched(array)
        gc.collect()
        base = reset_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        touch.compute()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_kb() - base
    print(
        json.dumps(
            {
                "wall": wall,
                "cpu": cpu,
                "peak_mb": peak / 1024,
                "gb": array.nbytes / 1e9,
                "chunk_mb": array.dtype.itemsize * np.prod(array.chunksize) / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
