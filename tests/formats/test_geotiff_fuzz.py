"""Damaged files: an error of the tree or some pixels, within a second and without touching anything else."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.formats.geotiff.array_ids import PageId
from scichunk.testing import mutations

DATA = Path(__file__).parents[2] / "test_data"
FILES = sorted(p for p in DATA.glob("*.tif") if p.stat().st_size < 100_000)


def read(data):
    """Open in every way and read everything; errors of the tree are fine."""
    for call in (
        lambda: scichunk.from_geotiff(data, chunks="native").compute(scheduler="synchronous") if small(data) else None,
        lambda: xr.open_dataset(data, engine="geotiff"),
        lambda: scichunk.info(data),
    ):
        try:
            call()
        except scichunk.errors.ScichunkError as error:
            assert error.url
            assert error.message


def small(data):
    return scichunk.from_geotiff(data).nbytes < 50_000_000


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.timeout(120)  # none of them may take long; 150 take about a second
def test_damaged_headers(path):
    run(path, 150, 1)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.timeout(120)
def test_damaged_headers_and_an_index_in_pages(path):
    with scichunk.options.set(paged_index_bytes=0):
        run(path, 50, 1)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_damage_anywhere(path):
    run(path, 600, None)


def run(path, count, head):
    data = path.read_bytes()
    for copy in mutations(data, count, seed=len(data), head=1500 if head else None):
        with scichunk.options.set(max_chunk_bytes=1 << 26):
            read(copy)


def tiff(entries, *, next_directory=0, order="<", tail=b""):
    """A classic TIFF of one directory of (code, type, count, value)."""
    import struct

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    body = b"".join(struct.pack(order + "HHII", *e) for e in sorted(entries))
    return head + body + struct.pack(order + "I", next_directory) + tail


BASE = [
    (256, 4, 1, 64),
    (257, 4, 1, 64),
    (258, 3, 1, 8),
    (259, 3, 1, 1),
    (262, 3, 1, 1),
    (273, 4, 1, 200),
    (277, 3, 1, 1),
    (278, 4, 1, 64),
    (279, 4, 1, 4096),
]


def changed(**values):
    codes = {
        "width": 256,
        "height": 257,
        "bits": 258,
        "compression": 259,
        "offset": 273,
        "samples": 277,
        "rows": 278,
        "length": 279,
    }
    new = {codes[k]: v for k, v in values.items()}
    return [(c, t, n, new.get(c, v)) for c, t, n, v in BASE]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tiff(changed(width=0), tail=bytes(5000)), scichunk.errors.FormatError),
        (tiff(changed(offset=1 << 31), tail=bytes(5000)), scichunk.errors.FormatError),
        (tiff(BASE, tail=bytes(100)), scichunk.errors.FormatError),
        (tiff(changed(compression=5), tail=bytes(5000)), scichunk.errors.FormatError),
        (tiff(changed(compression=8), tail=bytes(5000)), scichunk.errors.FormatError),
        (
            tiff(changed(width=1 << 30, height=1 << 30, rows=1 << 30, compression=5), tail=bytes(5000)),
            scichunk.errors.ScichunkError,
        ),
        (tiff([(322, 4, 1, 0), (323, 4, 1, 0), *BASE], tail=bytes(5000)), scichunk.errors.ScichunkError),
        (b"II*\0" + b"\xff" * 100, scichunk.errors.FormatError),
        (b"II*\0\x08\0\0\0\xff\xff", scichunk.errors.FormatError),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, scichunk.errors.FormatError),
    ],
)
def test_crafted(data, kind):
    with pytest.raises(kind) as caught:
        scichunk.from_geotiff(data)[:, :64, :64].compute()
    assert "bytes:" in str(caught.value)


def test_sound_base_is_read():
    data = tiff(BASE, tail=bytes(200)[: 200 - 8 - 2 - 12 * 9 - 4] + np.arange(4096, dtype="u2").astype("u1").tobytes())
    np.testing.assert_array_equal(
        scichunk.from_geotiff(data).compute().ravel(), np.arange(4096, dtype="u2").astype("u1")
    )


def test_loops_are_refused():
    data = tiff(BASE, next_directory=8, tail=bytes(5000))
    assert scichunk.from_geotiff(data).shape == (1, 64, 64)
    with pytest.raises(scichunk.errors.FormatError, match="comes back"):
        scichunk.from_geotiff(data, page=1)


def test_a_cut_tile_names_itself_and_the_others_still_read():
    path = DATA / "elevation_zstd.tif"
    data = bytearray(path.read_bytes())
    from scichunk.core.handles import open_file
    from scichunk.sources import locate

    index = open_file("geotiff", locate(path)).array(PageId(0)).index
    start = int(index.starts[4])
    data[start : start + 40] = b"\xff" * 40
    array = scichunk.from_geotiff(bytes(data), chunks="native")
    with pytest.raises(scichunk.errors.FormatError, match="page 0, tile 4"):
        array.compute()
    np.testing.assert_array_equal(array[:, :64], scichunk.from_geotiff(path)[:, :64])
