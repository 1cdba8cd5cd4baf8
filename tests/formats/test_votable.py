"""VOTables as a user meets them: frames, arrays, datasets, trees, errors, damage, threads, requests."""

import concurrent.futures
import io
import os
import pickle
import warnings

import dask
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io.votable import parse

import scichunk
from scichunk.errors import (
    DataWarning,
    FormatError,
    LimitExceeded,
    MissingFile,
    ScichunkError,
    SourceError,
    UnsupportedFeature,
)
from scichunk.testing import RangeServer, mutations
from tests.votable_docs import REFUSED, ROW, SAME, binary, doc, one

VALUES_NULL = '<VALUES null="-9"/>'


def raw(document):
    return document if isinstance(document, bytes) else document.encode()


def frame(document, **more):
    with dask.config.set(scheduler="synchronous"):
        return scichunk.read_votable(raw(document), **more).compute()


def cells(document, **more):
    return frame(document, **more).iloc[:, 0].tolist()


def astropy_table(document):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse(io.BytesIO(raw(document)), verify="ignore").get_first_table().array


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


# ---- documents


@pytest.mark.parametrize("name", SAME)
def test_odd_documents_read_as_astropy_reads_them(name):
    found, want = frame(SAME[name]), astropy_table(SAME[name])
    assert [tuple(map(str, row)) for row in found.itertuples(index=False)] == [tuple(map(str, row)) for row in want]


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_documents_are_refused(name):
    document, word = REFUSED[name]
    with pytest.raises(ScichunkError, match=word):
        quiet(lambda: frame(document))


def test_a_malformed_value_is_named_with_row_and_byte():
    text = doc(ROW * 70_000 + "<TR><TD>oops</TD><TD>x</TD></TR>" + ROW)
    place = text.index("oops")
    with pytest.raises(FormatError, match=rf"'oops' is no int.*row 70000, byte {place}, column 'a'"):
        frame(text)
    found = quiet(lambda: frame(text, on_error="null"))
    assert len(found) == 70_002
    assert found.a.isna().sum() == 1
    # the same in a later partition, which counts what is before it
    with pytest.raises(FormatError, match=rf"row 70000, byte {place}"):
        frame(text, blocksize=1 << 18)


def test_truncated_documents_keep_their_whole_rows_on_demand():
    text = doc(ROW * 5)
    for cut, rows in ((text.index("</TABLEDATA>"), 5), (text.index("</TABLEDATA>") - 8, 4)):
        assert len(quiet(lambda c=cut: frame(text[:c], on_error="null"))) == rows
    stream = binary(np.arange(30, dtype=">i4").tobytes())
    cut = stream.index("</STREAM>") - 6
    found = quiet(lambda: cells(stream[:cut], on_error="null"))
    assert found == list(range(len(found)))
    assert 25 <= len(found) < 30
    with pytest.raises(FormatError, match="truncated"):
        frame(stream[:cut])


def test_rows_with_other_numbers_of_cells_on_demand():
    text = doc("<TR><TD>1</TD></TR><TR/><TR><TD>1</TD><TD>x</TD><TD>y</TD></TR>")
    with pytest.warns(DataWarning, match="another number of cells"):
        found = frame(text, on_error="null")
    assert found.s.tolist() == ["", "", "x"]


def test_bad_bytes_are_replaced_on_demand():
    text = doc("<TR><TD>1</TD><TD>aXb</TD></TR>").encode().replace(b"X", b"\xff")
    assert quiet(lambda: frame(text, on_error="null")).s.tolist() == ["a\ufffdb"]


def test_base64_and_gzip_bombs_are_capped():
    import gzip

    bomb = gzip.compress(doc(ROW + " " * 3_000_000).encode())
    with scichunk.options.set(max_expanded_bytes=1 << 20), pytest.raises(LimitExceeded):
        frame(bomb)
    rows = "<TR>" + "<TD>" + "x" * 4_000_000 + "</TD></TR>"
    with scichunk.options.set(max_chunk_bytes=1 << 20), pytest.raises(LimitExceeded):
        frame(doc(rows, '<FIELD name="s" datatype="char" arraysize="*"/>'))
    many = doc("", "<FIELD name='a' datatype='int'/>" * 2000)
    with scichunk.options.set(max_elements=1000), pytest.raises(LimitExceeded, match="max_elements"):
        frame(many)


# ---- values


def test_integers():
    text = one(
        "int",
        "1",
        "-9",
        "",
        "+7",
        "0x10",
        "2147483647",
        "2147483648",
        "-99999999999999999999",
        "NaN",
        " 5 ",
        extra=VALUES_NULL,
    )
    with pytest.warns(DataWarning, match="integers beyond their type"):
        found = frame(text).a
    assert found.dropna().tolist() == [1, 7, 16, 2147483647, 5]
    assert found.isna().tolist() == [False, True, True, False, False, False, True, True, True, False]
    assert frame(one("long", "9223372036854775807", "-9223372036854775808", "4418124178542129792")).a.tolist() == [
        2**63 - 1,
        -(2**63),
        4418124178542129792,
    ]


def test_floats_are_those_of_python():
    texts = [
        "1.7976931348623157e308",
        "5e-324",
        "0.1",
        "123456789012345678901234567890",
        "1e23",
        "9007199254740993",
        "-0",
        ".5",
        "5.",
        "+Inf",
        "-inf",
        "1E5",
        "Infinity",
    ]
    assert np.array_equal(cells(one("double", *texts)), [float(t) for t in texts])
    with pytest.warns(DataWarning, match="no number"):
        found = frame(one("float", "null", "--", "1_0", "1d5", "", "NaN", "1.1"))
    assert found.a.isna().tolist()[:5] == [True] * 5
    assert found.a.iloc[6] == np.float32(1.1)
    assert frame(one("double", "-9", "1", extra=VALUES_NULL)).a.isna().tolist() == [True, False]


def test_booleans_bits_complex():
    found = frame(one("boolean", "T", "F", "t", "f", "1", "0", "true", "FALSE", "?", "", " ")).a
    assert found.dropna().tolist() == [True, False] * 4
    assert found.isna().sum() == 3
    assert [list(v) for v in cells(one("bit", "101", "1 0 1", arraysize="3"))] == [[True, False, True]] * 2
    assert cells(one("doubleComplex", "1 -2")) == [{"real": 1.0, "imag": -2.0}]


def test_arrays():
    assert frame(one("short", "1 2 3 4 5 6", arraysize="3x2")).a.tolist()[0] == [[1, 2, 3], [4, 5, 6]]
    assert [None if v is None else list(v) for v in cells(one("double", "1 2", "", "3", arraysize="*"))] == [
        [1, 2],
        [],
        [3],
    ]
    assert cells(one("int", "1 2 3 4", arraysize="2x*"))[0] == [[1, 2], [3, 4]]
    assert [list(v) for v in cells(one("char", "ab cd ef", arraysize="3x*"))] == [["ab", "cd", "ef"]]
    assert [list(v) for v in cells(one("char", "alphabeta ", arraysize="5x2"))] == [["alpha", "beta"]]
    with pytest.warns(DataWarning, match="commas"):
        assert [list(v) for v in cells(one("int", "1,2, 3", arraysize="3"))] == [[1, 2, 3]]
    with pytest.warns(DataWarning, match="another length"):
        assert [list(v) for v in cells(one("float", "1 2", "1 2 3 4", arraysize="3"))] == [[1, 2, None], [1, 2, 3]]


def test_texts_are_kept_and_said():
    with pytest.warns(DataWarning, match="longer than declared"):
        assert cells(one("char", "0123456789", " a ", arraysize="4")) == ["0123456789", " a "]
    found = quiet(lambda: frame(one("char", "0123456789", " a ", arraysize="4"), astropy_compat=True))
    assert found.a.tolist() == ["0123", "a"]


def test_astropy_compat_gives_its_values():
    text = one("int", "", "99999999999", version="1.1")
    want = np.ma.getdata(astropy_table(text)["a"]).tolist()
    found = quiet(lambda: frame(text, astropy_compat=True))
    assert found.a.tolist() == want == [0, 2147483647]
    assert quiet(lambda: frame(text)).a.isna().all()


def test_what_was_met_while_reading_is_in_the_info_and_changes_no_attributes():
    text = one("char", "0123456789", "x", "01234", arraysize="4")
    ds = xr.open_dataset(raw(text), engine="votable")
    assert "met while reading" not in scichunk.info(raw(text)).arrays[0].notes
    quiet(ds.load)
    met = {"long text: a": f"2, first: row 0, byte {text.index('0123456789')}"}
    assert scichunk.info(raw(text)).arrays[0].notes["met while reading"] == met
    xr.testing.assert_identical(xr.open_dataset(raw(text), engine="votable"), ds)


def test_what_the_header_has_otherwise_is_in_the_attributes():
    ds = xr.open_dataset(raw(one("int32", "1")), engine="votable")
    assert ds.attrs["votable_warnings"] == ["a: datatype 'int32' read as 'int'"]


def test_nulls_without_a_value_in_arrays():
    text = one("short", "1", "", "3")
    with pytest.warns(DataWarning, match="declares no value for them: they become NaN"):
        found = scichunk.from_votable(raw(text), "a")
    np.testing.assert_array_equal(found, [1, np.nan, 3])


# ---- binary


def test_fixed_rows_and_flags():
    row = np.dtype([("m", "u1"), ("a", ">i4"), ("b", ">f8"), ("c", "S4")])
    values = np.zeros(3, row)
    values["a"], values["b"], values["c"], values["m"] = (
        [1, 2, 3],
        [0.5, np.nan, 1.5],
        ["ab", "abcd", ""],
        [0, 0x80, 0x20],
    )
    fields = '<FIELD name="a" datatype="int"/><FIELD name="b" datatype="double"/><FIELD name="c" datatype="char" arraysize="4"/>'
    found = frame(binary(values.tobytes(), fields, "BINARY2"))
    assert found.a.isna().tolist() == [False, True, False]
    assert found.c.isna().tolist() == [False, False, True]
    assert found.c.tolist()[:2] == ["ab", "abcd"]


def test_texts_in_binary_are_utf8_or_latin1():
    values = np.array([b"ab", "h\u00e9".encode(), b"h\xe9", b""], "S4")
    with pytest.warns(DataWarning, match="Latin-1"):
        found = cells(binary(values.tobytes(), '<FIELD name="c" datatype="char" arraysize="4"/>'))
    assert found == ["ab", "hé", "hé", ""]


def test_bits_unicode_and_variable_fields():
    def text(s):
        return len(s).to_bytes(4, "big") + s.encode("utf-16-be")

    fields = '<FIELD name="u" datatype="unicodeChar" arraysize="*"/><FIELD name="b" datatype="bit" arraysize="*"/><FIELD name="n" datatype="int" arraysize="2x*"/>'
    rows = b"".join(
        text(s) + len(b).to_bytes(4, "big") + np.packbits(np.array(b, bool)).tobytes() + len(n).to_bytes(4, "big") + np.array(n, ">i4").tobytes()
        for s, b, n in (("h\u00e9", [1, 0, 1, 1, 0, 0, 0, 1, 1], [[1, 2]]), ("", [], []), ("x", [1], [[3, 4], [5, 6]]))
    )  # fmt: skip
    found = frame(binary(rows, fields))
    assert found.u.tolist() == ["hé", "", "x"]
    assert [list(v) for v in found.b] == [[True, False, True, True, False, False, False, True, True], [], [True]]
    assert found.n.tolist() == [[[1, 2]], [], [[3, 4], [5, 6]]]


@pytest.mark.parametrize("line", [64, 76, 63, 1000])
def test_any_rows_of_base64_without_the_rest(tmp_path, line):
    import base64

    values = np.arange(400_000, dtype=">i8")
    text = base64.b64encode(values.tobytes()).decode()
    lines = "\n".join(text[i : i + line] for i in range(0, len(text), line))
    path = tmp_path / "t.vot"
    path.write_text(binary(b"", '<FIELD name="a" datatype="long"/>', text=f"\n{lines}\n"))
    lazy = scichunk.from_votable(path, "a", chunks="native")
    for start, stop in ((0, 1), (123_456, 123_556), (399_998, 400_000), (5, 399_000)):
        assert np.array_equal(lazy[start:stop].compute(scheduler="synchronous"), np.arange(start, stop))
    # a line that breaks the rule, far inside, shifts nothing
    at = len(lines) // 2
    path.write_text(binary(b"", '<FIELD name="a" datatype="long"/>', text=f"\n{lines[:at]} \n{lines[at:]}\n"))
    lazy = scichunk.from_votable(path, "a", chunks="native")
    assert np.array_equal(lazy.compute(scheduler="synchronous"), np.arange(400_000))


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 22])
@pytest.mark.parametrize(
    "text",
    ["====", "=" * 4000, "==", "AQID====", "AQI==", "AQ===", "AQID==", "AQID\n====", "AQID\nAQ==\n====\n", "AQID\n\nAQI=\n=="],
)  # fmt: skip
def test_padding_that_is_more_than_base64_needs_holds_no_bytes(text, kernel_bytes):
    """As in astropy, which hands the text to Python's decoder."""
    document = binary(b"", '<FIELD name="a" datatype="unsignedByte"/>', text=text).encode()
    want = parse(io.BytesIO(document)).get_first_table().array["a"].tolist()
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        scichunk.clear_caches()
        assert scichunk.read_votable(document).compute()["a"].tolist() == want
        assert xr.open_dataset(document, engine="votable")["a"].values.tolist() == want


def test_markup_far_inside_a_stream(tmp_path):
    import base64

    text = base64.b64encode(np.arange(10_000, dtype=">i8").tobytes()).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    at = len(lines) // 2
    for odd in ("<!-- here -->", "<?pi?>", "]]><![CDATA["):
        start = "<![CDATA[" if "]]>" in odd else ""
        found = binary(
            b"",
            '<FIELD name="a" datatype="long"/>',
            text=f"{start}\n{lines[:at]}{odd}{lines[at:]}\n{']]>' if start else ''}",
        )
        assert cells(found) == list(range(10_000))
    with pytest.raises(FormatError):
        cells(binary(b"", '<FIELD name="a" datatype="long"/>', text=f"\n{lines[:at]}<b/>{lines[at:]}\n"))


def test_the_declared_number_of_rows_is_checked():
    text = binary(np.arange(4, dtype=">i4").tobytes()).replace("<TABLE>", '<TABLE nrows="5">')
    with pytest.warns(DataWarning, match="number of rows"):
        assert len(frame(text)) == 4


# ---- large documents


def large(tmp_path, rows=60_000, tables=1):
    text = "".join(
        f"<TR><TD>{i}</TD><TD>object {i} with a name of some length</TD><TD>{i / 7!r}</TD></TR>\n" for i in range(rows)
    )
    fields = '<FIELD name="a" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/><FIELD name="x" datatype="double"/>'
    one_table = f'<TABLE name="{{}}">{fields}<DATA><TABLEDATA>\n{text}</TABLEDATA></DATA></TABLE>'
    path = tmp_path / f"large{tables}.vot"
    path.write_text(
        '<VOTABLE version="1.4"><RESOURCE>'
        + "".join(one_table.format(f"t{i}") for i in range(tables))
        + '</RESOURCE><INFO name="end" value="OVERFLOW"/></VOTABLE>'
    )
    return path


def test_partitions_hold_every_row_once(tmp_path):
    path = large(tmp_path)
    for size in ("100kB", "1MB", "64MiB"):
        df = scichunk.read_votable(path, blocksize=size)
        assert df.npartitions == -(-path.stat().st_size // dask.utils.parse_bytes(size))
        found = df.compute(scheduler="threads")
        assert found.a.tolist() == list(range(60_000))
    only = scichunk.read_votable(path, blocksize="1MB")[["x"]].compute(scheduler="threads")
    assert np.array_equal(only.x, np.arange(60_000) / 7)


def test_rows_by_number_and_trailing_information(tmp_path):
    path = large(tmp_path)
    ds = xr.open_dataset(path, engine="votable", chunks={})
    assert ds.sizes["row"] == 60_000
    assert ds.attrs["end"] == "OVERFLOW"
    assert ds.x[31_234:31_300].values.tolist() == (np.arange(31_234, 31_300) / 7).tolist()
    assert ds.s[59_999].values == "object 59999 with a name of some length"
    assert ds.a[::7001].values.tolist() == list(range(0, 60_000, 7001))
    assert xr.open_dataset(path, engine="votable").a[[5, 50_000, 7]].values.tolist() == [5, 50_000, 7]


def test_several_large_tables_are_not_taken_for_one(tmp_path):
    path = large(tmp_path, 40_000, tables=3)
    df = scichunk.read_votable(path, blocksize="300kB")
    assert len(df.compute(scheduler="threads")) == 40_000
    last = scichunk.read_votable(path, table="t2", blocksize="1MB").compute(scheduler="synchronous")
    assert last.a.tolist() == list(range(40_000))
    # a partition of a file that another process knows nothing of
    from scichunk.core.cache import files

    df = scichunk.read_votable(path, blocksize="300kB")
    files.clear()
    later = df.partitions[df.npartitions - 1].compute(scheduler="synchronous")
    assert len(later) == 0 or later.a.iloc[-1] == 39_999
    tree = xr.open_datatree(path, engine="votable")
    assert list(tree.children) == ["t0", "t1", "t2"]
    assert tree["t1"].sizes["row"] == 40_000


def test_readers_travel_light(tmp_path):
    path = large(tmp_path, 2000)
    df = scichunk.read_votable(path)
    with dask.config.set(scheduler="processes", num_workers=1):
        assert len(df) == 2000
    assert len(pickle.dumps(scichunk.from_votable(path, "a").__dask_graph__())) < 20_000
    assert scichunk.read_votable(path)._name == df._name


def test_threads_read_what_one_reads(tmp_path):
    path = large(tmp_path, 20_000)
    df = scichunk.read_votable(path, blocksize="200kB")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: df.a.sum().compute(scheduler="threads", num_workers=4), range(8)))
    assert set(found) == {sum(range(20_000))}


def test_a_file_that_changes_is_an_error(tmp_path):
    path = large(tmp_path, 2000)
    df = scichunk.read_votable(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed"):
        df.compute(scheduler="synchronous")


# ---- requests


def test_remote_requests(tmp_path):
    text = large(tmp_path, 90_000).read_bytes()
    several = large(tmp_path, 40_000, tables=2).read_bytes()
    with RangeServer({"t.vot": text, "u.vot": several, "small.vot": SAME["plain"].encode()}) as server:
        df = scichunk.read_votable(server.url("t.vot"), blocksize="2MB")
        assert server.requests == 2  # head and tail
        assert df.divisions[0] is None  # nothing was counted
        assert server.bytes_sent < 200_000
        assert df.a.sum().compute(scheduler="threads") == sum(range(90_000))
        server.reset()
        assert len(scichunk.read_votable(server.url("small.vot"))) == 3
        assert server.requests == 1
        # all columns of a dataset from one fetch
        server.reset()
        ds = xr.open_dataset(server.url("t.vot"), engine="votable").load()
        assert ds.sizes["row"] == 90_000
        assert server.requests <= 3  # head and tail again, everything
        # that there is a second table is found where the first ends, and said
        df = scichunk.read_votable(server.url("u.vot"), blocksize="1MB")
        with pytest.raises(FormatError, match="open it again"):
            df.compute(scheduler="synchronous")
        assert len(scichunk.read_votable(server.url("u.vot"), blocksize="1MB")) == 40_000


# ---- references to other files


def reference(href, kind="BINARY", encoding="", fields='<FIELD name="a" datatype="int"/>'):
    return doc(fields=fields, body=f'<{kind}><STREAM href="{href}"{encoding}/></{kind}>')


def test_streams_beside_the_document(tmp_path):
    import base64
    import gzip

    data = np.arange(5, dtype=">i4").tobytes()
    (tmp_path / "d.bin").write_bytes(data)
    (tmp_path / "d.b64").write_bytes(base64.encodebytes(data))
    (tmp_path / "d.gz").write_bytes(gzip.compress(data))
    for href, encoding in (
        ("d.bin", ""),
        ("./d.bin", ""),
        ("d.b64", ' encoding="base64"'),
        ("d.gz", ' encoding="gzip"'),
        (f"file://{tmp_path}/d.bin", ""),
    ):
        path = tmp_path / "t.vot"
        path.write_text(reference(href, encoding=encoding))
        os.utime(path, ns=(0, hash((href, encoding)) % 10**15))
        assert scichunk.read_votable(path).compute(scheduler="synchronous").a.tolist() == list(range(5))
    # relative to a URL
    with RangeServer(
        {"x/t.vot": reference("d.bin").encode(), "x/d.bin": data, "y.vot": reference("x/../../d.bin").encode()}
    ) as server:
        assert len(scichunk.read_votable(server.url("x/t.vot"))) == 5


@pytest.mark.parametrize(
    "href",
    [
        "/etc/hostname",
        "../secret",
        "a/../../secret",
        "file:///etc/hostname",
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest",
        "s3://b/x",
        "link",
    ],
)
def test_streams_elsewhere_are_refused(tmp_path, href):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 8)
    os.symlink(tmp_path / "secret", folder / "link")
    path = folder / "t.vot"
    path.write_text(reference(href))
    with pytest.raises(UnsupportedFeature, match="follow_hrefs"):
        scichunk.read_votable(path)
    with pytest.raises(UnsupportedFeature, match="follow_hrefs"):
        scichunk.read_votable(raw(reference("file:///etc/hostname")))
    with RangeServer(
        {"t.vot": reference("file:///etc/hostname").encode(), "u.vot": reference("http://127.0.0.1:1/x").encode()}
    ) as server:
        for name in ("t.vot", "u.vot"):
            with pytest.raises(UnsupportedFeature, match="follow_hrefs"):
                scichunk.read_votable(server.url(name))


def test_streams_elsewhere_are_followed_on_demand(tmp_path):
    (tmp_path / "secret").write_bytes(np.arange(2, dtype=">i4").tobytes())
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "t.vot"
    path.write_text(reference("../secret"))
    with scichunk.options.set(follow_hrefs=True):
        assert len(scichunk.read_votable(path)) == 2
    path.write_text(reference("gone"))
    with pytest.raises(MissingFile):
        scichunk.read_votable(path)


def test_rows_in_fits_and_parquet_files(tmp_path):
    import base64

    import pyarrow.parquet as pq
    from astropy.table import Table

    fields = '<FIELD name="A" datatype="long" unit="m"/><FIELD name="B" datatype="double"/><FIELD name="S" datatype="char" arraysize="*"/>'
    Table({"a": np.arange(5), "b": np.linspace(0, 1, 5), "s": ["x", "yy", "z", "", "q"]}).write(tmp_path / "x.fits")
    pq.write_table(
        pa.table({"a": [0, 1, None, 3, 4], "b": np.linspace(0, 1, 5), "s": ["x", "yy", "z", "", "q"]}),
        tmp_path / "x.parquet",
        row_group_size=2,
    )
    inline = base64.encodebytes((tmp_path / "x.fits").read_bytes()).decode()
    for i, body in enumerate((
        '<FITS extnum="1"><STREAM href="x.fits"/></FITS>', f'<FITS><STREAM encoding="base64">{inline}</STREAM></FITS>',
        '<PARQUET type="VOTable-remote-file"><STREAM href="x.parquet"/></PARQUET>',
    )):  # fmt: skip
        path = tmp_path / f"{i}.vot"
        path.write_text(doc(fields=fields, body=body))
        found = scichunk.read_votable(path, blocksize=20).compute(scheduler="synchronous")
        assert found.B.tolist() == np.linspace(0, 1, 5).tolist()
        assert found.S.tolist() == ["x", "yy", "z", "", "q"]
        assert found.A.isna().sum() == (i == 2)
        ds = xr.open_dataset(path, engine="votable")
        assert ds.A.attrs["units"] == "m"
        assert quiet(lambda d=ds: d.A.values.tolist())[3:] == [3, 4]
        assert scichunk.from_votable(path, "B")[1:3].compute(scheduler="synchronous").tolist() == [0.25, 0.5]


# ---- xarray, trees, information


DATALINK = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<DESCRIPTION>all of it</DESCRIPTION><COOSYS ID="sys" system="ICRS" epoch="J2016"/>
<RESOURCE type="results"><TIMESYS ID="t" timeorigin="0" timescale="TCB" refposition="BARYCENTER"/>
<INFO name="QUERY" value="SELECT 1"/><PARAM name="radius" datatype="double" unit="deg" value="0.5"/>
<TABLE name="stars" ID="T1" ucd="meta"><DESCRIPTION>the stars</DESCRIPTION>
<FIELD ID="col1" name="ra" datatype="double" unit="deg" ucd="pos.eq.ra" utype="x:y" ref="sys" precision="F6" width="12"><DESCRIPTION>Right   ascension</DESCRIPTION>
<VALUES><MIN value="0"/><MAX value="360"/></VALUES><LINK href="http://example.org/ra"/></FIELD>
<FIELD name="n" datatype="int"><VALUES null="-1"><OPTION value="1" name="one"/><OPTION value="2"/></VALUES></FIELD>
<FIELD name="v" datatype="float" arraysize="2x3"/>
<GROUP name="pos"><FIELDref ref="col1"/><PARAM name="eq" datatype="int" value="2000"/></GROUP>
<DATA><TABLEDATA><TR><TD>1.5</TD><TD>-1</TD><TD>1 2 3 4 5 6</TD></TR><TR><TD>2.5</TD><TD>2</TD><TD>6 5 4 3 2 1</TD></TR></TABLEDATA></DATA>
<INFO name="QUERY_STATUS" value="OVERFLOW"/></TABLE></RESOURCE>
<RESOURCE type="meta"><TABLE name="other"><FIELD name="k" datatype="char" arraysize="*"/><DATA><TABLEDATA><TR><TD>z</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE>
</VOTABLE>"""


def test_metadata():
    ds = xr.open_dataset(raw(DATALINK), engine="votable", mask_and_scale=False)
    assert ds.ra.attrs == {
        "units": "deg", "description": "Right ascension", "ucd": "pos.eq.ra", "utype": "x:y", "ref": "sys", "id": "col1", "minimum": "0", "maximum": "360",
        "links": ["http://example.org/ra"],
    }  # fmt: skip
    assert ds.n.attrs["_FillValue"] == -1
    assert ds.n.attrs["options"] == ["1=one", "2"]
    assert ds.n.dtype == np.int32
    assert ds.v.shape == (2, 3, 2)
    assert ds.v.dims == ("row", "v_1", "v_2")
    said = {
        k: ds.attrs[k]
        for k in (
            "name",
            "ID",
            "ucd",
            "description",
            "radius",
            "radius_units",
            "QUERY",
            "QUERY_STATUS",
            "group_pos",
            "coosys_sys",
            "votable_version",
        )
    }
    assert said == {
        "name": "stars", "ID": "T1", "ucd": "meta", "description": "the stars", "radius": 0.5, "radius_units": "deg", "QUERY": "SELECT 1",
        "QUERY_STATUS": "OVERFLOW", "group_pos": "col1 eq=2000", "coosys_sys": "system=ICRS epoch=J2016", "votable_version": "1.4",
    }  # fmt: skip
    assert "TIMESYS" in ds.attrs["votable_header"]
    assert ds.n.encoding["reader"] == "indexed"
    assert np.isnan(xr.open_dataset(raw(DATALINK), engine="votable").n.values[0])
    assert xr.open_dataset(raw(DATALINK), engine="votable", table="other").k.values.tolist() == ["z"]
    assert xr.open_dataset(raw(DATALINK), engine="votable", group="other").sizes["row"] == 1


def test_trees_and_information():
    tree = scichunk.open(raw(DATALINK))
    assert list(tree.children) == ["stars", "other"]
    assert tree.attrs["description"] == "all of it"
    info = scichunk.info(raw(DATALINK))
    assert [(a.group, a.shape, a.codec) for a in info.arrays] == [
        ("/stars", (2,), "TABLEDATA"),
        ("/other", (1,), "TABLEDATA"),
    ]
    assert "double [deg]" in str(info)
    with pytest.raises(FormatError, match="there is no table 'nope'"):
        scichunk.read_votable(raw(DATALINK), table="nope")
    with pytest.raises(FormatError, match="there is no column"):
        scichunk.from_votable(raw(DATALINK), "nope")
    with pytest.raises(FormatError, match="there are no columns"):
        scichunk.read_votable(raw(DATALINK), columns=["nope"])
    with pytest.raises(ValueError, match="on_error"):
        scichunk.read_votable(raw(DATALINK), on_error="ignore")
    no_tables = '<VOTABLE version="1.4"><INFO name="QUERY_STATUS" value="OK">none</INFO></VOTABLE>'
    assert xr.open_dataset(raw(no_tables), engine="votable").attrs["QUERY_STATUS_text"] == "none"
    with pytest.raises(FormatError, match="no table"):
        scichunk.read_votable(raw(no_tables))


@pytest.mark.parametrize("start", ["", "<?xml version='1.0'?>\n<!-- c --><!DOCTYPE VOTABLE SYSTEM 'x'>", "\ufeff"])
def test_engines_are_found_by_content(tmp_path, start):
    import gzip

    for name, data in (
        ("a.dat", raw(start + doc(ROW, declaration=""))),
        ("b.gz", gzip.compress(raw(start + doc(ROW, declaration="")))),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert xr.open_dataset(path).a.values.tolist() == [1]
    (tmp_path / "c.xml").write_text("<html/>")
    with pytest.raises(FormatError):
        xr.open_dataset(tmp_path / "c.xml", engine="scichunk")


def test_units_for_astropy():
    table = scichunk.to_qtable(xr.open_dataset(raw(DATALINK), engine="votable", mask_and_scale=False))
    assert table["ra"].to("rad").value[0] == np.deg2rad(1.5)
    frame_ = scichunk.read_votable(raw(DATALINK)).compute()
    assert str(scichunk.to_qtable(frame_)["ra"].unit) == "deg"


def test_the_header_as_astropy_has_it():
    header = scichunk.votable_header(raw(DATALINK))
    field = header.get_field_by_id_or_name("col1")
    assert str(field.unit) == "deg"
    assert [t.name for t in header.iter_tables()] == ["stars", "other"]
    assert len(header.get_first_table().array) == 0
    assert scichunk.votable_header(SAME["UTF-16"]).get_first_table().fields[0].name == "a"
    with pytest.raises(FormatError, match="astropy cannot read"):
        scichunk.votable_header(raw(one("char", "x", arraysize="2x2")))
    with pytest.raises(FormatError, match="entit"):
        scichunk.votable_header(raw(REFUSED["external entity"][0]))


# ---- damage


@pytest.mark.parametrize("name", ["TABLEDATA", "BINARY", "BINARY2"])
def test_damaged_documents_raise_our_errors_only(name):
    rng = np.random.default_rng(1)
    fields = '<FIELD name="a" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/><FIELD name="x" datatype="double" arraysize="2"/><FIELD name="b" datatype="bit" arraysize="*"/>'
    if name == "TABLEDATA":
        text = doc(
            "".join(f"<TR><TD>{i}</TD><TD>n{i}&amp;</TD><TD>{i / 3} 1e{i}</TD><TD>101</TD></TR>" for i in range(20)),
            fields,
        )
    else:
        mask = b"\0" if name == "BINARY2" else b""
        rows = b"".join(
            mask
            + i.to_bytes(4, "big")
            + (3).to_bytes(4, "big")
            + b"abc"
            + rng.random(2).tobytes()
            + (9).to_bytes(4, "big")
            + b"\xff\x80"
            for i in range(20)
        )
        text = binary(rows, fields, name)
    refused = 0
    for damaged in mutations(raw(text), 400, seed=7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for policy in ("raise", "null"):
                try:
                    found = frame(damaged, on_error=policy)
                    assert len(found) < 1000
                except ScichunkError:
                    refused += 1
    assert refused > 100


def test_long_bodies_with_unusual_markup_far_inside(tmp_path):
    rows = "".join(f"<TR><TD>{i}</TD><TD>n{i}</TD></TR>\n" for i in range(400_000))
    at = rows.index("<TR><TD>350000<")
    odd = f"{rows[:at]}<!-- </TABLEDATA> <TR><TD>7</TD><TD>x</TD></TR> --><TR><TD><![CDATA[-5]]></TD><TD>&lt;</TD></TR>{rows[at:]}"
    path = tmp_path / "t.vot"
    two = doc(odd)[: -len("</RESOURCE></VOTABLE>")] + doc(ROW)[doc(ROW).index("<TABLE>") :]
    for text, tables in ((doc(odd), 1), (two, 2)):
        path.write_text(text)
        found = scichunk.read_votable(path, blocksize="1MB").a.compute(scheduler="threads")
        assert len(found) == 400_001
        assert found.to_numpy().tolist()[350_000] == -5
        assert len(scichunk.info(path).arrays) == tables
        values = scichunk.from_votable(path, "a", chunks=100_000)
        assert values[349_999:350_002].compute(scheduler="synchronous").tolist() == [349_999, -5, 350_000]
        os.utime(path, ns=(tables, tables))


@pytest.mark.parametrize(
    "fields", ['<FIELD name="a" datatype="long"/>', '<FIELD name="a" datatype="long" arraysize="*"/>']
)
def test_two_large_streams_without_numbers_of_rows(tmp_path, fields):
    import base64

    fixed = "*" not in fields
    rows = 700_000 if fixed else 500_000
    values = np.arange(rows, dtype=">i8")
    data = values.tobytes() if fixed else b"".join(b"\0\0\0\1" + v.tobytes() for v in values[:, None])
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    one_table = binary(b"", fields, text=f"\n{lines}\n")
    path = tmp_path / "t.vot"
    path.write_text(one_table[: -len("</RESOURCE></VOTABLE>")] + one_table[one_table.index("<TABLE>") :])
    df = scichunk.read_votable(path, blocksize="1MB")
    found = df.a.compute(scheduler="threads")
    assert len(found) == rows
    assert (found.iloc[-1] if fixed else found.iloc[-1][0]) == rows - 1
    other = scichunk.read_votable(path, table=1, blocksize="1MB").compute(scheduler="synchronous")
    assert len(other) == rows
    assert len(scichunk.info(path).arrays) == 2
    assert scichunk.from_votable(path, "a").shape == (rows,)


@pytest.mark.parametrize("unit", [1, 2])
def test_lengths_of_arrays_count_items_or_elements(unit):
    rows = [[[1, 2], [3, 4]], [], [[5, 6]]] * 5
    texts = [["ab", "c"], [], ["de"]] * 5
    data = b"".join(
        (len(n) * unit).to_bytes(4, "big") + np.array(n, ">i4").tobytes()
        + (len(s) * (3 if unit > 1 else 1)).to_bytes(4, "big") + "".join(t.ljust(3) for t in s).encode()
        for n, s in zip(rows, texts, strict=True)
    )  # fmt: skip
    found = frame(
        binary(
            data, '<FIELD name="n" datatype="int" arraysize="2x*"/><FIELD name="s" datatype="char" arraysize="3x*"/>'
        )
    )
    assert found.n.tolist() == rows
    assert [list(s) for s in found.s] == texts
