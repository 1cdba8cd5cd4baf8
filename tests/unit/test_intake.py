"""Catalogs written to YAML and opened again."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import scichunk

intake = pytest.importorskip("intake")
datatypes = pytest.importorskip("intake.readers.datatypes")

DATA = Path(__file__).resolve().parents[2] / "test_data"
SCENE, CUBE = str(DATA / "scene_deflate.tif"), str(DATA / "cube.fits")
DEMS = sorted(str(p) for p in DATA.glob("dem_*.tif"))


@pytest.fixture
def catalog(tmp_path):
    from scichunk.adapters import intake as readers

    made = intake.Catalog()
    made["scene"] = readers.Dataset(datatypes.TIFF(SCENE), chunks={"y": 100})
    made["pixels"] = readers.GeoTIFFArray(datatypes.TIFF(SCENE), bands=[1])
    made["dems"] = readers.GeoTIFFArray(datatypes.TIFF(DEMS))
    made["stack"] = readers.Dataset(datatypes.TIFF(DEMS), dim="time")
    made["cube"] = readers.FITSArray(datatypes.FITS(CUBE))
    made["tree"] = readers.Tree(datatypes.FITS(CUBE))
    made.to_yaml_file(str(tmp_path / "catalog.yaml"))
    return intake.open_catalog(str(tmp_path / "catalog.yaml"))


def test_arrays(catalog):
    np.testing.assert_array_equal(catalog["pixels"].read(), scichunk.from_geotiff(SCENE, bands=[1]))
    np.testing.assert_array_equal(catalog["cube"].read(), scichunk.from_fits(CUBE))
    assert catalog["dems"].read().shape[0] == len(DEMS)


def test_datasets(catalog):
    scene = catalog["scene"].read()
    assert scene.band_data.chunks[1] == (100, 100)
    xr.testing.assert_identical(scene.load(), xr.open_dataset(SCENE, engine="geotiff").load())
    assert catalog["stack"].read().sizes["time"] == len(DEMS)
    assert isinstance(catalog["tree"].read(), xr.DataTree)


def test_storage_options(tmp_path):
    import fsspec

    from scichunk.adapters.intake import GeoTIFFArray

    with fsspec.open(f"simplecache::file://{SCENE}", simplecache={"cache_storage": str(tmp_path)}) as file:
        assert file.read(2) == b"II"
    data = datatypes.TIFF(
        f"simplecache::file://{SCENE}", storage_options={"simplecache": {"cache_storage": str(tmp_path)}}
    )
    assert GeoTIFFArray(data).read().shape == scichunk.from_geotiff(SCENE).shape


def test_every_format(tmp_path):
    from scichunk.adapters import intake as readers

    made = intake.Catalog()
    made["band"] = readers.JPEG2000Array(readers.JPEG2000(str(DATA / "band_tlm_plt.jp2")), reduce=1)
    made["stars"] = readers.VOTableFrame(readers.VOTable(str(DATA / "stars.vot")), columns=["ra", "dec"])
    made["catalogue"] = readers.FITSFrame(datatypes.FITS(str(DATA / "catalogue.fits")))
    made["sets"] = readers.Dataset(readers.VOTable(str(DATA / "stars.vot")))
    made.to_yaml_file(str(tmp_path / "catalog.yaml"))
    catalog = intake.open_catalog(str(tmp_path / "catalog.yaml"))
    np.testing.assert_array_equal(catalog["band"].read(), scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2", reduce=1))
    assert list(catalog["stars"].read().columns) == ["ra", "dec"]
    assert len(catalog["catalogue"].read()) == len(scichunk.read_fits_table(DATA / "catalogue.fits"))
    assert "row" in catalog["sets"].read().sizes
