"""Bundled FITS files through every face of scichunk."""

import bz2
import gzip
import io
import lzma
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.formats.fits.array_ids import HDUId
from scichunk.formats.fits.cards import Cards
from scichunk.testing import RangeServer, mutations

DATA = Path(__file__).parents[2] / "test_data"
FILES = sorted(p for p in DATA.glob("*.fits") if p.stem not in {"catalogue", "compressed_table"})


def images(path):
    with fits.open(path, memmap=False) as file:
        return {i: h.data for i, h in enumerate(file) if h.is_image and h.data is not None}


@pytest.mark.parametrize("reader", ["indexed", "reference"])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_pixels(path, reader):
    for number, want in images(path).items():
        got = scichunk.from_fits(path, hdu=number, reader=reader).compute()
        assert got.dtype == want.dtype.newbyteorder("=")
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_trees(path):
    tree = scichunk.open(path)
    found = [v for node in tree.subtree for v in node.dataset.data_vars.values()]
    for variable, want in zip(found, images(path).values(), strict=True):
        np.testing.assert_array_equal(variable.values, want)
        assert variable.encoding["reader"] == "indexed"


def test_names_of_hdus():
    path = DATA / "exposure.fits"
    assert list(scichunk.open(path).children) == ["SCI", "ERR", "DQ"]
    for hdu in (1, "sci", "SCI", ("SCI", 1), -3, None):
        np.testing.assert_array_equal(scichunk.from_fits(path, hdu=hdu), images(path)[1])
    xr.testing.assert_identical(
        xr.open_dataset(path, engine="fits", hdu="ERR"), xr.open_dataset(path, engine="fits", group="ERR")
    )
    with pytest.raises(scichunk.errors.FormatError, match="SCI"):
        scichunk.from_fits(path, hdu="NOPE")
    with pytest.raises(scichunk.errors.FormatError, match="9"):
        scichunk.from_fits(path, hdu=9)
    with pytest.raises(scichunk.errors.FormatError, match="none"):
        scichunk.from_fits(path, hdu=0)


def test_metadata():
    ds = xr.open_dataset(DATA / "exposure.fits", engine="fits", hdu="SCI")
    assert ds.sci.attrs["units"] == "electron / s"
    assert ds.sci.dims == ("y", "x")
    assert ds.attrs["RADESYS"] == "ICRS"
    with fits.open(DATA / "exposure.fits") as file:
        assert fits.Header.fromstring(ds.sci.attrs["fits_header"]) == file["SCI"].header
    tree = xr.open_datatree(DATA / "exposure.fits", engine="fits")
    assert tree.attrs["TELESCOP"] == "example"


def test_stored_values_on_request():
    path = DATA / "scaled.fits"
    with fits.open(path, do_not_scale_image_data=True) as file:
        raw = file[0].data.copy()
    np.testing.assert_array_equal(scichunk.from_fits(path, raw=True), raw)
    stored = xr.open_dataset(path, engine="fits", mask_and_scale=False)
    np.testing.assert_array_equal(stored.data, raw)
    assert (stored.data.attrs["scale_factor"], stored.data.attrs["add_offset"]) == (0.01, 50.0)
    np.testing.assert_allclose(xr.decode_cf(stored).data, images(path)[0], rtol=1e-6)
    unsigned = xr.open_dataset(DATA / "exposure.fits", engine="fits", hdu="DQ", mask_and_scale=False)
    assert unsigned.dq.dtype == np.int16
    assert unsigned.dq.attrs["add_offset"] == 32768


def test_values_survive_tasks_and_pickles():
    array = scichunk.from_fits(DATA / "compressed.fits", hdu="FLUX", chunks=(16, 150))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).compute(), images(DATA / "compressed.fits")[5])
    assert max(len(pickle.dumps(v)) for v in array.dask.values()) < 1000


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "zst", "gz-twice"])
def test_compressed_as_a_whole(kind, tmp_path):
    import imagecodecs

    data = (DATA / "scaled.fits").read_bytes()
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.fits.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.fits", data)
        packed = (tmp_path / "a.fits.zip").read_bytes()
    elif kind == "gz-twice":  # members one after another are one stream
        packed = gzip.compress(data[:5000]) + gzip.compress(data[5000:])
    else:
        packed = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": imagecodecs.zstd_encode}[kind](
            data
        )
    path = tmp_path / f"a.fits.{kind}"
    path.write_bytes(packed)
    np.testing.assert_array_equal(scichunk.from_fits(path), images(DATA / "scaled.fits")[0])
    np.testing.assert_array_equal(scichunk.open(path).data, images(DATA / "scaled.fits")[0])
    with pytest.raises(scichunk.errors.ScichunkError):
        scichunk.from_fits(packed[: len(packed) // 2]).compute()
    with scichunk.options.set(max_expanded_bytes=1000), pytest.raises(scichunk.errors.ScichunkError):
        scichunk.from_fits(bytes(packed))


def test_stacks(tmp_path):
    paths = []
    for i, day in enumerate((3, 1, 2)):
        hdu = fits.PrimaryHDU(np.full((5, 6), i, "i2"))
        hdu.header["DATE-OBS"] = f"2024-01-0{day}T00:00:00"
        paths.append(tmp_path / f"{i}.fits")
        hdu.writeto(paths[-1])
    assert scichunk.from_fits_files(paths)[:, 0, 0].compute().tolist() == [0, 1, 2]
    ds = scichunk.open_stack(paths, dim="time", coordinate="DATE-OBS")
    assert ds.data[:, 0, 0].values.tolist() == [1, 2, 0]
    assert ds.time.values.astype("M8[D]").astype(str).tolist() == ["2024-01-01", "2024-01-02", "2024-01-03"]
    with pytest.raises(scichunk.errors.FormatError, match="NOPE"):
        scichunk.open_stack(paths, coordinate="NOPE")
    fits.PrimaryHDU(np.zeros((5, 7), "i2")).writeto(tmp_path / "odd.fits")
    with pytest.raises(scichunk.errors.FormatError, match=r"shape is \(5, 7\)"):
        scichunk.from_fits_files([*paths, tmp_path / "odd.fits"])


def test_stacks_of_a_chosen_part(tmp_path):
    paths = [tmp_path / f"{i}.fits" for i in range(2)]
    for path in paths:
        path.write_bytes((DATA / "exposure.fits").read_bytes())
    ds = scichunk.open_stack(paths, hdu="ERR")
    want = images(paths[0])[2]
    np.testing.assert_array_equal(ds.err[1], want)
    assert scichunk.open_stack(paths, group="/DQ").dq.shape == (2, *want.shape)


def test_info():
    text = str(scichunk.info(DATA / "compressed.fits"))
    assert "RICE_1, quantised with dither 2" in text
    assert text.count("reader: indexed") == 5


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("'it''s'   / text", "it's"),
        ("T / yes", True),
        ("1.5D3", 1500.0),
        ("-3", -3),
        ("", None),
        ("(1, 2)", None),
        ("'open", "open"),
    ],
)
def test_cards(text, want):
    found = Cards(f"KEY     = {text}".ljust(80).encode()).get("KEY")
    assert found == want
    assert type(found) is type(want)


# ---- damage


def check(data):
    try:
        for node in scichunk.open(data).subtree:
            for variable in node.dataset.data_vars.values():
                if variable.nbytes < 10_000_000:
                    try:
                        variable.load()
                    except scichunk.errors.ScichunkError as error:
                        assert error.url
        scichunk.info(data)
    except scichunk.errors.ScichunkError as error:
        assert error.url
        assert error.message


@pytest.mark.timeout(120)  # none of them may take long; 150 take about a second
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("head", "count"), [(None, 150), (8640, 150)])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_damage(path, head, count):
    for copy in mutations(path.read_bytes(), count, seed=3, head=head):
        with scichunk.options.set(max_chunk_bytes=1 << 26):
            check(copy)


def test_a_corrupt_tile_names_itself_and_the_others_still_read():
    path = DATA / "compressed.fits"
    from scichunk.core.handles import open_file
    from scichunk.sources import locate

    index = open_file("fits", locate(path)).array(HDUId("HCOMP")).index
    data = bytearray(path.read_bytes())
    start = int(index.starts[4])
    data[start : start + 2] = b"\0\0"
    array = scichunk.from_fits(bytes(data), hdu="HCOMP")
    with pytest.raises(scichunk.errors.FormatError, match="HDU 4, tile 4"):
        array.compute()
    np.testing.assert_array_equal(array[:40].compute(), images(path)[4][:40])


def test_a_file_that_ends_early():
    data = (DATA / "cube.fits").read_bytes()
    array = scichunk.from_fits(data[:20_000])
    with pytest.raises(scichunk.errors.FormatError, match="HDU 0"):
        array.compute()


# ---- threads


STRESS = """
import sys, threading
import numpy as np, scichunk
path, wanted = sys.argv[1], sys.argv[2]
barrier, wrong = threading.Barrier(8), []
want = {h: np.load(f"{wanted}/{h}.npy") for h in ("HCOMP", "FLUX")}
def work(seed):
    rng = np.random.default_rng(seed)
    barrier.wait()
    for _ in range(12):
        for name, values in want.items():
            a, b = rng.integers(0, 60, 2)
            got = scichunk.from_fits(path, hdu=name, chunks="native")[a : a + 50, b : b + 60].compute(scheduler="synchronous")
            if not np.array_equal(got, values[a : a + 50, b : b + 60], equal_nan=True):
                wrong.append((name, a, b))
threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not wrong, wrong
print("fine")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fresh_processes_full_of_threads(tmp_path):
    """First use of decoders and tables by 8 threads at once, in 25 processes: not one wrong tile."""
    path = DATA / "compressed.fits"
    for number, name in ((4, "HCOMP"), (5, "FLUX")):
        np.save(tmp_path / f"{name}.npy", images(path)[number])
    for _ in range(25):
        run = subprocess.run(
            [sys.executable, "-c", STRESS, str(path), str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert run.stdout.strip() == "fine", run.stderr


def test_threads_share_an_array():
    path = DATA / "compressed.fits"
    want, wrong = images(path)[4], []
    array = scichunk.from_fits(path, hdu="HCOMP", chunks="native")

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            a, b = rng.integers(0, 100, 2)
            if not np.array_equal(array[a:, b:].compute(scheduler="threads"), want[a:, b:]):
                wrong.append((a, b))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# ---- requests


def test_requests_over_http():
    from scichunk.core.cache import files

    files.clear()
    rng = np.random.default_rng(0)
    cube = rng.normal(0, 1, (100, 64, 512)).astype("f4")
    plain, tiled = io.BytesIO(), io.BytesIO()
    fits.PrimaryHDU(cube).writeto(plain)
    image = rng.normal(100, 5, (2048, 2048)).astype("i2")
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1", tile_shape=(128, 128))]
    ).writeto(tiled)
    many = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(cube[0] + i) for i in range(200))]).writeto(many)
    content = {"cube.fits": plain.getvalue(), "tiled.fits": tiled.getvalue(), "many.fits": many.getvalue()}
    with RangeServer(content, latency=0.05) as server:
        array = scichunk.from_fits(server.url("tiled.fits"))
        assert server.requests <= 3
        server.reset()
        np.testing.assert_array_equal(array[500:756, 500:756], image[500:756, 500:756])
        assert server.max_concurrent == server.requests  # one batch
        assert server.bytes_sent < 400_000
        array = scichunk.from_fits(server.url("cube.fits"), chunks=(100, 64, 512))
        server.reset()
        np.testing.assert_array_equal(array[:, 30, 200], cube[:, 30, 200])
        assert server.requests <= 100
        assert server.max_concurrent >= min(50, server.requests)
        server.reset()
        assert len(scichunk.open(server.url("many.fits")).children) == 200
        assert server.requests < 240
        assert server.max_concurrent > 20


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2"])
def test_more_rows_of_tiles_than_are_planned_at_once(tmp_path, kind):
    image = np.random.default_rng(0).integers(-300, 300, (400, 300)).astype("i2")
    hdu = fits.CompImageHDU(image, compression_type=kind, tile_shape=(97, 1))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "narrow.fits")
    array = scichunk.from_fits(tmp_path / "narrow.fits", chunks=-1, reader="indexed")
    np.testing.assert_array_equal(array.compute(), image)
    np.testing.assert_array_equal(array[5:399, 1:299].compute(), image[5:399, 1:299])
