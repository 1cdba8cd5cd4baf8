"""``scichunk.save_index``: stacks open from what was written down, and notice what has changed since."""

import json
import os
import pickle
import subprocess
import sys

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, LimitExceeded, SourceError
from tests.formats.test_reduce import write_tiff


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    return [
        write_tiff(tmp_path / f"f{n}.tif", rng.integers(0, 9, (2, 20, 30)).astype("u2"), nodata=0) for n in range(6)
    ]


@pytest.fixture
def index(files, tmp_path):
    path = str(tmp_path / "index.parquet")
    assert scichunk.save_index(files, path) == 6
    return path


def test_the_same_stack(files, index):
    xr.testing.assert_identical(scichunk.open_stack(index).load(), scichunk.open_stack(files).load())
    np.testing.assert_array_equal(scichunk.from_files(index), scichunk.from_files(files))
    np.testing.assert_array_equal(scichunk.from_files(index, bands=[1]), scichunk.from_files(files, bands=[1]))
    for headers in ("all", "first"):
        assert scichunk.from_files(index, headers=headers).shape == (6, 2, 20, 30)


def test_headers_are_not_read_again(files, index):
    """Only the first file is opened: the others may even be gone."""
    scichunk.clear_caches()  # what was opened for the index is read on
    os.rename(files[3], files[3] + ".away")
    stack = scichunk.open_stack(index)
    assert stack.sizes["file"] == 6
    with pytest.raises(SourceError, match=r"f3\.tif"):
        stack.load()


def test_graphs_carry_the_path_only(tmp_path):
    rng = np.random.default_rng(0)
    names = [write_tiff(tmp_path / f"{rng.integers(1 << 60):x}.tif", np.ones((1, 4, 4), "u1")) for _ in range(60)]
    scichunk.save_index(names, tmp_path / "i.parquet")
    window = scichunk.from_files(tmp_path / "i.parquet", chunks="native")[3:5]
    assert len(pickle.dumps(window)) < len(pickle.dumps(scichunk.from_files(names, chunks="native")[3:5])) - 500
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).compute(scheduler='sync').sum())"
    found = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(window), capture_output=True, check=True, timeout=120
    )
    assert int(found.stdout) == 32


def test_a_changed_file_is_an_error_when_it_is_read(files, index):
    write_tiff(files[2], np.ones((2, 20, 30), "u2"), nodata=0, compress="lzw")
    with pytest.raises(SourceError, match="changed"):
        scichunk.from_files(index).compute()
    write_tiff(files[0], np.ones((2, 20, 30), "u2"), nodata=0, compress="lzw")
    assert scichunk.from_files(index)[0].compute().max() == 1  # the first is looked at when the stack is opened


def test_an_index_outlives_changed_permissions(files, index):
    """Within the life of an index, backups and permissions change the ctime of files that stay the same."""
    for name in files:
        os.chmod(name, 0o640)
    assert scichunk.save_index(files, index, append=True) == 0
    scichunk.clear_caches()
    stack = scichunk.from_files(index, chunks="native")
    assert stack.compute().shape == (6, 2, 20, 30)
    for name in files:
        os.chmod(name, 0o600)
    assert pickle.loads(pickle.dumps(stack)).compute().shape == (6, 2, 20, 30)
    assert scichunk.open_stack(index).load().sizes["file"] == 6
    window = pickle.dumps(scichunk.from_files(index, chunks="native")[:1])
    assert len(window) < len(pickle.dumps(scichunk.from_files(files * 20, chunks="native")[:1]))


def test_appending(files, index, tmp_path):
    more = write_tiff(tmp_path / "f6.tif", np.full((2, 20, 30), 7, "u2"), nodata=0)
    write_tiff(files[1], np.full((2, 20, 30), 5, "u2"), nodata=0, compress="lzw")
    stack = scichunk.from_files(index, chunks="native")
    assert scichunk.save_index([*files, more], index, append=True) == 2
    assert scichunk.save_index(str(tmp_path / "f*.tif"), index, append=True) == 0
    with pytest.raises(SourceError, match="written anew"), dask.config.set(scheduler="sync"):
        pickle.loads(pickle.dumps(stack)).compute()
    found = scichunk.from_files(index).compute()
    assert found.shape[0] == 7
    assert (found[6] == 7).all() and (found[1] == 5).all()
    assert scichunk.save_index(files[:2], index) == 2
    assert scichunk.from_files(index).shape[0] == 2
    assert scichunk.save_index(files[:2], tmp_path / "new.parquet", append=True) == 2


def test_files_that_differ_are_found(files, tmp_path):
    write_tiff(files[4], np.ones((2, 20, 31), "u2"), nodata=0)
    path = tmp_path / "i.parquet"
    scichunk.save_index(files, path)
    with pytest.raises(FormatError, match=r"does not align"):
        scichunk.open_stack(path)
    with pytest.warns(scichunk.errors.DataWarning, match="1 of 6"):
        stack = scichunk.open_stack(path, errors="warn")
    assert np.isnan(stack.band_data[4]).all()


def test_masks_that_some_have(tmp_path):
    import rasterio

    names = [write_tiff(tmp_path / f"m{n}.tif", np.full((1, 20, 30), n + 1, "u1")) for n in range(3)]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(names[1], "r+") as dst:
        dst.write_mask(np.arange(600).reshape(20, 30) % 2 == 0)
    scichunk.save_index(names, tmp_path / "i.parquet")
    for flag in (True, False):
        xr.testing.assert_identical(
            scichunk.open_stack(tmp_path / "i.parquet", mask_and_scale=flag).load(),
            scichunk.open_stack(names, mask_and_scale=flag).load(),
        )


def test_labels_and_groups(tmp_path):
    names = []
    for n in (2, 0, 1):
        name = tmp_path / f"n{n}.fits"
        science = fits.ImageHDU(np.full((4, 5), n, "f4"), name="SCI")
        science.header["DATE-OBS"] = f"2024-01-0{n + 1}T00:00:00"
        fits.HDUList([fits.PrimaryHDU(), science]).writeto(name)
        names.append(str(name))
    path = tmp_path / "i.parquet"
    scichunk.save_index(names, path, hdu="SCI")
    for more in ({}, {"coordinate": "DATE-OBS"}, {"coordinate": [3, 1, 2]}):
        xr.testing.assert_identical(
            scichunk.open_stack(path, hdu="SCI", **more).load(), scichunk.open_stack(names, hdu="SCI", **more).load()
        )
    np.testing.assert_array_equal(scichunk.from_fits_files(path, hdu="SCI"), scichunk.from_fits_files(names, hdu="SCI"))


def test_what_is_no_index(files, tmp_path):
    with pytest.raises(ValueError, match=r"ends with \.parquet"):
        scichunk.save_index(files, tmp_path / "index.csv")
    with pytest.raises(scichunk.errors.SourceError):
        scichunk.open_stack(tmp_path / "missing.parquet")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(FormatError, match="no index"):
        scichunk.open_stack(other)
    other.write_bytes(b"PAR1 nothing")
    with pytest.raises(FormatError, match="no index"):
        scichunk.open_stack(other)
    with pytest.raises(ValueError, match="of the format"):
        fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "a.fits")
        scichunk.save_index(files, tmp_path / "i.parquet")
        scichunk.save_index([str(tmp_path / "a.fits")], tmp_path / "i.parquet", append=True)


def damaged(index, damage):
    """Write an index anew, with a column that is replaced, a part of its head that is, or without any row."""
    table = pq.read_table(index)
    head = json.loads(table.schema.metadata[b"scichunk-index"])
    if isinstance(damage, bytes | list):
        head = damage
    elif damage is None:
        table = table.slice(0, 0)
    else:
        for name, value in damage.items():
            if name in table.column_names:
                column = table.column_names.index(name)
                table = (
                    table.remove_column(column)
                    if value is None
                    else table.set_column(column, name, pa.array([value] * 6))
                )
            else:
                head[name] = value
    data = head if isinstance(head, bytes) else json.dumps(head).encode()
    pq.write_table(table.replace_schema_metadata({b"scichunk-index": data}), index)


@pytest.mark.parametrize(
    "damage",
    [
        None, b"\xff", b"[" * 100_000, [1], {"form": [1]}, {"format": None}, {"format": 3}, {"version": None}, {"version": [1]},
        *({name: None} for name in ("url", "size", "tag", "layout")), {"url": 1}, {"url": b"\xff"}, {"size": "a"}, {"size": -2},
        {"size": 1.5}, {"tag": 1}, {"tag": b"\xff"}, {"layout": "{"}, {"layout": "[]"}, {"layout": "3"}, {"layout": "{}"},
        {"layout": '{"group": 1, "arrays": {}, "optional": []}'}, {"layout": '{"group": "", "arrays": [], "optional": []}'},
        {"layout": '{"group": "", "arrays": {}, "optional": [[]]}'}, {"layout": b"{}"},
    ],
    ids=lambda damage: repr(damage)[:60],
)  # fmt: skip
def test_a_damaged_index(files, index, damage):
    damaged(index, damage)
    for work in (
        lambda: scichunk.from_files(index),
        lambda: scichunk.open_stack(index),
        lambda: scichunk.save_index(files, index, append=True),
    ):
        with pytest.raises(FormatError, match="index"):
            work()


def test_an_index_that_is_cut(index):
    with open(index, "rb") as file:
        data = file.read()
    for stop in range(4, len(data), 97):
        with open(index, "wb") as file:
            file.write(data[:stop] + data[-8:])
        with pytest.raises(FormatError, match="no index"):
            scichunk.from_files(index)


@pytest.mark.parametrize("name", ["url", "tag", "layout"])
def test_texts_of_an_index_that_are_none(files, index, name):
    """Parquet says that a column is of texts, and nobody looks whether it is."""
    table = pq.read_table(index)
    values = [text.encode() + b"\xff" for text in table[name].to_pylist()]
    offsets = np.cumsum([0, *map(len, values)]).astype("i4")
    column = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values)))
    pq.write_table(table.set_column(table.column_names.index(name), name, column), index, write_statistics=False)
    for work in (lambda: scichunk.from_files(index), lambda: scichunk.open_stack(index, errors="ignore")):
        with pytest.raises(FormatError, match="index"):
            work()


@pytest.mark.parametrize("name", ["url", "tag", "layout"])
def test_texts_of_an_index_that_are_stored_once(files, index, name):
    """A text of some length, which the file holds once, would take gigabytes in each of many rows."""
    table = pq.read_table(index)
    text, rows = table[name][0].as_py() + "x" * 1000, 100_000
    table = table.take([0] * rows).set_column(table.column_names.index(name), name, pa.array([text] * rows))
    pq.write_table(table, index)
    assert os.path.getsize(index) < 100_000
    for work in (lambda: scichunk.from_files(index), lambda: scichunk.open_stack(index, errors="ignore")):
        with scichunk.options.set(max_chunk_bytes=1 << 24), pytest.raises(LimitExceeded, match="index"):
            work()
