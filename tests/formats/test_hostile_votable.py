"""VOTables whose sizes are lies: typed errors before anything is allocated, multiplied or walked."""

import io
import struct
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import scichunk
from scichunk.errors import FormatError, LimitExceeded
from scichunk.testing import RangeServer
from tests.children import outcomes
from tests.votable_docs import binary, doc

COUNT = struct.Struct(">i")


def cells(size, datatype, count, kind="BINARY"):
    """One cell of variable length that says it has ``count`` items, and nothing of the kind behind it."""
    fields = f'<FIELD name="a" datatype="{datatype}" arraysize="{size}"/><FIELD name="b" datatype="int"/>'
    flags = b"\0" if kind == "BINARY2" else b""
    return binary(flags + COUNT.pack(count) + bytes(200), fields, kind).encode()


LONG = [
    ("1073741823x*", "double", 2147483647),
    ("2147483647x*", "double", 2147483647),
    ("2147483647x*", "doubleComplex", 1073741824),
    ("1073741824x*", "doubleComplex", 134217728),
    ("2147483647x*", "char", 2147483647),
]


def test_counts_times_sizes_beyond_64_bits():
    # With the higher limit an item of that size passes, and the count must be compared before it is multiplied.
    documents = [cells(*cell, kind) for cell in LONG for kind in ("BINARY", "BINARY2")]
    reads = [f"scichunk.read_votable({document!r}).compute()" for document in documents]
    higher = [f"with scichunk.options.set(max_chunk_bytes=1 << 42):\n    {read}" for read in reads]
    found = outcomes(*reads, *higher)
    assert set(found[: len(reads)]) <= {"LimitExceeded", "FormatError"}
    assert found[len(reads) :] == ["FormatError"] * len(reads)


@pytest.mark.parametrize("size", ["600000000", "600000000x*"])
def test_items_beyond_the_limit(size):
    with pytest.raises(LimitExceeded, match="max_chunk_bytes") as caught:
        scichunk.read_votable(cells(size, "int", 1)).compute()
    assert "field 'a'" in caught.value.part
    assert caught.value.url


def test_items_of_no_elements_are_no_division_by_zero():
    frame = scichunk.read_votable(binary(COUNT.pack(3) + COUNT.pack(7), ZERO).encode())
    assert frame.compute()["b"].tolist() == [7]


@pytest.mark.parametrize("kind", ["int", "doubleComplex", "boolean", "char", "unicodeChar", "short"])
def test_columns_of_items_of_no_elements_as_arrays(kind):
    fields = ZERO.replace("int", kind, 1)
    data = binary(COUNT.pack(0) + COUNT.pack(7), fields).encode()
    ds = xr.open_dataset(io.BytesIO(data), engine="votable").load()
    assert ds["b"].values.tolist() == [7]
    assert np.size(ds["a"].values[0]) == 0


ZERO = '<FIELD name="a" datatype="int" arraysize="0x*"/><FIELD name="b" datatype="int"/>'


def document(table, **options):
    """A VOTable that holds a table as Parquet."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    kinds = {"int64": 'datatype="long"', "string": 'datatype="char" arraysize="*"'}
    fields = "".join(f'<FIELD name="{f.name}" {kinds[str(f.type)]}/>' for f in table.schema)
    return binary(file.getvalue(), fields, "PARQUET").encode()


def test_row_groups_of_parquet_are_cut_by_blocksize():
    values = np.arange(100_000)
    table = pa.table({"a": values, "s": pa.array([f"text {i}" for i in values])})
    data = document(table, row_group_size=60_000)
    frame = scichunk.read_votable(data, blocksize=200_000)
    assert frame.npartitions > 2
    found = frame.compute()
    assert found["a"].tolist() == values.tolist()
    assert found["s"].tolist() == table["s"].to_pylist()
    assert frame[["s"]].partitions[3].compute()["s"].iloc[0].startswith("text ")
    assert scichunk.read_votable(data, blocksize="1GB").npartitions == 1
    many = document(table, row_group_size=100)
    assert scichunk.read_votable(many, blocksize="1GB").npartitions == 1
    assert scichunk.read_votable(many, blocksize=200_000).compute()["a"].tolist() == values.tolist()


def test_rows_of_parquet_beyond_the_limit():
    constant = document(pa.table({"a": np.zeros(4_000_000, np.int64)}), row_group_size=4_000_000)
    assert len(constant) < 1 << 18
    with scichunk.options.set(max_chunk_bytes=1 << 20):
        frame = scichunk.read_votable(constant, blocksize="64MiB")
        assert frame.npartitions >= 31
        assert len(frame.get_partition(0).compute()) * 8 <= 1 << 20
        assert len(scichunk.read_votable(constant, blocksize="512KiB").get_partition(3).compute()) > 1000
    texts = document(pa.table({"s": pa.array(["x" * 10_000] * 50_000)}))  # a dictionary of one text
    with scichunk.options.set(max_chunk_bytes=1 << 24), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.read_votable(texts).compute()


@pytest.mark.parametrize("row", [0, 3, 5000])
def test_what_is_not_well_formed_is_named_with_its_row_and_byte(row):
    rows = ["<TR><TD>1</TD></TR>"] * 6000
    rows[row] = "<TR><TD a='<'>1</TD></TR>"
    head = "<VOTABLE version='1.4'><RESOURCE><TABLE><FIELD name='a' datatype='int'/><DATA><TABLEDATA>"
    text = head + "".join(rows) + "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    at = text.index("a='<'") + 3
    with pytest.raises(FormatError, match=rf"not well-formed.*table 0, row {row}, byte {at}\b"):
        scichunk.read_votable(text.encode()).compute()


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 40])
@pytest.mark.parametrize("between", ["", "<!-- - --> <?TR <TR>?>"])
@pytest.mark.parametrize("where", ["local", "http"])
def test_rows_within_comments_are_none(kernel_bytes, between, where, tmp_path):
    """Wherever partitions are cut, and wherever windows begin."""
    fakes = ["<!-- </TABLEDATA> -->", "<!--<TR><TD>-1</TD></TR>-->", "<!---->"]
    parts = [f"<TR><TD>{i}</TD></TR>{between.join(fakes * (i % 7))}" for i in range(9_000)]
    document = doc("".join(parts), '<FIELD name="a" datatype="int"/>').encode()
    path = tmp_path / "comments.vot"
    path.write_bytes(document)
    with RangeServer({"comments.vot": document}) as server, scichunk.options.set(kernel_bytes=kernel_bytes):
        url = path if where == "local" else server.url("comments.vot")
        frame = scichunk.read_votable(url, blocksize=200_000)
        assert frame.npartitions > 5
        assert frame["a"].compute().tolist() == list(range(9_000))
        column = scichunk.from_votable(url, "a")
        for start in range(17, 9_000, 1701):
            assert column[start : start + 5].compute().tolist() == list(range(start, min(9_000, start + 5)))


DAMAGED = """
import io, itertools, random
import pyarrow as pa, pyarrow.parquet as pq
from tests.votable_docs import binary
columns = {"a": pa.array([1, 2, None], pa.int64()), "s": ["x", "", None], "l": pa.array([[1], [], [2, 3]], pa.list_(pa.int32()))}
file = io.BytesIO()
pq.write_table(pa.table(columns), file, row_group_size=2)
sound = file.getvalue()
fields = '<FIELD name="a" datatype="long"/><FIELD name="s" datatype="char" arraysize="*"/><FIELD name="l" datatype="int" arraysize="*"/>'
rng, ends = random.Random(1), set()
for at, mask in itertools.product(range(4, len(sound) - 8), MASKS):
    damaged = bytearray(sound)
    damaged[at] ^= mask or rng.randrange(1, 256)
    try:
        scichunk.read_votable(binary(bytes(damaged), fields, "PARQUET").encode()).compute(scheduler="synchronous")
        ends.add("read")
    except scichunk.errors.ScichunkError as error:
        assert not isinstance(error, scichunk.errors.ParserError), (at, mask, error)
        ends.add("levels" if "levels" in str(error) else "refused")
print(*sorted(ends))
"""


@pytest.mark.parametrize("masks", [[0], pytest.param([1, 4, 16, 64, 6], marks=pytest.mark.slow)])
def test_damaged_parquet(masks):
    """pyarrow ends the process where what a footer says of a column does not go with the schema."""
    (ends,) = outcomes(DAMAGED.replace("MASKS", repr(masks)), timeout=280)
    counts = (
        {"levels"} if int(pa.__version__.partition(".")[0]) >= 20 else set()
    )  # older ones write no counts of levels
    assert {"read", "refused"} | counts <= set(ends.split())


def test_columns_of_parquet_with_one_name():
    file = io.BytesIO()
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), file)
    fields = '<FIELD name="a" datatype="long"/><FIELD name="a" datatype="long"/>'
    with pytest.raises(FormatError, match="several columns of the name 'a'"):
        scichunk.read_votable(binary(file.getvalue(), fields, "PARQUET").encode())


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
@pytest.mark.parametrize("datatype", ["char", "unicodeChar"])
@pytest.mark.parametrize("size", ["", "*"], ids=["rows of one size", "rows of many"])
def test_texts_of_no_characters_have_no_bytes(kind, datatype, size):
    """An arraysize of 0 is none of variable length: cells have no count of characters."""
    last = '<FIELD name="b" datatype="short" arraysize="*"/>' if size else '<FIELD name="b" datatype="short"/>'
    flags, counted = (b"\0" if kind == "BINARY2" else b""), (COUNT.pack(1) if size else b"")
    rows = b"".join(flags + struct.pack(">i", i) + counted + struct.pack(">h", i + 5) for i in range(3))
    for arraysize in ("0", "0x2"):
        fields = (
            f'<FIELD name="a" datatype="int"/><FIELD name="s" datatype="{datatype}" arraysize="{arraysize}"/>{last}'
        )
        found = scichunk.read_votable(binary(rows, fields, kind).encode()).compute()
        assert found["a"].tolist() == [0, 1, 2]
        assert arraysize != "0" or found["s"].tolist() == [""] * 3
        assert [int(np.ravel(b)[0]) for b in found["b"]] == [5, 6, 7]


def test_sound_parquet_with_a_long_footer():
    names = [f"c{n}" for n in range(500)]
    file = io.BytesIO()
    pq.write_table(pa.table({name: [n, n + 1, None] for n, name in enumerate(names)}), file, row_group_size=1)
    assert int.from_bytes(file.getvalue()[-8:-4], "little") > 1 << 16
    fields = "".join(f'<FIELD name="{name}" datatype="long"/>' for name in names)
    found = scichunk.read_votable(binary(file.getvalue(), fields, "PARQUET").encode()).compute()
    assert found["c499"].tolist()[:2] == [499, 500]


@pytest.mark.parametrize("mark", ["<!--", "<?", "<![CDATA["])
def test_beginnings_of_markup_within_a_stream_are_read_in_linear_time(mark):
    """None of them has an end: to look for one from each on took minutes for a megabyte."""
    text = f"<![CDATA[{mark * 100_000}]]>"
    begun = time.perf_counter()
    with pytest.raises(FormatError, match="markup within base64"):
        scichunk.read_votable(binary(b"", text=text).encode()).compute()
    assert time.perf_counter() - begun < 10


def test_references_of_thousands_of_digits_within_a_stream():
    with pytest.raises(FormatError, match="impossible reference"):
        scichunk.read_votable(binary(b"", text=f"AAAA&#{'0' * 5000}65;AAA").encode()).compute()


@pytest.mark.parametrize("text", ["<![CDATA[AAAA]]>BQ<!-- <? -->==", "AA<?x <!-- ?>AA<![CDATA[BQ==]]>", "&#65;AAABQ=="])
def test_markup_that_is_sound_within_a_stream(text):
    assert scichunk.read_votable(binary(b"", text=text).encode()).compute()["a"].tolist() == [5]
