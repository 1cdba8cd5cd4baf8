"""Datasets of real files under the accessors of rioxarray and odc-geo, beside those of the engine ``rasterio``."""

import contextlib
import dataclasses
import signal
import warnings

import numpy as np
import pytest
import rasterio
import xarray as xr

from tests.differential.test_corpus import CORPUS, manifest

pytest.importorskip("rioxarray", reason="rioxarray is not installed")
pytest.importorskip("odc.geo.xr", reason="odc-geo is not installed")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.slow,
    pytest.mark.skipif(not (CORPUS / "manifest.csv").exists(), reason="no corpus"),
]
LARGEST, REPROJECTED, FILLED = 1_000_000, 200_000, 20_000
"""Values of rasters that are cut and written, reprojected, interpolated."""
SECONDS = 120


@contextlib.contextmanager
def alarm():
    """A file that takes too long is an error of its own test."""

    def ring(*_):
        msg = f"longer than {SECONDS} s"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def opened(name, engine, decoded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.open_dataset(CORPUS / name, engine=engine, mask_and_scale=decoded)


def plain(found):
    """Rasters as transform and values."""
    if isinstance(found, xr.DataArray):
        return tuple(found.rio.transform())[:6], found.values.astype("c16" if found.dtype.kind == "c" else "f8")
    return found


def facts(da):
    """What the accessors say: the questions, and how each is answered."""
    yield "crs", lambda: da.rio.crs and da.rio.crs.to_wkt()
    yield "nodata", lambda: None if da.rio.nodata is None else complex(da.rio.nodata)
    yield "encoded nodata", lambda: None if da.rio.encoded_nodata is None else complex(da.rio.encoded_nodata)
    yield "transform", lambda: tuple(da.rio.transform())[:6]
    yield "bounds", da.rio.bounds
    yield "resolution", da.rio.resolution
    yield "dims", lambda: (da.dims, da.shape)
    yield "coordinates", lambda: {k: v.values for k, v in da.coords.items() if k != "spatial_ref"}
    yield "control points", lambda: str(da.rio.get_gcps())
    yield "RPCs", lambda: str(da.rio.get_rpcs())
    yield "geobox", lambda: str(da.odc.geobox)
    yield "source", lambda: da.encoding["source"]
    yield "rasterio_dtype", lambda: da.encoding["rasterio_dtype"]
    if da.size <= LARGEST:
        yield "values", lambda: da.values.astype("c16" if da.dtype.kind == "c" else "f8")
        yield from regions(da)


def regions(da):
    """Operations on parts of the raster."""
    left, bottom, right, top = da.rio.bounds()
    dx, dy = (right - left) / 4, (top - bottom) / 4
    triangle = {
        "type": "Polygon",
        "coordinates": [
            [(left + dx, bottom + dy), (right - dx, bottom + dy), (right - dx, top - dy), (left + dx, bottom + dy)]
        ],
    }
    yield "clip_box", lambda: da.rio.clip_box(left + dx, bottom + dy, right - dx, top - dy)
    yield "pad_box", lambda: da.rio.pad_box(left - dx / 8, bottom - dy / 8, right + dx / 8, top + dy / 8)
    yield "clip", lambda: da.rio.clip([triangle])
    if da.size <= REPROJECTED:
        yield "reproject", lambda: da.rio.reproject("EPSG:3857")
    if da.size <= FILLED and da.dtype.kind == "f":
        yield "interpolate_na", da.rio.interpolate_na


def same(one, other):
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, float | complex) and isinstance(other, float | complex):
        return one == other or (one != one and other != other)
    return type(one) is type(other) and one == other


def meant(what, ours, theirs):
    """Why an answer differs on purpose, as the tables of the formats' pages say; empty if it should not."""
    rpcs = getattr(theirs.rio, "get_rpcs", lambda: None)()  # older rioxarray knows none
    if what not in {"values", "source", "rasterio_dtype"} and rpcs is not None and "x" in ours.coords:
        return "RPCs beside a transform: x, y and the coordinate system of the transform are kept"
    if (ours.encoding["rasterio_dtype"], theirs.encoding["rasterio_dtype"]) == ("int8", "uint8"):
        return "GDAL makes unsigned bytes of signed ones in JPEG 2000"
    if 1 in np.atleast_1d(ours.attrs.get("valid_bits", 8)) and ours.attrs.get("colorinterp", ("",))[-1] == "alpha":
        return "GDAL makes 255 of the 1 in alpha channels of one bit"
    if "xc" in ours.coords and "xc" not in theirs.coords:
        return "rows and columns of a raster that is turned by 90 degrees depend on both axes"
    if ours.dtype.kind == "c" and ours.rio.encoded_nodata is not None:
        return "complex nodata: the whole value counts, not the real part alone"
    if what == "encoded nodata" and ours.rio.encoded_nodata is not None and np.isnan(ours.rio.encoded_nodata):
        return "no stored value stands for missing decoded ones of unlike bands or under a mask"
    return ""


@dataclasses.dataclass
class Failed:
    """An answer that could not be given."""

    why: str


def asked(da):
    found = {}
    for what, answer in facts(da):
        try:
            found[what] = plain(answer())
        except TimeoutError:
            raise
        except Exception as error:  # whatever a library raises is its answer
            found[what] = Failed(f"{type(error).__name__}: {error}")
    return found


def compare(name, engine, decoded):
    """Differences between our dataset and that of the engine ``rasterio``, those that are meant left out."""
    try:
        with rasterio.open(CORPUS / name) as ds:
            size = ds.count * ds.height * ds.width
        if size > 50 * LARGEST:  # rioxarray makes coordinates of each row at once
            pytest.skip("larger than is compared")
        theirs = opened(name, "rasterio", decoded)["band_data"]
    except (rasterio.errors.RasterioError, ValueError, KeyError) as error:
        pytest.skip(f"rasterio does not open it: {type(error).__name__}: {error}")
    try:
        theirs.isel(band=0, y=slice(1), x=slice(1)).load()
    except Exception as error:
        pytest.skip(f"rasterio does not read it: {type(error).__name__}: {error}")
    ours = opened(name, engine, decoded)["band_data"]
    if ours.shape[0] != theirs.shape[0]:
        pytest.skip("components of several sizes are variables of their own")
    if (
        decoded and ours.dtype.kind in "iu" and theirs.dtype.kind == "f"
    ):  # nothing is missing: stored values stay integers
        theirs = opened(name, "rasterio", decoded=False)["band_data"]
    mine, peers = asked(ours), asked(theirs)
    found = []
    for what, answer in mine.items():
        peer = peers.get(what)
        if isinstance(peer, Failed) or same(answer, peer) or meant(what, ours, theirs):
            continue
        found.append(f"{what}: {str(answer)[:200]} instead of {str(peer)[:200]}")
    return found, None if isinstance(mine.get("values"), Failed) else ours


def written(da, path):
    """Differences between what is written by rioxarray and read again, and what was read."""
    if da is None or da.size > LARGEST or da.dtype.kind not in "iuf" or da.dtype == np.float16:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        da.rio.to_raster(path)
        # GDAL takes the last of four bands of bytes for alpha where it writes them, which says nothing of what was written
        with xr.open_dataset(path, engine="geotiff", mask_and_scale=da.dtype.kind == "f")["band_data"] as back:
            want, got = da.values, back.values
    if "scale_factor" in da.encoding:
        return [] if np.allclose(want, got, rtol=1e-6, equal_nan=True) else ["to_raster: other values"]
    return (
        []
        if np.array_equal(want, got, equal_nan=got.dtype.kind == "f" == want.dtype.kind)
        else ["to_raster: other values"]
    )


ENGINES = {"geotiff": "geotiff", "jp2": "jpeg2000"}
"""By folder of the corpus."""


@pytest.mark.parametrize("decoded", [True, False], ids=["decoded", "raw"])
@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in ENGINES for name in manifest(folder)])
def test_accessors(tmp_path, folder, name, decoded):
    with alarm():
        found, ours = compare(name, ENGINES[folder], decoded)
        if decoded:
            found += written(ours, tmp_path / "out.tif")
    assert not found
