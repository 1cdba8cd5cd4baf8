"""Files of every format that are compressed as a whole, with and without a name that says so; trees of dask arrays."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
from pathlib import Path

import dask
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, UnsupportedFeature

DATA = Path(__file__).resolve().parents[2] / "test_data"
FILES = {"fits": "cube.fits", "votable": "stars.vot", "geotiff": "scene_deflate.tif", "jpeg2000": "band_tlm_plt.jp2"}


def zipped(data, *names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("x",):
            archive.writestr(name, data)
    return file.getvalue()


def compress(data):
    """Unix compress with codes of 9 bits that are cleared before they grow."""
    codes = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    # a group of eight codes is nine bytes; the reader goes on at the next group after a clear code
    out, group = bytearray(b"\x1f\x9d\x90"), []
    for code in codes[1:]:
        group.append(code)
        if code == 256:
            group += [0] * (-len(group) % 8)
    bits = "".join(f"{c:09b}"[::-1] for c in group)
    bits += "0" * (-len(bits) % 8)
    out += bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    return bytes(out)


KINDS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    "Z": compress,
}


def same(found, want):
    assert [n.path for n in found.subtree] == [n.path for n in want.subtree]
    for a, b in zip(found.subtree, want.subtree, strict=True):
        for name in b.data_vars:
            if b[name].dtype.kind == "O":  # arrays of variable length do not compare
                assert repr(a[name].values.tolist()) == repr(b[name].values.tolist())
                continue
            xr.testing.assert_equal(a[name].drop_vars(list(a.coords)), b[name].drop_vars(list(b.coords)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore::scichunk.errors.DataWarning")
def test_content_is_known(tmp_path, name, kind):
    plain = (DATA / FILES[name]).read_bytes()
    packed = KINDS[kind](plain)
    (tmp_path / "nameless").write_bytes(packed)
    (tmp_path / f"{FILES[name]}.{kind}").write_bytes(packed)
    want = scichunk.open(plain)
    for target in (packed, tmp_path / "nameless", tmp_path / f"{FILES[name]}.{kind}", io.BytesIO(packed)):
        assert scichunk.info(target).format == name
    same(scichunk.open(packed), want)
    ds = xr.open_dataset(io.BytesIO(packed), engine="scichunk", chunks={})
    assert set(ds.data_vars) == set(xr.open_dataset(plain, engine="scichunk").data_vars)
    with dask.config.set(scheduler="processes", num_workers=1):
        ds[next(iter(ds.data_vars))].isel({d: slice(0, 3) for d in list(ds.dims)[:1]}).compute()


@pytest.mark.parametrize("reader", ["indexed", "reference"])
def test_both_readers_of_a_compressed_raster(reader):
    plain = (DATA / "scene_deflate.tif").read_bytes()
    found = scichunk.from_geotiff(gzip.compress(plain), reader=reader)
    np.testing.assert_array_equal(found, scichunk.from_geotiff(plain))


def test_what_is_in_an_archive_may_be_anything():
    with pytest.raises(UnsupportedFeature, match="2 files"):
        scichunk.info(zipped(b"II*\0", "a.tif", "b.tif"))
    with pytest.raises(FormatError, match="not a file of a known format"):
        scichunk.info(zipped(b"plain text"))
    with pytest.raises(FormatError, match=r"corrupt|end too early"):
        scichunk.info(bz2.compress(b"SIMPLE  =" * 100)[:40])
    for content in (zipped(b"II*\0", "a.tif", "b.tif"), b"BZh91AY&SY", zipped(b"plain text")):
        with pytest.raises(ValueError, match="engine"):  # none of ours, which xarray says
            xr.open_dataset(io.BytesIO(content))


# ---- scichunk.open


@pytest.mark.parametrize("name", FILES.values())
@pytest.mark.filterwarnings("ignore::scichunk.errors.DataWarning")
def test_trees_hold_dask_arrays(name):
    for target in (str(DATA / name), DATA / name, (DATA / name).read_bytes(), io.BytesIO((DATA / name).read_bytes())):
        arrays = [v for node in scichunk.open(target).subtree for v in node.data_vars.values() if v.ndim]
        assert arrays
        assert all(v.chunks is not None for v in arrays)
        lazy = scichunk.open(target, chunks=None)
        assert not any(v.chunks for node in lazy.subtree for v in node.data_vars.values())
    with open(DATA / name, "rb") as file:
        same(scichunk.open(file, chunks={}), scichunk.open(DATA / name))


def test_chunks_of_a_tree():
    tree = scichunk.open(DATA / "scene_deflate.tif", chunks={"y": 100})
    assert tree["page_0"].band_data.chunks[1] == (100, 100)
    assert tree["overview_1"].band_data.chunks[1] == (100,)


def test_content_has_one_name_and_another_content_another():
    data = (DATA / "scene_deflate.tif").read_bytes()
    names = {scichunk.open(d)["page_0"].band_data.data.name for d in (data, bytes(bytearray(data)), io.BytesIO(data))}
    assert len(names) == 1
    assert scichunk.open(data + b"\0")["page_0"].band_data.data.name not in names


@pytest.mark.parametrize("protocol", range(2, 6))
def test_content_travels_whole(protocol):
    data = (DATA / "dem_2024-01-01.tif").read_bytes()
    array = scichunk.from_geotiff(data)
    again = pickle.loads(pickle.dumps(array, protocol))
    assert again.name == array.name
    np.testing.assert_array_equal(again, array)


def test_content_travels_without_copies_where_buffers_do():
    data = (DATA / "dem_2024-01-01.tif").read_bytes()
    ds, buffers = xr.open_dataset(data, engine="geotiff"), []
    packed = pickle.dumps(ds, 5, buffer_callback=buffers.append)
    assert len(packed) < len(data) <= max(memoryview(b).nbytes for b in buffers)
    message = b"before" + data + b"behind"
    parts = [memoryview(message)[6 : 6 + len(data)] if memoryview(b).nbytes == len(data) else b for b in buffers]
    for given in (buffers, [bytearray(b) for b in buffers], parts):
        xr.testing.assert_identical(pickle.loads(packed, buffers=given), ds)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_second_stream_that_is_cut(kind):
    """Of a file of two streams the second may be cut before anything comes out of it: what it holds must not be missing in silence."""
    whole, first = io.BytesIO(), io.BytesIO()
    hdus = [fits.PrimaryHDU(np.arange(100.0)), fits.ImageHDU(np.ones((9, 9)), name="B")]
    fits.HDUList(hdus[:1]).writeto(first)
    fits.HDUList(hdus).writeto(whole)
    cut = len(first.getvalue())
    one, two = (KINDS[kind](part) for part in (whole.getvalue()[:cut], whole.getvalue()[cut:]))
    assert list(scichunk.open(one + two).groups)[1:] == list(scichunk.open(whole.getvalue()).groups)[1:]
    for kept in (6, 10, 12, len(two) // 2, len(two) - 1):
        with pytest.raises(FormatError, match="end too early"):
            scichunk.open(one + two[:kept])
    for other in (b"\n", b"junk", bytes(3000), bytes(3000) + b"\n"):  # what is none is passed over
        np.testing.assert_array_equal(scichunk.reader(one + other)[...], hdus[0].data)
