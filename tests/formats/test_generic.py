"""The functions that name no format: the same as those that do, for every format, plug-ins included."""

import io
import subprocess
import sys
import textwrap
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.errors import FormatError, MissingFile
from scichunk.testing import RangeServer

DATA = Path(__file__).parents[2] / "test_data"


# -- arrays -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function", "selectors"),
    [
        ("scene_deflate.tif", "from_geotiff", {}),
        ("scene_deflate.tif", "from_geotiff", {"overview": 0}),
        ("scene_deflate.tif", "from_geotiff", {"bands": [2, 0], "chunks": "native"}),
        ("pages_lzw.tif", "from_geotiff", {"page": 1}),
        ("scene_deflate.tif", "from_geotiff", {"reader": "reference"}),
        ("bgr.jp2", "from_jpeg2000", {"reduce": 1}),
        ("palette.jp2", "from_jpeg2000", {"expand": True}),
        ("cube.fits", "from_fits", {}),
        ("scaled.fits", "from_fits", {"raw": True}),
        ("exposure.fits", "from_fits", {"hdu": 1}),
    ],
)
def test_arrays_of_every_format(name, function, selectors):
    want = getattr(scichunk, function)(DATA / name, **selectors)
    found = scichunk.from_file(DATA / name, **selectors)
    assert found.name == want.name
    assert (found.chunks, found.dtype) == (want.chunks, want.dtype)
    np.testing.assert_array_equal(found, want)
    engine = {"from_geotiff": "geotiff", "from_jpeg2000": "jpeg2000", "from_fits": "fits"}[function]
    assert scichunk.from_file(DATA / name, format=engine, **selectors).name == want.name
    np.testing.assert_array_equal(scichunk.from_file((DATA / name).read_bytes(), **selectors), want)


def test_columns_as_arrays():
    want = scichunk.from_votable(DATA / "stars.vot", "ra")
    np.testing.assert_array_equal(scichunk.from_file(DATA / "stars.vot", column="ra"), want)
    with pytest.raises(FormatError, match="name a column="):
        scichunk.from_file(DATA / "stars.vot")


def test_tables_of_every_format():
    for name, function in (("catalogue.fits", "read_fits_table"), ("stars.vot", "read_votable")):
        want = getattr(scichunk, function)(DATA / name).compute()
        pd.testing.assert_frame_equal(scichunk.read_table(DATA / name).compute(), want)
        assert scichunk.read_table(DATA / name).compute().attrs == want.attrs
    with pytest.raises(FormatError, match=r"hold no tables: scichunk\.from_file"):
        scichunk.read_table(DATA / "scene_deflate.tif")


def test_what_is_no_file_of_a_format(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    for function in (scichunk.from_file, scichunk.read_table, scichunk.info, scichunk.open):
        with pytest.raises(FormatError, match="not a file of a known format"):
            function(tmp_path / "a.txt")
        with pytest.raises(MissingFile):
            function(tmp_path / "b.tif")
    with pytest.raises(FormatError, match=r"there is no format 'hdf9'; known are .*geotiff"):
        scichunk.from_file(DATA / "cube.fits", format="hdf9")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("masked", "mask_and_scale=True"),
        ("overview_level", "the word is overview="),
        ("band_as_variable", r"to_dataset\('band'\)"),
        ("lock", "leave it out"),
        ("parse_coordinates", "leave it out"),
        ("default_name", r"ds\.rename\(\)"),
        ("nonsense", "of selectors it takes page, overview"),
    ],
)
def test_words_of_others(word, hint):
    path = DATA / "scene_deflate.tif"
    for call in (
        lambda **k: scichunk.from_file(path, **k),
        lambda **k: scichunk.from_files([path], **k),
        lambda **k: scichunk.open_stack([path], **k),
        lambda **k: xr.open_dataset(path, engine="geotiff", **k),
        lambda **k: xr.open_dataset(path, engine="scichunk", **k),
        lambda **k: xr.open_datatree(path, engine="geotiff", **k),
    ):
        with pytest.raises(TypeError, match=rf"has no keyword '{word}'.*{hint}") as caught:
            call(**{word: 1})
        assert "page, overview" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "error", "match"),
    [
        ("scene_deflate.tif", {"page": "x"}, TypeError, "page must be an integer"),
        ("scene_deflate.tif", {"page": -1}, ValueError, "page counts from 0"),
        ("scene_deflate.tif", {"overview": -1}, ValueError, "overview counts from 0"),
        ("scene_deflate.tif", {"bands": [9]}, IndexError, "bands has 9, but there are"),
        ("scene_deflate.tif", {"bands": ["x"]}, TypeError, "bands must be an integer"),
        ("scene_deflate.tif", {"reader": "fast"}, ValueError, "reader must be 'auto' or 'indexed' or 'reference'"),
        ("scene_deflate.tif", {"hdu": 1}, TypeError, "it takes page, overview, bands, reader"),
        ("bgr.jp2", {"reduce": 99}, FormatError, "99"),
        ("cube.fits", {"page": 1}, TypeError, "it takes hdu, raw, reader"),
        ("cube.fits", {"hdu": (1, 2, 3)}, (TypeError, ValueError), "hdu"),
        ("cube.fits", {"hdu": (1, "x")}, (TypeError, ValueError), "hdu"),
        ("cube.fits", {"hdu": 2.5}, TypeError, "hdu"),
        ("cube.fits", {"raw": "yes"}, TypeError, "raw must be True or False"),
        ("stars.vot", {"hdu": 1}, TypeError, "it takes column, table|it takes table, column"),
    ],
)
def test_wrong_selectors(name, given, error, match):
    with pytest.raises(error, match=match):
        scichunk.from_file(DATA / name, **given)


def test_a_format_of_another_package(tmp_path, envi):
    values = np.arange(2 * 6 * 5, dtype="<u2").reshape(2, 6, 5)
    path = tmp_path / "scene.bsq"
    path.write_bytes(values.tobytes())
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = 5\nlines = 6\nbands = 2\ndata type = 12\ninterleave = bsq\nbyte order = 0\n"
    )
    np.testing.assert_array_equal(scichunk.from_file(path), values)
    np.testing.assert_array_equal(scichunk.from_file(path, format="envi", bands=[1]), values[[1]])
    np.testing.assert_array_equal(scichunk.from_files([path, path]), np.stack([values, values]))
    assert [a.shape for a in scichunk.info(path).arrays] == [(2, 6, 5)]
    with pytest.raises(TypeError, match="has no keyword 'page'; of selectors it takes bands"):
        scichunk.from_file(path, page=0)
    with pytest.raises(FormatError, match="hold no tables"):
        scichunk.read_table(path)


def test_the_table_of_formats():
    known = scichunk.list_formats()
    assert {"geotiff", "jpeg2000", "fits", "votable"} <= set(known)
    assert [s.name for s in known["geotiff"].selectors] == ["page", "overview", "bands", "reader"]
    known.clear()
    assert scichunk.list_formats()
    with pytest.warns(DeprecationWarning, match="list_formats"):
        assert set(scichunk.formats()) == set(scichunk.list_formats())


PLUGIN = """
from scichunk.core.registry import FormatSpec
from scichunk.formats.geotiff.file import GeoTIFFFile

def is_ours(head):
    return head[:4] == b"II*\\0" and b"OURS" in head

def open_file(location, source=None):
    return GeoTIFFFile(location, source or location.open())

SPEC = FormatSpec("ourtiff", "TIFF of ours", (".ours",), is_ours, "ourtiff", priority=PRIORITY)
"""


@pytest.mark.parametrize(("priority", "name"), [(1, "ourtiff"), (-1, "geotiff")])
def test_a_format_that_refines_another(tmp_path, priority, name):
    """Formats of higher priority are asked first."""
    info = tmp_path / "ourtiff-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ourtiff\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[scichunk.formats]\nourtiff = ourtiff:SPEC\n")
    (tmp_path / "ourtiff.py").write_text(PLUGIN.replace("PRIORITY", str(priority)))
    code = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    import rasterio, numpy as np, scichunk
    for note in ("OURS", "theirs"):
        with rasterio.open({str(tmp_path)!r} + f"/{{note}}.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8") as ds:
            ds.write(np.ones((1, 4, 4), "u1"))
            ds.update_tags(note=note)
    names = [scichunk.from_file({str(tmp_path)!r} + f"/{{note}}.tif").name.partition("-")[0] for note in ("OURS", "theirs")]
    print(*names, scichunk.info({str(tmp_path)!r} + "/OURS.tif").format)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name, "geotiff", name]


# -- requests -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scene_deflate.tif", "bgr.jp2", "cube.fits", "stars.vot"])
def test_a_head_is_fetched_once(name):
    engine = {"tif": "geotiff", "jp2": "jpeg2000", "fits": "fits", "vot": "votable"}[name.rpartition(".")[2]]
    with RangeServer({name: (DATA / name).read_bytes()}) as server:

        def requests(work):
            scichunk.clear_caches()
            server.reset()
            work()
            return server.requests

        url = server.url(name)
        with_format = requests(lambda: xr.open_dataset(url, engine=engine))
        assert requests(lambda: xr.open_dataset(url, engine="scichunk")) == with_format
        tree = requests(lambda: xr.open_datatree(url, engine=engine))
        assert requests(lambda: scichunk.open(url)) == tree
        assert requests(lambda: scichunk.info(url)) <= tree
        if engine in {"geotiff", "jpeg2000", "fits"}:
            assert requests(lambda: scichunk.from_file(url)) == with_format
        else:
            assert requests(lambda: scichunk.read_table(url)) == requests(lambda: scichunk.read_votable(url))


# -- tables of many files -----------------------------------------------------------------------------------------------------------


def table(path, start, count=10, **columns):
    numbers = np.arange(start, start + count)
    found = {"n": numbers.astype("i4"), "x": numbers / 2.0, "name": [f"s{n}" for n in numbers]} | columns
    Table(found).write(path)
    return str(path)


@pytest.fixture
def nights(tmp_path):
    return [table(tmp_path / f"night_{n}.fits", 10 * n) for n in range(3)]


def test_lists_and_patterns(nights, tmp_path):
    want = pd.concat([scichunk.read_fits_table(p).compute() for p in nights])
    for urls in (nights, tuple(nights), [Path(p) for p in nights], str(tmp_path / "night_*.fits")):
        frame = scichunk.read_table(urls)
        assert isinstance(frame, dd.DataFrame)
        pd.testing.assert_frame_equal(frame.compute(), want)
    assert scichunk.read_table(tmp_path / "night_*.fits").compute().n.tolist() == list(range(30))
    assert scichunk.read_table(nights[::-1], columns=["n"]).compute().n.tolist()[0] == 20
    with pytest.raises(MissingFile, match="no file matches"):
        scichunk.read_table(str(tmp_path / "day_*.fits"))
    with pytest.raises(MissingFile, match="gone"):
        scichunk.read_table([*nights, tmp_path / "gone.fits"])
    with pytest.raises(ValueError, match="no files"):
        scichunk.read_table([])


def test_other_columns_are_errors_that_name_the_file(nights, tmp_path):
    more = table(tmp_path / "more.fits", 0, flag=np.zeros(10, "i2"))
    with pytest.raises(FormatError, match=r"the column 'flag' is int16.*, there missing") as caught:
        scichunk.read_table([*nights, more])
    assert "more.fits" in str(caught.value)
    assert "night_0.fits" in str(caught.value)
    with pytest.raises(FormatError, match=r"the column 'flag' is missing, there int16.*night_0"):
        scichunk.read_table([more, *nights])
    other = table(tmp_path / "other.fits", 0, x=np.zeros(10, "f4"))
    with pytest.raises(FormatError, match=r"the column 'x' is float.*, there double.*other|other.*the column 'x'"):
        scichunk.read_table([*nights, other])
    with pytest.raises(FormatError, match=r"there are no columns \['y'\]; the table has n, x, name"):
        scichunk.read_table(nights, columns=["n", "y"])


def test_columns_in_another_order(nights, tmp_path):
    turned = scichunk.read_table(nights[0]).compute()[["name", "x", "n"]]
    Table.from_pandas(turned.astype({"name": str, "x": "f8", "n": "i4"})).write(tmp_path / "turned.fits")
    found = scichunk.read_table([nights[0], tmp_path / "turned.fits"]).compute()
    assert found.columns.tolist() == ["n", "x", "name"]
    assert found.n.tolist() == list(range(10)) * 2


def test_partitions(nights):
    assert scichunk.read_table(nights, blocksize=None).npartitions == 3
    assert scichunk.read_table(nights[0], blocksize=None).npartitions == 1
    small = scichunk.read_table(nights, blocksize=64)
    assert small.npartitions > 3
    assert small.n.compute().tolist() == list(range(30))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="blocksize must be positive"):
            scichunk.read_table(nights, blocksize=wrong)


OPERATORS = {
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@pytest.mark.parametrize("many", [True, False])
def test_filters(nights, many):
    urls = nights if many else nights[0]
    whole = scichunk.read_table(urls).compute()
    for word, operator in OPERATORS.items():
        found = scichunk.read_table(urls, filters=[("n", word, 4)]).compute()
        pd.testing.assert_frame_equal(found, whole[operator(whole.n, 4)])
    for word, keep in (("in", whole.n.isin([3, 5, 25])), ("not in", ~whole.n.isin([3, 5, 25]))):
        found = scichunk.read_table(urls, filters=[("n", word, [3, 5, 25])]).compute()
        pd.testing.assert_frame_equal(found, whole[keep])
    both = [("n", ">", 2), ("name", "!=", "s5"), ("x", "<", 4)]
    pd.testing.assert_frame_equal(
        scichunk.read_table(urls, filters=both).compute(),
        whole[(whole.n > 2) & (whole["name"] != "s5") & (whole.x < 4)],
    )
    either = [[("n", "<", 2)], [("n", ">", 5), ("x", "<=", 4)]]
    want = whole[(whole.n < 2) | ((whole.n > 5) & (whole.x <= 4))]
    pd.testing.assert_frame_equal(scichunk.read_table(urls, filters=either).compute(), want)
    projected = scichunk.read_table(urls, columns=["name"], filters=either).compute()
    pd.testing.assert_frame_equal(projected, want[["name"]])
    pd.testing.assert_frame_equal(scichunk.read_table(urls, filters=either)[["x"]].compute(), want[["x"]])
    assert scichunk.read_table(urls, filters=[("n", ">", 1000)]).compute().empty
    assert scichunk.read_table(urls, filters=[("n", ">", 2)], blocksize=64).compute().n.tolist() == list(
        range(3, 30 if many else 10)
    )


def test_a_null_compares_as_false(tmp_path):
    hdu = fits.BinTableHDU.from_columns([fits.Column("n", "J", null=-1, array=np.array([1, -1, 3], "i4"))])
    hdu.writeto(tmp_path / "a.fits")
    for filters, want in (([("n", ">", 0)], [1, 3]), ([("n", "!=", 1)], [3]), ([("n", "<", 2)], [1])):
        assert scichunk.read_table(tmp_path / "a.fits", filters=filters).compute().n.tolist() == want


@pytest.mark.parametrize("filters", [[("n", "~", 1)], [("n", ">")], [("n",)], ["n > 1"], "n > 1", [[1, 2, 3]]])
def test_wrong_filters(nights, filters):
    with pytest.raises(ValueError, match=r"filter|operator|~"):
        scichunk.read_table(nights, filters=filters).compute()


def test_filters_of_columns_that_are_not_there(nights):
    with pytest.raises(FormatError, match=r"there are no columns \['y'\]"):
        scichunk.read_table(nights, filters=[("y", ">", 1)])


def test_a_table_of_many_remote_files(nights):
    with RangeServer({Path(p).name: Path(p).read_bytes() for p in nights}) as server:
        frame = scichunk.read_table([server.url(Path(p).name) for p in nights])
        assert server.requests == 3
        assert frame.n.compute().tolist() == list(range(30))


def test_selectors_of_tables(tmp_path):
    out = io.BytesIO()
    first, second = (fits.BinTableHDU(Table({name: [1, 2]}), name=name.upper()) for name in "ab")
    fits.HDUList([fits.PrimaryHDU(), first, second]).writeto(out)
    assert scichunk.read_table(out.getvalue()).columns.tolist() == ["a"]
    assert scichunk.read_table(out.getvalue(), hdu="B").columns.tolist() == ["b"]
    with pytest.raises(TypeError, match="has no keyword 'table'; of selectors it takes hdu"):
        scichunk.read_table(out.getvalue(), table=1)
    with pytest.raises(TypeError, match="has no keyword 'raw'"):
        scichunk.read_table(out.getvalue(), raw=True)
