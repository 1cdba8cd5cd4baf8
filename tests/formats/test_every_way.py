"""Every way of reading the same thing gives the same thing: each file of a stack is what it is alone."""

import gc
import io
import pickle
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.core import handles
from scichunk.core.tables import Column
from scichunk.errors import FormatError
from scichunk.tables.arrow import to_numpy

DATA = Path(__file__).parents[2] / "test_data"


def extensions(path, **values):
    """Write a FITS file of images, by the names of their extensions, in that order."""
    images = [fits.ImageHDU(np.full((2, 3), value, "f4"), name=name) for name, value in values.items()]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    return str(path)


def tables(path, **values):
    """Write a FITS file of tables, likewise."""
    made = [fits.BinTableHDU(Table({"a": np.full(2, value)}), name=name) for name, value in values.items()]
    fits.HDUList([fits.PrimaryHDU(), *made]).writeto(path)
    return str(path)


def documents(path, **values):
    """Write a VOTable of tables, likewise."""
    rows = "<DATA><TABLEDATA><TR><TD>{}</TD></TR></TABLEDATA></DATA>"
    text = "".join(
        f'<TABLE name="{name}"><FIELD name="a" datatype="int"/>{rows.format(value)}</TABLE>'
        for name, value in values.items()
    )
    path.write_text(f'<VOTABLE version="1.4"><RESOURCE>{text}</RESOURCE></VOTABLE>')
    return str(path)


# -- parts of files by their names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [{"hdu": "sci"}, {"hdu": ("SCI", 1)}, {"group": "/SCI"}], ids=str)
@pytest.mark.parametrize("headers", ["all", "first"])
def test_images_of_a_name_have_any_number(tmp_path, words, headers):
    paths = [extensions(tmp_path / "a.fits", SCI=1, ERR=2), extensions(tmp_path / "b.fits", ERR=20, SCI=10)]
    assert scichunk.open_stack(paths, headers=headers, **words).sci[:, 0, 0].values.tolist() == [1, 10]
    assert scichunk.open_stack(paths, headers=headers, hdu=1).sci[:, 0, 0].values.tolist() == [1, 20]
    index = str(tmp_path / "index.parquet")
    scichunk.save_index(paths, index, **words)
    assert scichunk.open_stack(index, headers=headers, **words).sci[:, 0, 0].values.tolist() == [1, 10]


def test_a_file_without_the_name_is_no_part_of_a_stack(tmp_path):
    paths = [extensions(tmp_path / "a.fits", SCI=1, ERR=2), extensions(tmp_path / "b.fits", ERR=20, DQ=10)]
    with pytest.raises(FormatError, match=r"there is no HDU 'SCI'.*b\.fits"):
        scichunk.open_stack(paths, hdu="SCI")
    with pytest.warns(scichunk.errors.DataWarning, match="1 of 2"):
        found = scichunk.open_stack(paths, hdu="SCI", errors="warn")
    assert found.sci[0, 0, 0] == 1
    assert np.isnan(found.sci[1]).all()


def test_images_of_one_name_are_told_apart_by_their_version(tmp_path):
    paths = []
    for name, versions in (("a", (1, 2)), ("b", (2, 1))):
        images = [fits.ImageHDU(np.full((2, 3), v, "f4"), name="SCI", ver=v) for v in versions]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / f"{name}.fits")
        paths.append(str(tmp_path / f"{name}.fits"))
    for version in (1, 2):
        assert (scichunk.open_stack(paths, hdu=("SCI", version)).sci == version).all()
        assert (scichunk.open_stack(paths, group=f"/SCI,{version}").sci == version).all()


@pytest.mark.parametrize(("write", "end", "word"), [(tables, "fits", "hdu"), (documents, "vot", "table")])
def test_tables_of_a_name_have_any_number(tmp_path, write, end, word):
    paths = [write(tmp_path / f"a.{end}", STARS=1, LOST=2), write(tmp_path / f"b.{end}", LOST=20, STARS=10)]
    assert scichunk.open_stack(paths, **{word: "STARS"}).a[:, 0].values.tolist() == [1, 10]
    assert scichunk.open_stack(paths, group="/STARS").a[:, 0].values.tolist() == [1, 10]
    assert scichunk.read_table(paths, **{word: "STARS"}).a.compute().unique().tolist() == [1, 10]


# -- rows in files of their own ---------------------------------------------------------------------------------------------------


def test_many_documents_whose_rows_lie_beside_them(tmp_path):
    paths = []
    for value in (1, 2):
        rows = tmp_path / f"rows_{value}"
        rows.write_bytes(np.full(5, value, ">i4").tobytes())
        text = f'<FIELD name="a" datatype="int"/><DATA><BINARY><STREAM href="{rows.name}"/></BINARY></DATA>'
        path = tmp_path / f"{value}.vot"
        path.write_text(f'<VOTABLE version="1.4"><RESOURCE><TABLE nrows="5">{text}</TABLE></RESOURCE></VOTABLE>')
        paths.append(str(path))
    assert scichunk.read_table(paths).a.compute().tolist() == [1] * 5 + [2] * 5
    for stack in (scichunk.from_files(paths, column="a"), scichunk.open_stack(paths).a.data):
        scichunk.clear_caches()
        assert pickle.loads(pickle.dumps(stack)).compute(scheduler="synchronous").tolist() == [[1] * 5, [2] * 5]


# -- columns in another order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [None, [("a", ">", -1)]])
def test_partitions_have_the_columns_of_the_first_file(tmp_path, filters):
    for name, order in (("a", ["a", "b"]), ("b", ["b", "a"])):
        Table({column: [1.0 if column == "a" else 2.0] for column in order}).write(tmp_path / f"{name}.fits")
    found = scichunk.read_table(str(tmp_path / "*.fits"), filters=filters)
    assert found.map_partitions(lambda part: part.iloc[:, 0], meta=("a", float)).compute().tolist() == [1, 1]
    assert found.values.compute().tolist() == [[1, 2], [1, 2]]
    assert found.b.compute().tolist() == [2, 2]


# -- values for missing data that are nearly equal --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("int32", -2147483648, -2147483647),
        ("uint32", 4294967295, 4294967294),
        ("float64", -1e20, -1e20 * (1 + 1e-12)),
    ],
)
def test_nodata_of_a_stack_is_one_value(tmp_path, kind, one, other):
    paths = []
    for nodata in (one, other):
        paths.append(str(tmp_path / f"{len(paths)}.tif"))
        with rasterio.open(
            paths[-1], "w", driver="GTiff", width=2, height=1, count=1, dtype=kind, nodata=nodata
        ) as file:
            file.write(np.array([[[nodata, 5]]], kind))
        assert np.isnan(xr.open_dataset(paths[-1], engine="geotiff").band_data.values[0, 0, 0])
    with pytest.raises(FormatError, match="nodata is"):
        scichunk.open_stack(paths)
    assert np.isnan(scichunk.open_stack([paths[0]] * 2).band_data.values[:, 0, 0, 0]).all()


def test_nulls_of_a_stack_are_one_value(tmp_path):
    paths = []
    for null in (-2147483648, -2147483647):
        paths.append(str(tmp_path / f"{len(paths)}.fits"))
        column = fits.Column("a", "J", null=null, array=np.array([null, 5], "i4"))
        fits.BinTableHDU.from_columns([column]).writeto(paths[-1])
    with pytest.raises(FormatError, match="null is"):
        scichunk.open_stack(paths)


# -- options of storages ----------------------------------------------------------------------------------------------------------


class Locked(fsspec.AbstractFileSystem):
    """A storage that asks for a key."""

    protocol = "locked"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}

    def __init__(self, key="", **given):
        super().__init__(**given)
        self.key = key

    def info(self, path, **_):
        if self.key != "right":
            raise PermissionError(path)
        return {"name": path, "size": len(self.files[path]), "type": "file", "etag": "1"}

    def cat_file(self, path, start=None, end=None, **_):
        self.info(path)
        return self.files[path][start:end]


@pytest.fixture
def locked(monkeypatch):
    fsspec.register_implementation("locked", Locked, clobber=True)
    monkeypatch.setattr(Locked, "files", {})
    return Locked.files


@pytest.mark.parametrize("turn", [1, -1])
def test_files_here_and_elsewhere(tmp_path, locked, turn):
    path = extensions(tmp_path / "a.fits", SCI=1)
    locked["a.fits"] = Path(path).read_bytes()
    paths, given = [path, "locked://a.fits"][::turn], {"key": "right"}
    assert (scichunk.from_files(paths, hdu="SCI", storage_options=given).compute() == 1).all()
    assert (scichunk.open_stack(paths, hdu="SCI", storage_options=given).sci == 1).all()
    other = tables(tmp_path / "t.fits", A=1)
    locked["t.fits"] = Path(other).read_bytes()
    found = scichunk.read_table([other, "locked://t.fits"][::turn], storage_options=given)
    assert found.a.compute().tolist() == [1] * 4


# -- shares of files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda p: xr.open_dataset(p, engine="fits", hdu=1), scichunk.open], ids=["dataset", "tree"]
)
def test_what_was_pickled_has_a_share_of_its_own(tmp_path, make):
    path = extensions(tmp_path / "a.fits", SCI=1)
    first = make(path)
    count = sum(handles._shares.values())
    second = pickle.loads(pickle.dumps(first))
    assert sum(handles._shares.values()) == 2 * count
    second.close()
    assert sum(handles._shares.values()) == count
    third = pickle.loads(pickle.dumps(first))
    del second, third
    gc.collect()
    handles._count_gone_shares()
    assert sum(handles._shares.values()) == count
    first.close()
    assert not handles._shares


# -- masks beside files -----------------------------------------------------------------------------------------------------------


def test_flags_of_a_mask_beside_a_file_are_part_of_its_version(tmp_path):
    path = str(tmp_path / "a.tif")
    made = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    for name, value in ((path, 7), (path + ".msk", 0)):
        with rasterio.open(name, "w", **made) as file:
            file.write(np.full((1, 4, 4), value, "u1"))
    before, array = xr.open_dataset(path, engine="geotiff"), scichunk.from_geotiff(path)
    assert (before.band_data == 7).all()
    item = '<MDI key="INTERNAL_MASK_FLAGS_1">2</MDI>'
    Path(path + ".msk.aux.xml").write_text(f"<PAMDataset><Metadata>{item}</Metadata></PAMDataset>")
    assert np.isnan(xr.open_dataset(path, engine="geotiff").band_data).all()
    assert scichunk.from_geotiff(path).name != array.name


# -- values of columns ------------------------------------------------------------------------------------------------------------


def columns(path, kind, *rows):
    """Write a VOTable of one column."""
    text = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
    data = f'<TABLE><FIELD name="a" {kind}/><DATA><TABLEDATA>{text}</TABLEDATA></DATA></TABLE>'
    path.write_text(f'<VOTABLE version="1.4"><RESOURCE>{data}</RESOURCE></VOTABLE>')
    return str(path)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ('datatype="int"', ("1", "", "3")),
        ('datatype="boolean"', ("T", "?", "F")),
        ('datatype="int" arraysize="2"', ("1 2", "3 4", "5 6")),
        ('datatype="int" arraysize="*"', ("1", "2 3", "4")),
        ('datatype="double" arraysize="*"', ("1", "2 3", "4")),
    ],
)
def test_values_of_columns_can_be_written_into(tmp_path, kind, rows):
    path = columns(tmp_path / "a.vot", kind, *rows)
    ds = xr.open_dataset(path, engine="votable", mask_and_scale=False)
    for values in (
        ds.a.values,
        ds.a[:1].values,
        scichunk.from_votable(path, "a").compute(),
        scichunk.reader(path, column="a")[:],
    ):
        cells = values if values.dtype.kind == "O" else [values]
        assert values.flags.writeable
        assert all(cell.flags.writeable for cell in cells)


@pytest.mark.parametrize(
    ("kind", "rows", "types"),
    [
        ('datatype="int" arraysize="*"', ("1 2", "3", "", "4 -9"), ["int32", "int32", "int32", "object"]),
        ('datatype="boolean" arraysize="*"', ("T F", "T", "", "F ?"), ["bool", "bool", "bool", "object"]),
    ],
)
def test_types_of_cells_do_not_depend_on_chunks(tmp_path, kind, rows, types):
    path = columns(tmp_path / "a.vot", kind, *rows)
    if "int" in kind:
        Path(path).write_text(
            Path(path).read_text().replace('arraysize="*"/>', 'arraysize="*"><VALUES null="-9"/></FIELD>')
        )
    for chunks in (1, 2, 4):
        found = scichunk.from_votable(path, "a", chunks=chunks).compute()
        assert [str(cell.dtype) for cell in found] == types
        assert found[3].tolist()[1] is None


def test_cells_of_lists_in_lists():
    rows, kind = [[[1, 2], [3]], [[4]], None, [[5, None]]], pa.list_(pa.list_(pa.int32()))
    found = to_numpy(pa.array(rows, kind), Column("a", kind, np.dtype(object), None))
    assert [row if row is None else [list(cell) for cell in row] for row in found] == rows


# -- keys -------------------------------------------------------------------------------------------------------------------------


def test_booleans_among_keys(tmp_path):
    path = tmp_path / "a.fits"
    values = np.arange(12.0).reshape(3, 4)
    fits.PrimaryHDU(values).writeto(path)
    reader = scichunk.reader(path)
    mask = np.array([True, False, True])
    assert (reader.points([mask, [1, 2]]) == values[mask, [1, 2]]).all()
    assert (reader.points([mask, slice(1, 3)]) == values[mask, 1:3]).all()
    assert (reader.points([mask.tolist(), 1]) == values[mask, 1]).all()
    with pytest.raises(IndexError, match="boolean index of shape"):
        reader.points([mask[:2], [1, 2]])
    with pytest.raises(IndexError, match="boolean index of shape"):
        reader.points([True, [1, 2]])
    with pytest.raises(IndexError, match="one ellipsis"):
        reader[..., ...]
    with pytest.raises(TypeError, match="not bool"):
        reader[True]


# -- small heads ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["scene_deflate.tif", "bgr.jp2", "catalogue.fits", "stars.vot", "stars_binary2.vot.gz"]
)
@pytest.mark.parametrize("size", [1, 30, 100])
def test_small_heads_hide_no_format(name, size):
    data = (DATA / name).read_bytes()
    want = repr(xr.open_dataset(DATA / name, engine="scichunk").to_dict())
    with scichunk.options.set(head_bytes=size):
        for target in (data, str(DATA / name), io.BytesIO(data)):
            scichunk.clear_caches()
            assert repr(xr.open_dataset(target, engine="scichunk").to_dict()) == want


def test_small_heads_hide_no_encoding(tmp_path):
    path = columns(tmp_path / "a.vot", 'datatype="int"', "1", "2")
    text = Path(path).read_text()
    with scichunk.options.set(head_bytes=1):
        assert scichunk.from_votable(text.encode("utf-16"), "a").compute().tolist() == [1, 2]
