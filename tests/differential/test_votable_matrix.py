"""VOTables beside astropy: every datatype in every serialization, and what write_votable makes of them."""

import io
import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io.votable import parse
from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile
from hypothesis import HealthCheck, given, settings

import scichunk
from scichunk.errors import FormatError, SourceError, UnsupportedFeature
from tests.differential.test_corpus import CORPUS, manifest

KINDS = {
    "boolean": "?", "unsignedByte": "u1", "short": "i2", "int": "i4", "long": "i8", "float": "f4", "double": "f8", "floatComplex": "c8", "doubleComplex": "c16",
}  # fmt: skip
SIZES = [None, "3", "2x3", "*", "2x*"]
SERIALIZATIONS = ["tabledata", "binary", "binary2"]


def numbers(kind, shape, rng):
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    values = (rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(
        f"f{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}"
    )
    return values if dtype.kind == "f" else (values + 1j * values[::-1]).astype(dtype)


def astropy_file(serialization, rows, nulls=True):
    """A document with all datatypes and shapes, written by astropy."""
    rng = np.random.default_rng(11)
    document = VOTableFile(version="1.4")
    resource = Resource()
    document.resources.append(resource)
    table = TableElement(document)
    resource.tables.append(table)
    columns = {}
    for datatype, kind in KINDS.items():
        for size in SIZES:
            if kind == "?" and size == "2x*":
                continue
            name = f"{datatype}_{size or 'scalar'}".replace("*", "v")
            more = {"arraysize": size} if size else {}
            table.fields.append(Field(document, name=name, ID=name, datatype=datatype, **more))
            fixed = tuple(int(n) for n in reversed(size.split("x")) if n != "*") if size else ()
            if size and size.endswith("*"):
                cells = np.empty(rows, object)
                for i in range(rows):
                    values = numbers(kind, (int(rng.integers(0, 4)), *fixed), rng)
                    cells[i] = np.ma.array(values, mask=np.zeros(values.shape, bool))
                columns[name] = cells
            else:
                columns[name] = numbers(kind, (rows, *fixed), rng)
    for datatype, size in (("char", "*"), ("char", "12"), ("unicodeChar", "*"), ("unicodeChar", "9")):
        name = f"{datatype}_{size}".replace("*", "v")
        table.fields.append(Field(document, name=name, ID=name, datatype=datatype, arraysize=size))
        words = ["", "a & b", "<tag>", "x" * 9, "M 31"] + (
            ["h\u00e9llo", "\u65e5\u672c"] if datatype == "unicodeChar" else []
        )
        columns[name] = np.array([words[i] for i in rng.integers(0, len(words), rows)], object)
    table.create_arrays(rows)
    for name, values in columns.items():
        table.array[name] = values
        if nulls and values.dtype.kind in "fbiu" and values.ndim == 1 and serialization != "binary":
            table.array.mask[name] = rng.random(rows) < 0.1
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document.to_xml(out, tabledata_format=serialization)
    return out.getvalue()


def reference(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse(io.BytesIO(data), verify="ignore").get_first_table().array


def compare(frame, array):
    for name in array.dtype.names:
        found, want = frame[name], array[name]
        mask, values = np.ma.getmaskarray(want), np.ma.getdata(want)
        if values.dtype.kind in "bif" and values.ndim == 1 and values.dtype.kind != "O":
            null = found.isna().to_numpy()
            if values.dtype.kind == "f":
                assert np.array_equal(
                    found.to_numpy(values.dtype, na_value=np.nan), np.where(mask, np.nan, values), equal_nan=True
                ), name
            else:
                assert np.array_equal(null, mask), name
                assert np.array_equal(found[~null].to_numpy(values.dtype), values[~mask]), name
            continue
        for a, b, m in zip(found.tolist(), values, mask, strict=True):
            if isinstance(b, str):
                assert (a or "") == b, name
            elif np.all(m) and np.size(m):
                assert pd.isna(np.array(a, object)).all() or np.isnan(_plain(a)).all(), name
            else:
                want_cell = np.ma.getdata(b)
                if name.startswith("float") and name.endswith("v"):  # astropy gives doubles from TABLEDATA
                    want_cell = want_cell.astype("c8" if "Complex" in name else "f4")
                got = _plain([] if a is None else a).reshape(np.shape(b))
                assert np.array_equal(got, want_cell, equal_nan=want_cell.dtype.kind in "fc"), (name, a, b)


def _plain(cell):
    """Python values as an array."""
    if isinstance(cell, dict):
        return np.array(complex(cell["real"], cell["imag"]))
    if isinstance(cell, list) and cell and isinstance(cell[0], list | dict):
        return np.array([_plain(c) for c in cell])
    return np.array(cell)


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_every_datatype_as_astropy_reads_it(serialization):
    data = astropy_file(serialization, 40)
    want = reference(data)
    frame = scichunk.read_votable(data).compute(scheduler="synchronous")
    compare(frame, want)
    parts = scichunk.read_votable(data, blocksize=2000)
    again = parts.compute(scheduler="synchronous")
    assert again.astype(str).reset_index(drop=True).equals(frame.astype(str))
    for name in ("double_2x3", "long_scalar", "floatComplex_3", "char_12"):
        array, values = scichunk.from_votable(data, name), np.ma.getdata(want[name])
        if name == "long_scalar":  # no value is declared for null
            values = np.ma.filled(want[name].astype("f8"), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(array.compute(scheduler="synchronous"), values, name)
            np.testing.assert_array_equal(array[7:9].compute(scheduler="synchronous"), values[7:9], name)


@pytest.mark.slow
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_a_hundred_thousand_rows(serialization, tmp_path):
    from benchmarks.votable_data import make

    for kind in ("mixed", "scalar"):
        path = make(tmp_path, kind, serialization.upper(), 100_000)
        compare(scichunk.read_votable(path, blocksize="3MB").compute(scheduler="threads"), reference(path.read_bytes()))


# ---- writing


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_round_trip_of_astropys_tables(serialization, tmp_path):
    data = astropy_file(serialization, 30)
    frame = scichunk.read_votable(data)
    ds = xr.open_dataset(data, engine="votable", mask_and_scale=False)
    for i, obj in enumerate((frame, frame.compute(scheduler="synchronous"))):
        path = tmp_path / f"{i}.vot"
        scichunk.write_votable(obj, path)
        compare(scichunk.read_votable(path).compute(scheduler="synchronous"), reference(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scichunk.write_votable(ds, tmp_path / "ds.vot")
        back = xr.open_dataset(tmp_path / "ds.vot", engine="votable", mask_and_scale=False)
        for name in ds.variables:
            assert str(ds[name].to_numpy().tolist()) == str(back[name].to_numpy().tolist()), name
            assert ds[name].attrs == back[name].attrs
    assert {k: v for k, v in ds.attrs.items() if k != "votable_header"} == {
        k: v for k, v in back.attrs.items() if k != "votable_header"
    }


def columns_of_frames():
    texts = st.text(
        st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=8
    )
    floats = st.floats(width=32)
    return st.sampled_from([
        (pa.bool_(), st.booleans()), (pa.uint8(), st.integers(0, 255)), (pa.int8(), st.integers(-128, 127)), (pa.int16(), st.integers(-(2**15), 2**15 - 1)), (pa.uint16(), st.integers(0, 2**16 - 1)),
        (pa.int32(), st.integers(-(2**31), 2**31 - 1)), (pa.uint32(), st.integers(0, 2**32 - 1)), (pa.int64(), st.integers(-(2**63), 2**63 - 1)), (pa.float32(), floats), (pa.float64(), st.floats()),
        (pa.string(), texts), (pa.struct([("real", pa.float64()), ("imag", pa.float64())]), st.fixed_dictionaries({"real": floats, "imag": floats})),
        (pa.list_(pa.int16()), st.lists(st.integers(-99, 99), max_size=4)), (pa.list_(pa.float64(), 2), st.lists(st.floats(), min_size=2, max_size=2)), (pa.list_(pa.bool_(), 3), st.lists(st.booleans(), min_size=3, max_size=3)),
        (pa.list_(pa.list_(pa.float32(), 2)), st.lists(st.lists(floats, min_size=2, max_size=2), max_size=3)),
    ])  # fmt: skip


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 6))
    chosen = draw(st.lists(columns_of_frames(), min_size=1, max_size=5))
    arrays = [
        pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind) for kind, values in chosen
    ]
    return pa.table(arrays, names=[f"c{i}" for i in range(len(arrays))])


def _same(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return all(_same(a[k], b[k]) for k in a)
    return a == b or (a != a and b != b)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables())
def test_round_trip_of_any_table(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("w") / "t.vot"
    scichunk.write_votable(table, path)
    found = scichunk.read_votable(path)
    source = found._meta  # types before any row
    batch = pa.Table.from_pandas(found.compute(scheduler="synchronous"), preserve_index=False)
    assert list(source.columns) == table.column_names
    for name in table.column_names:
        want, got = table[name].to_pylist(), batch[name].to_pylist()
        assert all(map(_same, want, got)), (table[name], got)
    reference(path.read_bytes())  # astropy opens it


def test_what_cannot_be_written(tmp_path):
    for values, error in (
        (pa.array([2**64 - 1], pa.uint64()), FormatError),
        (pa.array([[[1]]], pa.list_(pa.list_(pa.int8()))), UnsupportedFeature),
        (pa.array([{"a": 1}]), UnsupportedFeature),
    ):
        with pytest.raises(error):
            scichunk.write_votable(pa.table({"a": values}), tmp_path / "x.vot")
        assert list(tmp_path.iterdir()) == []
    scichunk.write_votable(pd.DataFrame({"a": [1]}), tmp_path / "x.vot")
    with pytest.raises(SourceError, match="exists"):
        scichunk.write_votable(pd.DataFrame({"a": [1]}), tmp_path / "x.vot")
    scichunk.write_votable(pd.DataFrame({"a": [2]}), tmp_path / "x.vot", overwrite=True)
    assert scichunk.read_votable(tmp_path / "x.vot").compute().a.tolist() == [2]


def test_headers_survive(tmp_path):
    from tests.formats.test_votable import DATALINK

    ds = xr.open_dataset(DATALINK.encode(), engine="votable", mask_and_scale=False)
    ds["more"] = ("row", np.array(["x", "h\u00e9"], object), {"description": "a <new> one", "ucd": "meta.note"})
    ds.attrs["answer"] = 42
    scichunk.write_votable(ds.drop_vars("v"), tmp_path / "t.vot")
    text = (tmp_path / "t.vot").read_text()
    for kept in (
        '<COOSYS ID="sys" system="ICRS" epoch="J2016"/>',
        '<TIMESYS ID="t"',
        '<GROUP name="pos">',
        '<INFO name="QUERY_STATUS" value="OVERFLOW"/>',
        '<LINK href="http://example.org/ra"/>',
        '<TABLE name="other">',
        'precision="F6" width="12"',
    ):
        assert kept in text
    assert 'name="v"' not in text
    assert "TABLEDATA" not in text
    back = xr.open_dataset(tmp_path / "t.vot", engine="votable", mask_and_scale=False)
    assert back.attrs["answer"] == 42
    assert back.more.attrs == {"description": "a <new> one", "ucd": "meta.note"}
    assert back.more.to_numpy().tolist() == ["x", "hé"]
    assert back.n.to_numpy().tolist() == [-1, 2]
    old = (
        DATALINK.replace('version="1.4"', 'version="1.1"')
        .replace("VOTable/v1.3", "VOTable/v1.1")
        .replace("?>\n", '?>\n<!DOCTYPE VOTABLE SYSTEM "x.dtd">\n', 1)
    )
    ds = xr.open_dataset(old.encode(), engine="votable", mask_and_scale=False)
    scichunk.write_votable(ds, tmp_path / "old.vot")
    text = (tmp_path / "old.vot").read_text()
    assert 'version="1.4"' in text
    assert "DOCTYPE" not in text
    assert len(reference((tmp_path / "old.vot").read_bytes())) == 2


def test_writing_goes_row_group_by_row_group(tmp_path):
    import dask.dataframe as dd

    df = dd.from_pandas(pd.DataFrame({"a": np.arange(300_000), "s": [f"n{i}" for i in range(300_000)]}), npartitions=7)
    scichunk.write_votable(df, tmp_path / "t.vot")
    found = scichunk.read_votable(tmp_path / "t.vot", blocksize="1MB").compute(scheduler="threads")
    assert found.a.tolist() == list(range(300_000))
    assert found.s.iloc[-1] == "n299999"


# ---- real files


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not manifest("votable"), reason="no corpus")
def test_real_files_have_astropys_rows_and_names(tmp_path):
    """As many rows and columns as astropy finds, in frames, in small partitions, and written again."""
    wrong, compared = [], 0
    for name in manifest("votable"):
        data = (CORPUS / name).read_bytes()
        try:
            want = reference(data)
        except Exception:
            want = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                frame = scichunk.read_votable(data).compute(scheduler="synchronous")
                parts = scichunk.read_votable(data, blocksize=2000).compute(scheduler="synchronous")
                scichunk.write_votable(frame, tmp_path / "t.vot", overwrite=True)
            except scichunk.errors.ScichunkError as error:
                if want is not None:
                    wrong.append(f"{name}: {error}")
                continue
            again = scichunk.read_votable(tmp_path / "t.vot").compute(scheduler="synchronous")
        if want is not None and want.dtype.names and frame.shape != (len(want), len(want.dtype.names)):
            wrong.append(f"{name}: {frame.shape}")
        if parts.astype(str).to_numpy().tolist() != frame.astype(str).to_numpy().tolist():
            wrong.append(f"{name}: partitions differ")
        if again.shape != frame.shape or list(again.columns) != list(frame.columns):
            wrong.append(f"{name}: written as {again.shape}")
        compared += 1
    assert compared > 60
    assert not wrong, "\n".join(wrong)
