"""FITS images beside astropy, fitsio and rustfits."""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks.settle import settle

ROOT = Path(__file__).resolve().parent.parent
ROW, SQUARE = "row tiles", "2-D tiles"
_WARM = (
    3  # reads before the one that is timed: imports, compiled code, pages and the allocator are as in a worker at work
)
# name: (maker, dask chunks)
CASES = {
    "cube f4": ((100, 10), "cube", "f4"),
    "cube i2 BSCALE BLANK": ((100, 10), "scaled", "i2"),
    "cube u2": ((100, 10), "cube", "u2"),
    **{
        f"{codec} {dtype} {tiles}": ((None, tiles), codec, dtype)
        for codec, dtype in (("RICE_1", "i2"), ("RICE_1", "i4"), ("GZIP_1", "i2"), ("GZIP_2", "i2"), ("GZIP_2", "f4"), ("PLIO_1", "i2"), ("HCOMPRESS_1", "i2"), ("RICE_1", "f4"))
        for tiles in (ROW, SQUARE)
    },
}  # fmt: skip


def scene(side, rng):
    """Sky with stars and noise."""
    y, x = np.mgrid[:side, :side].astype("f4")
    image = 1000 + 200 * np.sin(x / 300) * np.cos(y / 500) + rng.normal(0, 10, (side, side)).astype("f4")
    for _ in range(side // 8):
        a, b = rng.integers(8, side - 8, 2)
        image[a - 4 : a + 4, b - 4 : b + 4] += rng.exponential(2000)
    return image


def make(folder, name, side):
    from astropy.io import fits

    path = folder / f"{name.replace(' ', '_')}_{side}.fits"
    if path.exists():
        return path
    (_, tiles), kind, dtype = CASES[name]
    rng = np.random.default_rng(3)
    image = scene(side, rng)
    if kind in {"cube", "scaled"}:
        planes = max(4, 100 * side // 4096)
        data = np.stack([image[: side // 4, : side // 4] + i for i in range(planes)]).astype(
            "f4" if kind == "scaled" else dtype
        )
        hdu = fits.PrimaryHDU(data)
        if kind == "scaled":
            raw = np.round((data - 5) / 0.1).clip(-30000, 30000).astype("i2")
            raw[:, ::50, ::70] = -32768
            header = fits.PrimaryHDU(raw).header
            header["BSCALE"], header["BZERO"], header["BLANK"] = 0.1, 5.0, -32768
            path.write_bytes(header.tostring().encode() + raw.astype(">i2").tobytes() + b"\0" * (-raw.nbytes % 2880))
            return path
        hdu.writeto(path)
        return path
    if kind == "PLIO_1":
        image = (image > 1150).astype("f4") * 3
    shape = {ROW: (16 if kind == "HCOMPRESS_1" else 1, side), SQUARE: (256, 256)}[tiles]
    if dtype == "f4" and kind == "RICE_1":
        image[::97, ::89] = np.nan
        extra = {"quantize_level": 16, "quantize_method": 1, "dither_seed": 42}
    else:
        extra = {"quantize_level": 0}
    hdu = fits.CompImageHDU(image.astype(dtype), compression_type=kind, tile_shape=shape, **extra)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def chunks_of(shape):
    return (10, *shape[1:]) if len(shape) == 3 else (min(1024, shape[0]), shape[1])


def _blocks(path, read, shape, dtype):
    import dask.array as da

    def block(block_info=None):
        return read(path, tuple(slice(*b) for b in block_info[None]["array-location"]))

    chunks = da.core.normalize_chunks(chunks_of(shape), shape, dtype=dtype)
    return da.map_blocks(block, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(shape), dtype))


def _facts(path):
    from astropy.io import fits

    with fits.open(path) as file:
        hdu = file[-1]
        one = hdu.section[(slice(0, 1),) * len(hdu.shape)]
        return hdu.shape, one.dtype.newbyteorder("=")


def ours(path):
    import scichunk

    shape = scichunk.from_fits(path).shape
    return scichunk.from_fits(path, chunks=chunks_of(shape))


def section(path):
    from astropy.io import fits

    def read(path, window):
        with fits.open(path, memmap=False) as file:
            found = file[-1].section[window]
            return found.astype(found.dtype.newbyteorder("="), copy=False)

    return _blocks(path, read, *_facts(path))


def fitsio(path):
    import fitsio

    def read(path, window):
        with fitsio.FITS(str(path)) as file:
            return file[-1][window]

    return _blocks(path, read, *_facts(path))


def astropy_full(path):
    from astropy.io import fits

    def read():
        with fits.open(path, memmap=False) as file:
            return file[-1].data

    return read


def rustfits(path):
    import rustfits

    def read():
        return rustfits.FITS(str(path))[-1].read()  # opened each time: it keeps what it has decoded

    return read


READERS = {"scichunk": ours, "astropy .section": section, "fitsio": fitsio, "astropy full": astropy_full, "rustfits full": rustfits}  # fmt: skip


def run_one():
    """Time one reader in this fresh process."""
    import dask

    name, path, threads = sys.argv[2], sys.argv[3], int(sys.argv[4])
    warnings.simplefilter("ignore")
    found = READERS[name](path)
    if callable(found) and not hasattr(found, "dask"):
        compute = found
    else:
        touch = found.map_blocks(lambda b: b[(slice(-1, None),) * b.ndim].copy(), chunks=tuple((1,) * n for n in found.numblocks), dtype=found.dtype, meta=np.empty((0,) * found.ndim, found.dtype))  # fmt: skip
        compute = touch.compute
    scheduler = {"scheduler": "synchronous"} if threads == 1 else {"scheduler": "threads", "num_workers": threads}
    with dask.config.set(**scheduler):
        for _ in range(_WARM):
            compute()
        wall, cpu = time.perf_counter(), time.process_time()
        compute()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu}))


def time_one(reader, path, threads):
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.fits", "one", reader, str(path), str(threads)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, timeout=600,
    )  # fmt: skip
    return None if out.returncode else json.loads(out.stdout.splitlines()[-1])


def whole_files(given):
    """Lines of markdown: whole images, 1 thread."""
    readers = [r for r in READERS if not given.readers or r in given.readers]
    lines = [
        "### Whole images, 1 thread",
        "",
        f"CPU-seconds of the {_WARM + 1}th read in a process; in parentheses how many times those of scichunk. `.section` opens the file in each task, as Dask users do.",
        "",
        "| file | " + " | ".join(readers) + " |",
        "|---|" + "---|" * len(readers),
    ]
    for name in [n for n in CASES if given.only in n]:
        path = settle(make(given.data, name, given.side))
        runs = {r: [] for r in readers}
        for _ in range(given.rounds):
            for reader in readers:
                found = time_one(reader, path, 1)
                if found:
                    runs[reader].append(found["cpu"])
        best = statistics.median(runs["scichunk"])
        cells = [f"{statistics.median(v):.3f} ({statistics.median(v) / best:.2f})" if v else "fails" for v in runs.values()]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def section(given):
    """Measure everything; returns lines of markdown."""
    from benchmarks import fits_latency

    return [
        f"Images of {given.side} x {given.side} pixels, read in bands of 1024 rows; cubes of as many values, read 10 planes at a time; {given.rounds} rounds. Files lie in the page cache as they do after reading from a disk.",
        "",
        *whole_files(given),
        "Where astropy full takes about as long (cube f4), it gives floats in the byte order of the file: whoever computes with them swaps bytes then.",
        "",
        *fits_latency.report(given.data),
    ]


if __name__ == "__main__":
    run_one()
