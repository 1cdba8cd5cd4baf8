"""The bundled files through every face, against rasterio."""

import asyncio
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
import rasterio
import xarray as xr
from dask.base import tokenize

import scichunk
from scichunk.adapters.cli import main
from scichunk.adapters.lazy import LazyArray
from scichunk.core.handles import Handle, open_file
from scichunk.formats.geotiff.array_ids import PageId
from scichunk.sources import locate

DATA = Path(__file__).parents[2] / "test_data"
FILES = sorted(p.name for p in DATA.glob("*.tif"))
STACK = sorted(DATA.glob("dem_*.tif"))


def truth(path, **kwargs):
    with rasterio.open(path, **kwargs) as ds:
        return ds.read()


def lazy_of(array):
    """The reader inside a dask array."""
    return next(v for task in dict(array.__dask_graph__()).values() for v in walk(task) if isinstance(v, LazyArray))


def walk(task):
    yield task
    for part in getattr(task, "args", task if isinstance(task, tuple) else ()):
        yield from walk(part)
    if hasattr(task, "value"):
        yield task.value


@pytest.mark.parametrize("reader", ["auto", "indexed", "reference"])
@pytest.mark.parametrize("name", FILES)
def test_pixels(name, reader):
    want = truth(DATA / name)
    got = scichunk.from_geotiff(DATA / name, reader=reader)
    assert got.dtype == want.dtype
    # rasterio's wheels before 1.5 hold the IJG's libjpeg, which interpolates colours in another way than libjpeg-turbo
    close = 8 if name == "photo_jpeg.tif" and reader != "reference" and rasterio.__version__ < "1.5" else 0
    np.testing.assert_allclose(got.compute(), want, rtol=0, atol=close)
    np.testing.assert_allclose(got[::-1, 3:37:2, 40:2:-3].compute(), want[::-1, 3:37:2, 40:2:-3], rtol=0, atol=close)
    assert lazy_of(got).source.reader.startswith("reference" if reader == "reference" else "indexed")


@pytest.mark.parametrize("name", FILES)
def test_metadata(name):
    with rasterio.open(DATA / name) as ds:
        x = xr.open_dataset(DATA / name, engine="geotiff", mask_and_scale=False)
        v = x["band_data"]
        assert v.dims == ("band", "y", "x")
        assert v.encoding["reader"] == "indexed"
        mapping = x["spatial_ref"].attrs
        system = ds.crs or ds.gcps[1] or (rasterio.crs.CRS.from_epsg(4326) if ds.rpcs else None)
        assert rasterio.crs.CRS.from_wkt(mapping["crs_wkt"]) == system if system else "crs_wkt" not in mapping
        assert [float(n) for n in mapping["GeoTransform"].split()] == list(ds.transform.to_gdal())
        if ds.gcps[0] or ds.rpcs:
            assert "x" not in x.coords
        elif ds.transform.b == 0:
            centre = ds.transform * ds.transform.translation(0.5, 0.5)
            np.testing.assert_array_equal(x["x"], (centre * (np.arange(ds.width), np.zeros(ds.width)))[0])
            np.testing.assert_array_equal(x["y"], (centre * (np.zeros(ds.height), np.arange(ds.height)))[1])
        else:
            assert float(x["xc"][7, 9]) == ds.xy(7, 9)[0]
            assert float(x["yc"][7, 9]) == ds.xy(7, 9)[1]
        assert v.attrs.get("_FillValue") == ds.nodata
        assert v.attrs.get("scale_factor", 1.0) == ds.scales[0]
        assert v.attrs.get("add_offset", 0.0) == ds.offsets[0]
        if any(ds.descriptions):
            assert v.attrs["long_name"] == ds.descriptions
        if any(ds.units):
            assert v.attrs["units"] == ds.units[0]
        for key, value in ds.tags().items():
            assert str(v.attrs[key]) == value or float(v.attrs[key]) == float(value)


def test_what_some_files_are_for():
    palette = xr.open_dataset(DATA / "landcover_palette.tif", engine="geotiff")["band_data"]
    with rasterio.open(DATA / "landcover_palette.tif") as ds:
        assert json.loads(palette.attrs["colormap"])[3] == list(ds.colormap(1)[3])
    assert (
        json.loads(xr.open_dataset(DATA / "gcps.tif", engine="geotiff")["spatial_ref"].attrs["gcps"])["features"][1][
            "properties"
        ]["col"]
        == 49
    )
    rpcs = xr.open_dataset(DATA / "rpcs.tif", engine="geotiff")["spatial_ref"].attrs["rpcs"]
    assert json.loads(rpcs)["line_off"] == 20
    side = xr.open_dataset(DATA / "sidecars.tif", engine="geotiff")
    assert float(side["x"][0]) == 501.0
    assert side["band_data"].attrs["units"] == "m"
    assert side["band_data"].encoding["_FillValue"] == 3
    mask = xr.open_dataset(DATA / "masked.tif", engine="geotiff", mask_and_scale=False)["mask"]
    with rasterio.open(DATA / "masked.tif") as ds:
        np.testing.assert_array_equal(mask, ds.dataset_mask())
    assert 0 in mask


@pytest.mark.parametrize("name", [n for n in FILES if n != "masked.tif"])  # of masks test_raster_masks.py tells
def test_masking_and_scaling_is_xarrays_own(name):
    raw = xr.open_dataset(DATA / name, engine="geotiff", mask_and_scale=False)
    want = xr.decode_cf(raw)["band_data"]
    got = xr.open_dataset(DATA / name, engine="geotiff")["band_data"]
    assert got.dtype == want.dtype
    assert dict(got.attrs) == dict(want.attrs)
    for key in ("_FillValue", "scale_factor", "add_offset", "dtype"):
        assert got.encoding.get(key) == want.encoding.get(key)
    np.testing.assert_array_equal(got.values, want.values)


def test_bands_that_differ_are_decoded_each_by_its_own(tmp_path):
    path = tmp_path / "bands.tif"
    data = np.arange(3 * 20 * 20, dtype="i2").reshape(3, 20, 20)
    with rasterio.open(path, "w", driver="GTiff", count=3, height=20, width=20, dtype="int16", nodata=5) as ds:
        ds.write(data)
        ds.scales, ds.offsets = (1.0, 0.5, 2.0), (0.0, 0.0, -7.0)
    got = xr.open_dataset(path, engine="geotiff")["band_data"]
    raw = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)["band_data"]
    assert raw.attrs["scales"] == (1.0, 0.5, 2.0)
    assert raw.attrs["_FillValue"] == 5
    assert "_FillValue" not in raw.encoding
    for band, (scale, offset) in enumerate([(1.0, 0.0), (0.5, 0.0), (2.0, -7.0)]):
        attrs = (
            {"_FillValue": np.int16(5)}
            | ({"scale_factor": scale} if scale != 1 else {})
            | ({"add_offset": offset} if offset else {})
        )
        want = xr.decode_cf(xr.Dataset({"v": (("y", "x"), data[band], attrs)}))["v"].values.astype(got.dtype)
        np.testing.assert_array_equal(got[band], want)
        np.testing.assert_array_equal(got.isel(band=[band]).values[0], want)
    np.testing.assert_array_equal(
        got.isel(band=xr.DataArray([2, 0], dims="p"), y=xr.DataArray([1, 2], dims="p")).values,
        got.values[[2, 0], [1, 2]],
    )


@pytest.mark.parametrize(
    "flags",
    [
        {"decode_cf": False},
        {"mask_and_scale": False, "decode_coords": False},
        {"decode_times": False},
        {"drop_variables": ["spatial_ref", "x"]},
    ],
)
def test_decoder_flags(flags):
    ds = xr.open_dataset(DATA / "scene_deflate.tif", engine="geotiff", **flags)
    assert ds["band_data"].dtype == (
        "u2" if flags.get("decode_cf") is False or flags.get("mask_and_scale") is False else "f4"
    )
    if "drop_variables" in flags:
        assert "x" not in ds.variables
    if flags.get("decode_coords") is False:
        assert ds["band_data"].attrs["grid_mapping"] == "spatial_ref"


def test_groups_and_trees():
    path = DATA / "scene_deflate.tif"
    ds = xr.open_dataset(path, engine="geotiff", group="overview_1", mask_and_scale=False)
    np.testing.assert_array_equal(ds["band_data"], truth(path, overview_level=0))
    with rasterio.open(path, overview_level=0) as small:
        np.testing.assert_allclose(ds["x"], [small.xy(0, c)[0] for c in range(small.width)])
    assert list(xr.open_datatree(path, engine="geotiff").children) == ["page_0", "overview_1", "overview_2"]
    assert list(scichunk.open(DATA / "pages_lzw.tif").children) == ["page_0", "page_1", "page_2"]
    assert "band_data" in scichunk.open(DATA / "elevation_zstd.tif").data_vars
    with pytest.raises(scichunk.errors.FormatError, match="overview_2"):
        xr.open_dataset(path, engine="geotiff", group="overview_9")


def test_pages_and_overviews_by_keyword():
    scene, pages = DATA / "scene_deflate.tif", DATA / "pages_lzw.tif"
    by_group = xr.open_dataset(scene, engine="geotiff", group="overview_2")
    xr.testing.assert_identical(xr.open_dataset(scene, engine="geotiff", overview=1), by_group)
    xr.testing.assert_identical(xr.open_dataset(scene, engine="scichunk", overview=1), by_group)
    second = xr.open_dataset(pages, engine="geotiff", page=1)
    xr.testing.assert_identical(second, xr.open_dataset(pages, engine="geotiff", group="/page_1"))
    with pytest.raises(scichunk.errors.FormatError, match="overview_9"):
        xr.open_dataset(scene, engine="geotiff", overview=8)
    with pytest.raises(TypeError, match="two ways"):
        xr.open_dataset(scene, engine="geotiff", overview=0, group="/")
    with pytest.raises(TypeError, match="hdu"):
        xr.open_dataset(scene, engine="geotiff", hdu=1)


def test_raster_index():
    pytest.importorskip("rasterix")
    plain = xr.open_dataset(DATA / "scene_deflate.tif", engine="geotiff")
    ds = xr.open_dataset(DATA / "scene_deflate.tif", engine="geotiff", raster_index=True)
    assert type(ds.xindexes["x"]).__name__ == "RasterIndex"
    np.testing.assert_allclose(ds.x, plain.x)
    np.testing.assert_allclose(ds.y, plain.y)


def test_pages_and_overviews_by_number():
    for page in range(3):
        want = truth(f"GTIFF_DIR:{page + 1}:{DATA / 'pages_lzw.tif'}")
        np.testing.assert_array_equal(scichunk.from_geotiff(DATA / "pages_lzw.tif", page=page), want)
    for reader in ("indexed", "reference"):
        np.testing.assert_array_equal(
            scichunk.from_geotiff(DATA / "scene_deflate.tif", overview=1, reader=reader),
            truth(DATA / "scene_deflate.tif", overview_level=1),
        )
    with pytest.raises(scichunk.errors.FormatError, match="no page 3"):
        scichunk.from_geotiff(DATA / "pages_lzw.tif", page=3)
    with pytest.raises(scichunk.errors.FormatError, match="no overview 5"):
        scichunk.from_geotiff(DATA / "scene_deflate.tif", overview=5)


def test_overviews_and_masks_beside_the_file(tmp_path):
    path = tmp_path / "plain.tif"
    data = np.arange(4 * 64 * 64, dtype="u1").reshape(1, 128, 128)
    with rasterio.open(path, "w", driver="GTiff", count=1, height=128, width=128, dtype="uint8") as ds:
        ds.write(data)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as ds:
        ds.build_overviews([2, 4])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as ds:
        ds.write_mask(np.where(data[0] > 9, 255, 0).astype("u1"))
    assert Path(f"{path}.ovr").exists()
    assert Path(f"{path}.msk").exists()
    np.testing.assert_array_equal(scichunk.from_geotiff(path, overview=1), truth(path, overview_level=1))
    ds = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)
    np.testing.assert_array_equal(ds["mask"], np.where(data[0] > 9, 255, 0))


PLACES = {"LONG_OFF": 10, "LAT_OFF": 45, "HEIGHT_OFF": 7, "SAMP_OFF": 4, "LINE_OFF": 4, "LONG_SCALE": 0.1, "LAT_SCALE": 0.1,
          "HEIGHT_SCALE": 100, "SAMP_SCALE": 4, "LINE_SCALE": 4}  # fmt: skip
TERMS = [
    (f"{name}_COEFF_{i}", int(i == 1))
    for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")
    for i in range(1, 21)
]
RPC_TEXT = "".join(f"{name}: {value}\n" for name, value in [*PLACES.items(), *TERMS])
RPC_XML = (
    "<Dimap_Document><Rational_Function_Model><Global_RFM><Inverse_Model>"
    + "".join(f"<{name}>{value}</{name}>" for name, value in TERMS)
    + "</Inverse_Model><RFM_Validity>"
    + "".join(f"<{name}>{value}</{name}>" for name, value in PLACES.items())
    + "</RFM_Validity></Global_RFM></Rational_Function_Model></Dimap_Document>"
)
ESRI = (
    "<metadata><Esri><DataProperties/></Esri><refSysInfo><RefSystem><refSysID>"
    '<identCode code="32633"/></refSysID></RefSystem></refSysInfo></metadata>'
)
BESIDE = {
    **{f"im{end}": ("im.tif", RPC_TEXT) for end in ("_RPC.TXT", "_rpc.txt", "_RPC.txt", "_rpc.TXT", ".rpc", ".RPC")},
    "RPC_PHR1A_X_R1C1.XML": ("IMG_PHR1A_X_R1C1.TIF", RPC_XML),
    "RPC_PHR1A_X.XML": ("IMG_PHR1A_X_R1C1.TIF", RPC_XML),
    "im.xml": ("im.tif", ESRI),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_gdal_reads_beside_a_file(tmp_path, beside):
    """It counts alone, and from the moment that it is there."""
    name, text = BESIDE[beside]
    path = tmp_path / name
    with rasterio.open(path, "w", driver="GTiff", count=1, height=8, width=9, dtype="uint8") as ds:
        ds.write(np.ones((1, 8, 9), "u1"))
    with xr.open_dataset(path, engine="geotiff") as ds:
        assert not {"rpcs", "crs_wkt"} & {*ds.spatial_ref.attrs}
    (tmp_path / beside).write_text(text)
    with rasterio.open(path) as file:
        rpcs, crs = file.rpcs, file.crs
    assert rpcs or crs
    with xr.open_dataset(path, engine="geotiff") as ds:
        found = ds.spatial_ref.attrs
    assert json.loads(found.get("rpcs", "null")) == (rpcs.to_dict() if rpcs else None)
    assert rasterio.crs.CRS.from_wkt(found["crs_wkt"]).to_epsg() == (crs.to_epsg() if crs else 4326)


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "BytesIO", "file", "fsspec", "memory url"])
@pytest.mark.parametrize("reader", ["auto", "reference"])
def test_any_kind_of_url(kind, reader):
    path = DATA / "scene_deflate.tif"
    fsspec.filesystem("memory").pipe("/scene.tif", path.read_bytes())
    with path.open("rb") as file, fsspec.open("memory://scene.tif") as remote:
        url = {
            "str": str(path),
            "path": path,
            "bytes": path.read_bytes(),
            "BytesIO": io.BytesIO(path.read_bytes()),
            "file": file,
            "fsspec": remote,
            "memory url": "memory://scene.tif",
        }[kind]
        np.testing.assert_array_equal(scichunk.from_geotiff(url, reader=reader), truth(path))
        if reader == "auto":
            ds = xr.open_dataset(url, engine="scichunk", mask_and_scale=False)
            np.testing.assert_array_equal(ds["band_data"], truth(path))
            assert pickle.loads(pickle.dumps(ds)).identical(ds)


def test_bands():
    want = truth(DATA / "scene_deflate.tif")
    for bands in ([2], [0, 1], [3, 0], [-1], [1, 1]):
        got = scichunk.from_geotiff(DATA / "scene_deflate.tif", bands=bands)
        np.testing.assert_array_equal(got, want[bands])
        np.testing.assert_array_equal(got[0, 5:9, ::7].compute(), want[bands][0, 5:9, ::7])
    with pytest.raises(IndexError, match="bands has 4, but there are 4"):
        scichunk.from_geotiff(DATA / "scene_deflate.tif", bands=[4])
    for bands in ([1.0], ["x"], [True]):
        with pytest.raises(TypeError, match="bands must be an integer"):
            scichunk.from_geotiff(DATA / "scene_deflate.tif", bands=bands)


def test_chunks():
    path = DATA / "scene_deflate.tif"
    assert (
        scichunk.from_geotiff(path, chunks={}).chunks
        == scichunk.from_geotiff(path, chunks="native").chunks
        == ((4,), (64, 64, 64, 8), (64,) * 4 + (44,))
    )
    assert scichunk.from_geotiff(path).numblocks == (1, 1, 1)
    with dask.config.set({"array.chunk-size": "40kB"}):
        assert scichunk.from_geotiff(path).chunks[1][0] == 64
    with pytest.warns(scichunk.errors.PerformanceWarning, match="Better"):
        odd = scichunk.from_geotiff(path, chunks=(4, 50, 50))
    np.testing.assert_array_equal(odd, truth(path))
    ds = xr.open_dataset(path, engine="geotiff", chunks={})
    assert ds["band_data"].encoding["preferred_chunks"]["band"] == 4


def test_readers_are_thin_and_tokens_stay():
    array = scichunk.from_geotiff(DATA / "scene_deflate.tif", chunks="native")
    lazy = lazy_of(array)
    data = pickle.dumps(lazy)
    assert len(data) <= 500
    again = pickle.loads(data)
    assert tokenize(again) == tokenize(lazy)
    np.testing.assert_array_equal(again[:, :70, :70], truth(DATA / "scene_deflate.tif")[:, :70, :70])
    assert array.name == scichunk.from_geotiff(DATA / "scene_deflate.tif", chunks="native").name
    assert again.shape == array.shape
    assert again.dtype == array.dtype
    assert again.chunks == (4, 64, 64)
    task = len(pickle.dumps(dict(array.__dask_graph__()))) / array.npartitions
    assert task <= 400


def test_a_window_of_ten_million_chunks_costs_its_own_chunks():
    """A huge array that is made up: everything but the pixels is real. Its graph is never written out, a window has the tasks of its chunks."""
    from scichunk.adapters.dask.arrays import to_dask
    from scichunk.core.arrays import ReferenceArray
    from scichunk.core.grid import ChunkGrid

    windows = []

    def ones(window):
        windows.append(window)
        return np.ones([s.stop - s.start for s in window], "u2")

    side = 3163 * 512
    made_up = ReferenceArray(ChunkGrid((1, side, side), (1, 512, 512)), np.dtype("u2"), "made up", ones)

    class Huge(LazyArray):
        source = made_up

    lazy = Huge(Handle("geotiff", locate(STACK[0]), open_file("geotiff", locate(STACK[0])).fingerprint, PageId(0)))
    array = to_dask(lazy, "native")
    assert array.npartitions > 10_000_000
    window = array[0, 600:1200, 600:1200]
    assert window.compute(scheduler="synchronous").sum() == 360_000
    assert len(windows) == 4
    (optimised,) = dask.optimize(window)
    assert len(dict(optimised.__dask_graph__())) <= 3 * 4
    assert not any(layer.is_materialized() for layer in array.__dask_graph__().layers.values())


def test_async_loading():
    want = truth(DATA / "scene_deflate.tif")

    async def load():
        sets = [xr.open_dataset(DATA / "scene_deflate.tif", engine="geotiff", mask_and_scale=False) for _ in range(5)]
        return await asyncio.gather(*(s.load_async() for s in sets))

    for ds in asyncio.run(load()):
        np.testing.assert_array_equal(ds["band_data"], want)


def test_scattered_points():
    ds = xr.open_dataset(DATA / "elevation_zstd.tif", engine="geotiff")
    rng = np.random.default_rng(1)
    ys, xs = (xr.DataArray(rng.integers(0, n, (5, 8)), dims=("a", "b")) for n in (150, 170))
    got = ds["band_data"].isel(y=ys, x=xs)
    np.testing.assert_array_equal(got.values, ds["band_data"].values[:, ys.values, xs.values])
    np.testing.assert_array_equal(ds["band_data"].isel(y=ys).values, ds["band_data"].values[:, ys.values])


def test_stacks():
    array = scichunk.from_geotiffs(STACK)
    want = np.stack([truth(p) for p in STACK])
    np.testing.assert_array_equal(array, want)
    np.testing.assert_array_equal(array[::-1, 0, 5:9, ::3], want[::-1, 0, 5:9, ::3])
    np.testing.assert_array_equal(scichunk.from_geotiffs(STACK, headers="first", chunks="native"), want)
    ds = scichunk.open_stack(STACK, dim="time", coordinate=lambda url: np.datetime64(Path(url).stem[4:]))
    assert ds["band_data"].dims == ("time", "band", "y", "x")
    assert ds["time"].dtype.kind == "M"
    one = [xr.open_dataset(p, engine="geotiff")["band_data"] for p in STACK]
    np.testing.assert_array_equal(ds["band_data"], np.stack([o.values for o in one]))
    assert len(array.dask.layers) == 1  # the reader is within the tasks


def test_stacks_that_do_not_align():
    with pytest.raises(scichunk.errors.FormatError, match="elevation_zstd") as caught:
        scichunk.from_geotiffs([STACK[0], STACK[1], DATA / "elevation_zstd.tif", DATA / "rotated.tif"])
    assert "shape is (1, 150, 170) instead of (1, 80, 96)" in str(caught.value)
    lazy = scichunk.from_geotiffs([STACK[0], DATA / "rotated.tif"], headers="first")
    with pytest.raises(scichunk.errors.FormatError, match="rotated"):
        lazy.compute()
    with pytest.raises(FileNotFoundError):
        scichunk.from_geotiffs([STACK[0], DATA / "nothing.tif"])


def test_info(capsys):
    found = scichunk.info(DATA / "scene_deflate.tif")
    assert "DEFLATE, predictor 2" in str(found)
    assert "reader: indexed" in str(found)
    assert "<table" in found._repr_html_()
    assert main(["info", str(DATA / "scene_deflate.tif"), "--json"]) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert parsed["arrays"][0]["shape"] == [4, 200, 300]
    assert parsed["arrays"][1]["group"] == "/overview_1"
    assert main(["info", str(DATA / "README.md")]) == 1
    assert "FormatError" in capsys.readouterr().err


def test_names_of_files_are_fit_to_be_shown(tmp_path):
    """No order for the terminal comes out of a file."""
    path = tmp_path / "a\n.tif"
    write = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8"}
    with rasterio.open(path, "w", crs='LOCAL_CS["site \x1b[2J\x07 é"]', **write) as ds:
        ds.write(np.ones((1, 4, 4), "u1"))
    found = scichunk.info(path)
    assert "\x1b" in found.arrays[0].notes["crs"]
    lines = str(found).split("\n")
    assert all(line.isprintable() for line in lines)
    assert r"crs: site \x1b[2J\x07 é" in str(found)
    assert lines[0].endswith(r"a\n.tif")


def test_the_command_is_the_package():
    command = [sys.executable, "-m", "scichunk", "info", str(DATA / "scene_deflate.tif"), "--json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert json.loads(done.stdout)["format"] == "geotiff"
    failed = subprocess.run([*command[:4], str(DATA / "README.md")], capture_output=True, check=False, timeout=120)
    assert failed.returncode == 1
    assert b"FormatError" in failed.stderr


def test_guessing_where_there_is_an_engine_rasterio(tmp_path):
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (tmp_path / "other-1.dist-info" / "entry_points.txt").write_text("[xarray.backends]\nrasterio = other:Engine\n")
    (tmp_path / "other.py").write_text("from xarray.backends import BackendEntrypoint as Engine\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import xarray as xr, scichunk
backend = xr.backends.list_engines()["scichunk"]
assert "rasterio" in xr.backends.list_engines()
assert not backend.guess_can_open({str(STACK[0])!r})
assert backend.guess_can_open({str(DATA / "cube.fits")!r})
with scichunk.options.set(claim_rasters=True):
    assert backend.guess_can_open({str(STACK[0])!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_guessing():
    from scichunk.adapters.xarray import engine as xarray_engine

    backend = xarray_engine.ScichunkBackend()
    with scichunk.options.set(claim_rasters=True):  # also where rioxarray is installed
        assert backend.guess_can_open(STACK[0])
        assert backend.guess_can_open(STACK[0].read_bytes())
        assert backend.guess_can_open(io.BytesIO(STACK[0].read_bytes()))
        assert backend.guess_can_open("s3://nowhere/a.tif?x=1")
        assert not backend.guess_can_open(DATA / "README.md")
        assert not backend.guess_can_open("/no/such.tif")
        assert not backend.guess_can_open(3)


@pytest.mark.skipif("rasterio" in xr.backends.list_engines(), reason="rioxarray is installed, which claims .tif")
def test_no_engine_need_be_named():
    assert xr.backends.list_engines()["scichunk"].guess_can_open(STACK[0])
    assert xr.open_dataset(STACK[0])["band_data"].shape == (1, 80, 96)


@pytest.mark.parametrize(
    "call",
    [scichunk.from_geotiff, lambda u: xr.open_dataset(u, engine="geotiff"), scichunk.info, scichunk.open],
)
def test_bad_targets(call, tmp_path):
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "text.tif").write_bytes(b"hello world, this is no TIFF file")
    for name in ("empty.tif", "text.tif"):
        with pytest.raises(scichunk.errors.FormatError, match=name):
            call(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        call(tmp_path / "missing.tif")


def test_a_file_that_changes_is_an_error(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(STACK[0].read_bytes())
    array = scichunk.from_geotiff(path)
    path.write_bytes(STACK[1].read_bytes() + b"x")
    with pytest.raises(scichunk.errors.SourceError, match="changed"):
        array.compute()
    np.testing.assert_array_equal(scichunk.from_geotiff(path), truth(path))


def test_stacks_of_other_scaling_or_nodata(tmp_path):
    paths = []
    for number, (nodata, scale) in enumerate([(0, 1.0), (0, 1.0), (0, 0.5), (3, 1.0)]):
        paths.append(tmp_path / f"{number}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", count=1, height=9, width=9, dtype="uint8", nodata=nodata
        ) as ds:
            ds.write(np.full((1, 9, 9), number, "u1"))
            ds.scales = (scale,)
    scichunk.from_geotiffs(paths[:2])
    with pytest.raises(scichunk.errors.FormatError, match="scale and offset"):
        scichunk.from_geotiffs([paths[0], paths[2]])
    with pytest.raises(scichunk.errors.FormatError, match=r"nodata is \[.*3.*\] instead of \[.*0.*\]"):
        scichunk.from_geotiffs([paths[0], paths[3]])


def test_texts_in_no_known_encoding_are_left_out(tmp_path):
    wkt = (
        rasterio.crs.CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=2 +ellps=bessel").to_wkt().replace("unknown", "Qwerty")
    )
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8", crs=wkt
    ) as ds:
        ds.write(np.ones((1, 2, 3), "u1"))
    data = (tmp_path / "a.tif").read_bytes()
    assert b"Qwerty" in data
    with pytest.warns(scichunk.errors.MetadataWarning):
        ds = xr.open_dataset(data.replace(b"Qwerty", b"Qw\xcb\xf1ty"), engine="geotiff")
    assert (ds.band_data == 1).all()
