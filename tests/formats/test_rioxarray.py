"""What the accessors ``rio`` and ``odc`` make of our datasets, beside those of the engine ``rasterio``; real files are in ``differential``."""

import importlib

import numpy as np
import pytest
import rasterio
import rasterio.transform
import xarray as xr

from tests.docs_runner import DATA
from tests.formats.test_raster_round_trips import KINDS, write

pytest.importorskip("rioxarray", reason="rioxarray is not installed")
pytest.importorskip("odc.geo.xr", reason="odc-geo is not installed")
from tests.differential.test_rioxarray_corpus import compare, written  # it skips without these packages, too

if not hasattr(importlib.import_module("rioxarray.raster_array").RasterArray, "get_rpcs"):
    pytest.skip("an older rioxarray has other answers", allow_module_level=True)


BUNDLED = sorted(p.name for p in [*DATA.glob("*.tif"), *DATA.glob("*.jp2")] if p.name != "pages_lzw.tif")
"""Of pages of several sizes the engine ``rasterio`` makes no dataset."""
MEANT = {"nodata of a later band", "tags"}
"""Nodata of the first band is not that of all; names that xarray means otherwise are no attributes (docs/formats/geotiff.md)."""
FORMS = {"decoded": True, "raw": False}


@pytest.mark.parametrize("decoded", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_files(tmp_path, name, decoded):
    """Transforms, control points, RPCs, rotated grids, files beside the raster, masks, palettes, complex values."""
    differences, ours = compare(DATA / name, "scichunk", decoded)
    assert differences + (written(ours, tmp_path / "out.tif") if decoded else []) == []


@pytest.mark.parametrize("decoded", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - MEANT))
def test_kinds_of_values(tmp_path, kind, decoded):
    """Scales, offsets, nodata and masks that differ from band to band."""
    path = write(tmp_path, kind)
    differences, ours = compare(path, "scichunk", decoded)
    assert differences + (written(ours, tmp_path / "out.tif") if decoded else []) == []


@pytest.mark.parametrize("levels", [0, 1])
def test_overviews(tmp_path, levels):
    path = write(tmp_path, "mask")
    with rasterio.open(path, "r+") as ds:
        ds.build_overviews([2, 4])
    ours = xr.open_dataset(path, engine="geotiff", overview=levels).band_data
    theirs = xr.open_dataset(path, engine="rasterio", open_kwargs={"overview_level": levels}).band_data
    assert (ours.rio.crs, ours.rio.bounds(), ours.rio.shape) == (theirs.rio.crs, theirs.rio.bounds(), theirs.rio.shape)
    xr.testing.assert_equal(ours.drop_vars("spatial_ref"), theirs.drop_vars("spatial_ref"))


@pytest.mark.parametrize("step", [0.1, 1 / 3, 1e-9])
def test_coordinates_are_equal_to_the_last_bit(tmp_path, step):
    """So that rasters that two engines have read align exactly."""
    place = rasterio.transform.from_origin(-179.95, 89.9, step, step / 7)
    size = {"count": 1, "height": 90, "width": 180, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", crs="EPSG:4326", transform=place, **size) as out:
        out.write(np.ones((1, 90, 180), "u1"))
    ours, theirs = (xr.open_dataset(tmp_path / "a.tif", engine=e) for e in ("geotiff", "rasterio"))
    for name in ("x", "y"):
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)
    xr.align(ours, theirs, join="exact")
