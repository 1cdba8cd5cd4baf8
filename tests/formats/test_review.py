"""Faults that a review of all modules has found, each by its number in it, where no other test holds them."""

import io
import pickle
import warnings
from pathlib import Path
from xml.dom import minidom

import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.errors import GroupNotFound, MissingFile, PerformanceWarning, SourceError
from scichunk.testing import RangeServer

DATA = Path(__file__).parents[2] / "test_data"
ENGINES = {
    ".tif": "geotiff",
    ".jp2": "jpeg2000",
    ".j2k": "jpeg2000",
    ".jph": "jpeg2000",
    ".fits": "fits",
    ".vot": "votable",
    ".gz": "votable",
}
FILES = sorted(p for p in DATA.iterdir() if p.suffix in ENGINES)


# -- 4: the header of a VOTable is written anew ---------------------------------------------------------------------------------------

TABLE = "<FIELD name='a' datatype='int'/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
HEADERS = {
    "encoding in a value": "<?xml version='1.0'?><VOTABLE version='1.4'><RESOURCE>"
    "<INFO name='how' value=\"curl --data encoding='koi8' version='1.1' nrows='7'\"/><TABLE>",
    "encoding declared too": "<?xml version='1.0' encoding='utf-8'?><VOTABLE version='1.1'><RESOURCE>"
    "<INFO name='how' value=\"encoding='koi8'\"/><TABLE>",
    "no declaration": "<VOTABLE version='1.4'><RESOURCE><INFO name='how' value=\"encoding='koi8'\"/><TABLE>",
    "nrows in a value": "<?xml version='1.0'?><VOTABLE version='1.4'><RESOURCE><INFO name='how' value='x'/>"
    "<TABLE utype=\"of nrows='3'\" ucd=\"x name='y'\" nrows='1' name='t'>",
    "version in a value": "<VOTABLE ID='conversion' version='1.2'><RESOURCE>"
    "<INFO name='how' value=\"a version='1.1'\"/><TABLE>",
    "no version": "<VOTABLE ID='subversion'><RESOURCE><INFO name='how' value='x'/><TABLE>",
}


@pytest.mark.parametrize("head", HEADERS.values(), ids=[f"4 {name}" for name in HEADERS])
def test_rewritten_headers_are_well_formed(tmp_path, head):
    (tmp_path / "a.vot").write_text(head + TABLE)
    ds = xr.open_dataset(tmp_path / "a.vot", engine="votable")
    scichunk.write_votable(ds, tmp_path / "b.vot")
    old, new = (minidom.parse(str(tmp_path / name)) for name in ("a.vot", "b.vot"))

    def element(document, name):
        return dict(document.getElementsByTagName(name)[0].attributes.items())

    assert element(new, "INFO") == element(old, "INFO")
    tags = {"nrows": "1"} | {k: v for k, v in element(old, "TABLE").items() if k != "nrows"}
    assert element(new, "TABLE") == tags
    assert float(element(new, "VOTABLE")["version"]) >= 1.3
    assert Table.read(tmp_path / "b.vot", format="votable")["a"].tolist() == [1]


# -- 10, 11: stores of obstore --------------------------------------------------------------------------------------------------------


def test_10_an_object_that_changes_in_a_store(tmp_path):
    obstore = pytest.importorskip("obstore")
    store = obstore.store.MemoryStore()

    def put(value):
        out = io.BytesIO()
        fits.PrimaryHDU(np.full((300, 300), value, "f4")).writeto(out)
        obstore.put(store, "a.fits", out.getvalue())

    put(1)
    lazy = scichunk.from_fits("a.fits", storage_options={"store": store})
    put(2)
    with pytest.raises(SourceError, match=r"a\.fits"):
        lazy.compute()


def test_11_a_store_that_cannot_be_reached():
    obstore = pytest.importorskip("obstore")
    store = obstore.store.HTTPStore.from_url(
        "http://127.0.0.1:9",
        client_options={"allow_http": True, "timeout": "2s"},
        retry_config={"max_retries": 0},
    )
    with scichunk.options.set(retries=0), pytest.raises(SourceError, match=r"a\.fits"):
        scichunk.from_fits("a.fits", storage_options={"store": store})
    with pytest.raises(MissingFile):
        scichunk.from_fits("a.fits", storage_options={"store": obstore.store.MemoryStore()})


# -- 23: remote files of one chunk -----------------------------------------------------------------------------------------------------


def test_23_small_remote_files_of_a_chunk_are_read_together():
    files = {}
    for number in range(12):
        out = io.BytesIO()
        fits.PrimaryHDU(np.full((300, 300), number, "f4")).writeto(out)
        files[f"f{number}.fits"] = out.getvalue()
    with RangeServer(files, latency=0.1) as server:
        array = scichunk.from_fits_files([server.url(name) for name in files])
        assert array.chunks[0] == (12,)
        server.reset()
        values = array.compute(scheduler="synchronous")
        assert server.max_concurrent >= 6
    assert values[:, -1, -1].tolist() == list(range(12))


# -- 25, 26: names of groups ----------------------------------------------------------------------------------------------------------


def test_25_a_tree_of_one_group_has_no_other(tmp_path):
    path = tmp_path / "pages.tif"
    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8"}
    for number in range(12):
        with rasterio.open(path, "w", APPEND_SUBDATASET="YES" if number else "NO", **profile) as ds:
            ds.write(np.full((1, 16, 16), number, "u1"))
    tree = xr.open_datatree(path, engine="geotiff", group="page_1")
    assert tree.groups == ("/",)
    assert (tree.band_data == 1).all()
    tree = xr.open_datatree(path, engine="geotiff")
    assert list(tree.children) == [f"page_{n}" for n in range(12)]


@pytest.mark.parametrize("path", FILES, ids=[f"26 {p.name}" for p in FILES])
def test_trees_information_and_engines_agree_on_the_names_of_groups(path):
    engine = ENGINES[path.suffix]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = scichunk.open(path)
        said = {a.group for a in scichunk.info(path).arrays if a.shape or "columns" in a.notes}
        full = {g for g in tree.groups if tree[g].data_vars}
        assert full <= said | {"/"}
        for group in full | said:
            ds = xr.open_dataset(path, engine=engine, group=group)
            assert list(ds.data_vars) == list(tree[group].data_vars)


@pytest.mark.parametrize("name", ["_", "page_", "overview_0", "page_0_", "page_00x", "overview_1_page_1"])
def test_26_names_that_are_none(name):
    with pytest.raises(GroupNotFound):
        xr.open_dataset(DATA / "pages_lzw.tif", engine="geotiff", group=name)


# -- 28: secrets ----------------------------------------------------------------------------------------------------------------------


def test_28_short_secrets_are_in_no_message():
    with RangeServer({}) as server:
        url = server.url("a.tif") + "?token=hunter2&password=swordfish&x=1"
        with pytest.raises(MissingFile) as caught:
            scichunk.from_geotiff(url)
    for secret in ("hunter2", "swordfish"):
        assert secret not in str(caught.value)
        assert secret not in str(caught.value.url)


# -- 30: files given as content -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, io.BytesIO])
def test_30_content_travels_once(kind):
    data = (DATA / "scene_deflate.tif").read_bytes()
    array = scichunk.from_geotiff(kind(data), chunks="native")
    sizes = sorted(len(pickle.dumps(task)) for task in dict(array.__dask_graph__()).values())
    assert len(sizes) > 10
    assert sizes[-1] > len(data)
    assert sizes[-2] < 2_000
    np.testing.assert_array_equal(array, scichunk.from_geotiff(DATA / "scene_deflate.tif"))
    named = scichunk.from_geotiff(DATA / "scene_deflate.tif", chunks="native")
    assert len(dict(named.__dask_graph__())) == named.npartitions


def test_30_partitions_of_content_warn():
    out = io.BytesIO()
    Table({"x": np.arange(200_000.0)}).write(out, format="fits")
    with pytest.warns(PerformanceWarning, match="1 MiB are given as content, not by name, and travel with each of"):
        scichunk.read_table(out.getvalue(), blocksize=400_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scichunk.read_table(out.getvalue())
