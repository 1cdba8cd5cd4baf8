"""Catalogs written to YAML and opened again."""

import gzip
import subprocess
import sys
import tomllib
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


# ---- what intake knows by itself

SUFFIXES = {
    "FITS": ["fits", "fit", "fits.gz", "fits.fz", "fits.bz2", "fits.Z", "FITS"],
    "GeoTIFF": ["tif", "tiff", "TIF", "tif.gz", "gtiff"],
    "JPEG2000": ["jp2", "j2k", "jph", "jpx"],
    "VOTable": ["vot", "votable", "xml", "vot.gz", "xml.gz", "vot.xz"],
}


@pytest.mark.parametrize(("label", "suffix"), [(k, s) for k, some in SUFFIXES.items() for s in some])
def test_every_suffix_is_known_and_datasets_come_first(label, suffix):
    from scichunk.adapters import intake as readers

    for url in (f"/data/x.{suffix}", f"s3://bucket/x*.{suffix}", f"https://example.org/x.{suffix}?version=2"):
        kind = datatypes.recommend(url, head=False)[0]
        assert kind is getattr(readers, label)
        assert type(kind(url).to_reader()) is readers.Dataset
        possible = kind(url).possible_readers["importable"]
        assert {readers.Array, readers.Frame, readers.Tree, getattr(readers, f"{label}Array")} <= set(possible)


def test_formats_are_known_by_their_first_bytes_and_types_of_content(tmp_path):
    from scichunk.adapters import intake as readers

    for name, label in (("scene_deflate.tif", "GeoTIFF"), ("cube.fits", "FITS"), ("band_tlm_plt.jp2", "JPEG2000")):
        (tmp_path / "nameless").write_bytes((DATA / name).read_bytes())
        assert getattr(readers, label) in datatypes.recommend(str(tmp_path / "nameless"))
    assert readers.VOTable in datatypes.recommend(mime="application/x-votable+xml")


def test_files_by_intakes_own_types_are_read_too():
    from scichunk.adapters import intake as readers

    for data in (datatypes.TIFF(SCENE), datatypes.FITS(CUBE)):
        assert readers.Dataset in data.possible_readers["importable"]
        assert isinstance(readers.Dataset(data).read(), xr.Dataset)


def test_intake_imports_the_readers_by_itself(tmp_path):
    root = Path(scichunk.__file__).parents[2]
    points = tomllib.loads((DATA.parent / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    info = tmp_path / "standin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: standin\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in points["intake.imports"].items()]
    (info / "entry_points.txt").write_text("[intake.imports]\n" + "\n".join(lines))
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root / 'src')!r}]; import intake\n"
        "from intake.readers.datatypes import recommend\n"
        "print(recommend('x.jp2', head=False)[0]('x.jp2').to_reader().qname())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["scichunk.adapters.intake:Dataset"]


# ---- many files, parameters, pipelines


def many(tmp_path):
    from astropy.table import Table

    for n in range(2):
        Table({"a": np.arange(3) + 3 * n}).write(tmp_path / f"t{n}.fits")
        scichunk.write_votable(scichunk.read_fits_table(tmp_path / f"t{n}.fits"), tmp_path / f"t{n}.vot")
        (tmp_path / f"b{n}.jp2").write_bytes((DATA / "band_tlm_plt.jp2").read_bytes())
        (tmp_path / f"c{n}.fits").write_bytes((DATA / "cube.fits").read_bytes())
        (tmp_path / f"z{n}.fits.gz").write_bytes(gzip.compress((DATA / "cube.fits").read_bytes()))
        (tmp_path / f"s{n}.tif").write_bytes((DATA / "scene_deflate.tif").read_bytes())


CASES = [
    ("FITSFrame", "FITS", "t{}.fits"),
    ("VOTableFrame", "VOTable", "t{}.vot"),
    ("Frame", "VOTable", "t{}.vot"),
    ("JPEG2000Array", "JPEG2000", "b{}.jp2"),
    ("FITSArray", "FITS", "c{}.fits"),
    ("GeoTIFFArray", "GeoTIFF", "s{}.tif"),
    ("Array", "GeoTIFF", "s{}.tif"),
    ("Dataset", "GeoTIFF", "s{}.tif"),
    ("Tree", "FITS", "t{}.fits"),
    ("Tree", "GeoTIFF", "s{}.tif"),
    ("Dataset", "FITS", "c{}.fits"),
    ("Dataset", "FITS", "z{}.fits.gz"),
    ("Dataset", "JPEG2000", "b{}.jp2"),
    ("Dataset", "VOTable", "t{}.vot"),
    ("Array", "FITS", "c{}.fits"),
    ("Array", "JPEG2000", "b{}.jp2"),
    ("VOTableArray", "VOTable", "t{}.vot"),
    ("Frame", "FITS", "t{}.fits"),
    ("Tree", "JPEG2000", "b{}.jp2"),
    ("Tree", "VOTable", "t{}.vot"),
]


@pytest.mark.parametrize(("reader", "data", "name"), CASES)
def test_lists_and_patterns_of_every_reader(tmp_path, reader, data, name):
    from scichunk.adapters import intake as readers

    many(tmp_path)
    made = intake.Catalog()
    names = [str(tmp_path / name.format(n)) for n in range(2)]
    for key, url in (("list", names), ("pattern", str(tmp_path / name.format("*"))), ("one", names[0])):
        keywords = {"column": "a"} if reader == "VOTableArray" else {}
        made[key] = getattr(readers, reader)(getattr(readers, data)(url), **keywords)
    made.to_yaml_file(str(tmp_path / "catalog.yaml"))
    catalog = intake.open_catalog(str(tmp_path / "catalog.yaml"))
    one, two, three = (catalog[key].read() for key in ("one", "list", "pattern"))
    if reader.endswith("Frame"):
        assert two.a.compute().tolist() == three.a.compute().tolist() == list(range(6))
        assert one.a.compute().tolist() == [0, 1, 2]
    elif reader == "Tree":
        assert list(two.children) == list(three.children) == [name.format(0), name.format(1)]
        branch = two[name.format(0)]
        assert [n.name for n in branch.subtree][1:] == [n.name for n in one.subtree][1:]
    elif reader == "Dataset":
        assert two.sizes["file"] == three.sizes["file"] == 2
        assert "file" not in one.sizes
    else:
        assert two.shape == three.shape == (2, *one.shape)
        if data != "VOTable":  # the others are copies of one file
            np.testing.assert_array_equal(two[1], one)


def test_parameters_and_pipelines_in_yaml(tmp_path):
    from scichunk.adapters import intake as readers

    many(tmp_path)
    (tmp_path / "catalog.yaml").write_text(f"""
version: 2
aliases: {{}}
metadata: {{}}
data:
  file:
    datatype: scichunk.adapters.intake:GeoTIFF
    kwargs: {{url: '{tmp_path}/s{{number}}.tif', storage_options: null}}
    metadata: {{}}
    user_parameters: {{}}
entries:
  scene:
    reader: scichunk.adapters.intake:Dataset
    kwargs: {{args: ['{{data(file)}}'], chunks: {{y: 128}}}}
    output_instance: xarray:Dataset
    metadata: {{}}
    user_parameters: {{}}
user_parameters:
  number: {{default: 0, description: '', dtype: int}}
""")
    catalog = intake.open_catalog(str(tmp_path / "catalog.yaml"))
    for number, opened in ((0, catalog), (1, catalog(number=1))):
        scene = opened["scene"].read()
        assert scene.band_data.chunks[1] == (128, 72)
        assert scene.encoding["source"] == str(tmp_path / f"s{number}.tif")
    made = intake.Catalog()
    made["bright"] = readers.Dataset(readers.GeoTIFF(str(tmp_path / "s0.tif"))).isel(band=0).mean()
    made.to_yaml_file(str(tmp_path / "pipeline.yaml"))
    found = intake.open_catalog(str(tmp_path / "pipeline.yaml"))["bright"].read()
    want = xr.open_dataset(tmp_path / "s0.tif", engine="geotiff").isel(band=0).mean()
    xr.testing.assert_allclose(found.compute(), want)


def test_catalogs_are_opened_by_who_does_not_know_us(tmp_path):
    """A pipeline over a parameter, written here and read in a process that imports intake alone."""
    from scichunk.adapters import intake as readers

    many(tmp_path)
    made = intake.Catalog()
    made["bright"] = readers.Dataset(readers.FITS(str(tmp_path / "c{number}.fits"))).isel(frequency=0).mean()
    made["stars"] = readers.Frame(readers.VOTable(str(tmp_path / "t*.vot")), columns=["a"])
    made.user_parameters["number"] = 1
    made.to_yaml_file(str(tmp_path / "catalog.yaml"))
    lines = ["import intake, sys", f"catalog = intake.open_catalog({str(tmp_path / 'catalog.yaml')!r})"]
    lines += ["print(float(catalog['bright'].read().data), float(catalog(number=0)['bright'].read().data))"]
    lines += ["print(int(catalog['stars'].read().a.sum().compute()))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    want = float(xr.open_dataset(tmp_path / "c0.fits", engine="fits").isel(frequency=0).mean().data)
    np.testing.assert_allclose([float(n) for n in done.stdout.split()], [want, want, 15], rtol=1e-6)


def test_wrong_keywords_list_the_right_ones():
    from scichunk.adapters import intake as readers

    with pytest.raises(TypeError, match=r"no keyword 'hdu'.*page, overview"):
        readers.GeoTIFFArray(readers.GeoTIFF(SCENE), hdu=1).read()


def test_formats_of_other_packages_have_readers(tmp_path):
    plugin = DATA.parent / "tests" / "plugins" / "envi"
    code = (
        f"import sys; sys.path[:0] = [{str(plugin)!r}, {str(Path(scichunk.__file__).parents[1])!r}]\n"
        "from scichunk.adapters import intake as readers\n"
        "print(readers.Envi.qname(), readers.EnviArray.fixed)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["scichunk.adapters.intake:Envi", "{'format':", "'envi'}"]
