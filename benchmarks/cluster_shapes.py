"""Chunks, threads, processes and spilling on a cluster of this machine: the numbers of docs/guides/clusters.md.

    python -m benchmarks.cluster_shapes

Seconds are of the wall, then of the processor: of the workers, and of client and scheduler, which share a process.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE = 8192
ROUNDS = 3


def write_scene(path):
    """Write a tiled GeoTIFF of 128 MiB of pixels."""
    import rasterio

    rng = np.random.default_rng(1)
    low = rng.integers(0, 4000, (SIDE // 16, SIDE // 16)).repeat(16, 0).repeat(16, 1)
    pixels = (low + rng.integers(0, 60, (SIDE, SIDE))).astype("u2")
    how = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint16"}
    with rasterio.open(
        path, "w", tiled=True, blockxsize=256, blockysize=256, compress="deflate", predictor=2, **how
    ) as file:
        file.write(pixels, 1)


def seconds_of_processor():
    """Seconds of the processor that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def spilled_bytes(dask_worker):
    """Bytes that a worker has written to its disk and still holds there."""
    return sum(getattr(dask_worker.data, "spilled_total", (0,)))


@contextlib.contextmanager
def cluster(workers, threads, memory="2GB"):
    """A cluster of this machine, warmed."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            memory_limit=memory,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as made,
        Client(made) as client,
    ):
        yield client


def measure(client, make):
    """Wall, workers' and own seconds of a computation, the middle of some rounds."""
    make().compute()
    rows = []
    for _ in range(ROUNDS):
        workers, own, wall = sum(client.run(seconds_of_processor).values()), time.process_time(), time.perf_counter()
        make().compute()
        wall, own = time.perf_counter() - wall, time.process_time() - own
        rows.append((wall, sum(client.run(seconds_of_processor).values()) - workers, own))
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main():
    """Print the tables."""
    import scichunk

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "scene.tif")
        write_scene(path)
        print("chunks of one file, two workers of one thread: side, tasks, wall, workers, client and scheduler")
        with cluster(2, 1) as client:
            for side in (256, 512, 1024, 2048, 4096):

                def mean(side=side):
                    return scichunk.from_geotiff(path, chunks=(1, side, side)).mean()

                print(side, (SIDE // side) ** 2, *(f"{s:.2f}" for s in measure(client, mean)), flush=True)
        print("workers x threads: wall, workers, client and scheduler")
        for workers, threads in ((1, 1), (1, 2), (2, 1)):
            with cluster(workers, threads) as client:
                found = measure(client, lambda: scichunk.from_geotiff(path, chunks=(1, 1024, 1024)).mean())
                print(f"{workers}x{threads}", *(f"{s:.2f}" for s in found), flush=True)
        print("a result of 512 MiB that is kept: memory limit, wall, spilled bytes")
        for memory in ("2GB", "700MB"):
            with cluster(1, 2, memory) as client:
                began = time.perf_counter()
                kept = scichunk.from_geotiff(path, chunks=(1, 1024, 1024)).astype("f8").persist()
                total = kept.sum().compute()
                assert total > 0
                print(memory, f"{time.perf_counter() - began:.2f}", sum(client.run(spilled_bytes).values()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
