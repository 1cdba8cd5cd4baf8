"""Tables of FITS files as users meet them: frames, datasets, trees, errors; values beside astropy's."""

import gzip
import io
import pickle
import threading
import warnings
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk import errors
from scichunk.core.cache import files
from scichunk.core.files import TableId
from scichunk.core.handles import open_file
from scichunk.core.tables import Rows
from scichunk.formats.fits.table import sinks
from scichunk.formats.fits.table.rows import Block
from scichunk.sources import locate
from scichunk.testing import RangeServer
from scichunk.testing.fuzz import mutations
from tests.fits_tables import (
    PRIMARY,
    STORED,
    astropy_columns,
    columns,
    compress,
    encode,
    header,
    padded,
    random_values,
    table,
    variable,
)

RNG = np.random.default_rng(5)


def source(data, which=None):
    return open_file("fits", locate(data)).table(TableId(which))


def same(found, wanted, null=None):
    """Arrow array beside astropy's values; where ``null``, it is null."""
    found.validate(full=True)
    flat, valid = found, np.ones(len(found), bool)
    kind = found.type
    while pa.types.is_fixed_size_list(kind):
        flat, kind = flat.flatten(), kind.value_type
    wanted = np.asarray(wanted)
    if wanted.dtype.kind in "US":
        assert flat.to_pylist() == [str(t).split("\0")[0].rstrip(" ") for t in np.asarray(wanted, str).reshape(-1)]
        return
    wanted = wanted.reshape(-1)
    valid = np.asarray(flat.is_valid())
    np.testing.assert_array_equal(~valid, np.zeros(len(wanted), bool) if null is None else null.reshape(-1))
    if pa.types.is_struct(kind):
        values = flat.field(0).to_numpy() + 1j * flat.field(1).to_numpy().astype(wanted.dtype)
    else:
        values = flat.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False)
    assert values.dtype == wanted.dtype.newbyteorder("=")
    np.testing.assert_array_equal(values[valid], wanted[valid])


def check(data, rows=None):
    """Everything that reads a table gives astropy's values."""
    ours = source(data)
    count = ours.count_rows()
    batch = ours.read_rows(Rows(0, count))
    wanted = astropy_columns(data)
    assert batch.num_columns == len(wanted)
    assert batch.schema == ours.schema
    for column, array, (values, null, raw) in zip(ours.columns, batch.columns, wanted, strict=True):
        form = column.encoding["tform"]
        if column.cell is None:
            for cell, want in zip(ours.read_column(column.name, 0, count), values, strict=True):
                if isinstance(cell, str):
                    assert cell == str("".join(want)).split("\0")[0].rstrip(" ")
                else:
                    np.testing.assert_array_equal(cell, want)
            continue
        if form.startswith("0"):  # astropy 6 makes anything of them
            assert set(map(str, array.to_pylist())) <= {"", "[]"}
            continue
        undefined = ~np.isin(raw, [ord("T"), ord("F")]) if form.endswith("L") else null
        same(array, values, undefined)
        native = ours.read_column(column.name, 0, count)
        assert native.dtype == column.dtype
        assert native.shape == (count, *column.cell)
        if np.asarray(values).dtype.kind not in "US" and not (null is not None and native.dtype.kind == "f"):
            np.testing.assert_array_equal(native.reshape(-1), np.asarray(values).reshape(-1))
        part = ours.read_column(column.name, count // 3, count // 2)
        np.testing.assert_array_equal(part, native[count // 3 : count // 2])
    middle = ours.read_rows(Rows(count // 3, count // 2))
    assert middle.to_pylist().__repr__() == batch.slice(count // 3, count // 2 - count // 3).to_pylist().__repr__()
    return ours


@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("repeat", ["", "1", "3", "0"])
def test_every_type(count, repeat):
    n = int(repeat or 1)
    codes = "LBIJKEDCM"
    arrays = [random_values(c, (count, n), RNG) for c in codes]
    data = table([repeat + c for c in codes], columns(*arrays) if count else b"", count, width=n * 52)
    check(data)


@pytest.mark.parametrize(("repeat", "dim", "cell"), [(6, "(2,3)", (3, 2)), (6, "(6)", (6,)), (7, "(2,3)", (3, 2)), (6, "(4,3)", (6,)), (24, "(2,3,4)", (4, 3, 2)), (6, "(1,6)", (6, 1))])  # fmt: skip
def test_shapes_of_cells(repeat, dim, cell):
    codes = "BIJKEDCM"
    arrays = [random_values(c, (20, repeat), RNG) for c in codes]
    data = table([f"{repeat}{c}" for c in codes], columns(*arrays), 20, **{f"TDIM{i}": dim for i in range(1, 9)})
    if repeat == 7:  # astropy mixes up the rows
        ours = source(data)
        np.testing.assert_array_equal(ours.read_column("c3", 0, 20), arrays[2][:, :6].reshape(20, *cell))
    else:
        ours = check(data)
    assert {c.cell for c in ours.columns} == {cell}


@pytest.mark.parametrize("bits", [1, 5, 8, 16, 33])
def test_bits(bits):
    width = -(-bits // 8)
    data = table([f"{bits}X"], columns(RNG.integers(0, 256, (50, width), dtype="u1")), 50)
    ours = check(data)
    assert ours.columns[0].cell == (bits,)


@pytest.mark.parametrize(("form", "dim", "cell", "text"), [("12A", None, (), 12), ("12A", "(4,3)", (3,), 4), ("12A", "(2,3,2)", (2, 3), 2), ("1A", None, (), 1), ("0A", None, (), 0), ("A", None, (), 1)])  # fmt: skip
def test_texts(form, dim, cell, text):
    size = int(form[:-1] or 1)
    raw = random_values("A", (40, size), RNG)
    data = table([form, "J"], columns(raw, np.arange(40, dtype=">i4")), 40, **({"TDIM1": dim} if dim else {}))
    ours = check(data)
    assert ours.columns[0].cell == cell
    assert ours.columns[0].dtype == f"U{max(1, text)}"


def test_texts_of_equal_length_by_the_form():
    data = table(["12A4"], columns(np.frombuffer(b"abc def ghi \0", "u1")[None, :12]), 1)
    assert source(data).read_rows(Rows(0, 1)).to_pydict() == {"c1": [["abc", "def", "ghi"]]}
    data = table(["A5"], columns(np.frombuffer(b"abcde", "u1")[None]), 1)  # a common mistake for 5A
    assert source(data).read_rows(Rows(0, 1)).to_pydict() == {"c1": ["abcde"]}


def test_texts_beyond_ascii():
    rows = b"caf\xc3\xa9 \0x" + b"caf\xe9    " + b"plain   "
    ours = source(table(["8A"], rows, 3))
    assert ours.read_rows(Rows(0, 3)).to_pydict() == {"c1": ["café", "café", "plain"]}
    assert ours.read_column("c1", 0, 3).tolist() == ["café", "café", "plain"]
    latin = source(table(["4A"], b"\xe9" * 400, 100))
    assert latin.read_rows(Rows(0, 100)).to_pydict() == {"c1": ["éééé"] * 100}


@pytest.mark.parametrize(("code", "zero"), [("B", -128), ("I", 1 << 15), ("J", 1 << 31), ("K", 1 << 63)])
def test_unsigned_integers_and_signed_bytes(code, zero):
    raw = random_values(code, 200, RNG)
    raw[0] = 7
    data = table([code], columns(raw), 200, TZERO1=zero, TNULL1=7)
    ours = source(data)
    wanted = [int(v) + zero for v in raw]
    column = ours.read_rows(Rows(0, 200)).column(0)
    assert column.type == {"B": pa.int8(), "I": pa.uint16(), "J": pa.uint32(), "K": pa.uint64()}[code]
    assert column.to_pylist() == [None if v == 7 else w for v, w in zip(raw, wanted, strict=True)]
    assert ours.read_column("c1", 0, 200).tolist() == wanted
    assert ours.columns[0].null == 7 + zero
    if code != "B":  # astropy makes floats of them
        check(data)


@pytest.mark.parametrize("code", "BIJKEDCM")
@pytest.mark.parametrize(("scale", "zero"), [(0.1, 5.0), (2.0, 0.0), (1.0, 100.5), (-3.0, 1e10), (1.0, 0.0)])
def test_scaled_numbers(code, scale, zero):
    raw = random_values(code, (100, 2), RNG)
    data = table(["2" + code], columns(raw), 100, TSCAL1=scale, TZERO1=zero)
    if code in "CM" and (scale, zero) != (1, 0):  # of which astropy loses the imaginary part
        found = source(data).read_column("c1", 0, 100)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(found, raw.astype("c16") * scale + zero)
        return
    if code == "K" and zero:  # astropy fails
        ours = source(data)
        np.testing.assert_array_equal(ours.read_column("c1", 0, 100), raw.astype("f8") * scale + zero)
    else:
        ours = check(data)
    if ours.columns[0].raw is not None:
        np.testing.assert_array_equal(ours.read_column("c1", 0, 100, raw=True), raw)


@pytest.mark.parametrize("code", "BIJK")
def test_nulls_are_compared_with_stored_values(code):
    raw = np.array([[1, 2], [99, 4], [5, 99]], STORED[code])
    plain = source(table(["2" + code], columns(raw), 3, TNULL1=99))
    assert plain.read_rows(Rows(0, 3)).to_pydict() == {"c1": [[1, 2], [None, 4], [5, None]]}
    scaled = source(table(["2" + code], columns(raw), 3, TNULL1=99, TSCAL1=0.5))
    assert scaled.read_rows(Rows(0, 3)).to_pydict() == {"c1": [[0.5, 1], [None, 2], [2.5, None]]}
    np.testing.assert_array_equal(scaled.read_column("c1", 0, 3), [[0.5, 1], [np.nan, 2], [2.5, np.nan]])
    beyond = source(table(["2" + code], columns(raw), 3, TNULL1=-(1 << 70)))
    assert beyond.columns[0].null is None


def test_unsigned_with_null_which_astropy_refuses():
    raw = np.array([-(1 << 31), -99, 5], ">i4")
    ours = source(table(["J"], columns(raw), 3, TZERO1=1 << 31, TNULL1=-99))
    assert ours.read_rows(Rows(0, 3)).to_pydict() == {"c1": [0, None, 5 + (1 << 31)]}


def test_columns_without_names_and_with_the_same():
    raw = np.arange(12, dtype=">i2").reshape(4, 3)
    ours = source(table(["I", "I", "I"], columns(raw), 4, names=["x", "x", "x"]))  # astropy fails
    np.testing.assert_array_equal(ours.read_rows(Rows(0, 4)).to_pandas().values, raw)
    assert [c.name for c in ours.columns] == ["x", "x_2", "x_3"]
    ours = source(table(["I", "I", "I"], columns(raw), 4, names=[None, None, None]))
    assert [c.name for c in ours.columns] == ["col1", "col2", "col3"]
    assert ours.read_column("col2", 0, 4).tolist() == raw[:, 1].tolist()


def test_long_texts_in_headers():
    hdu = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(3))])
    hdu.header["TCOMM1"], hdu.header["LONG"] = "described " * 20, "value " * 30 + "'&'"
    hdu.header["AMP"] = "ends with &"
    data = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(data)
    ours = source(data.getvalue())
    assert ours.columns[0].attrs["description"] == ("described " * 20).strip()
    assert ours.attrs["LONG"] == "value " * 30 + "'&'"
    assert ours.attrs["AMP"] == "ends with &"


def test_rows_may_be_wider_than_their_columns():
    raw = np.arange(12, dtype=">i2").reshape(4, 3)
    ours = source(table(["I", "I"], columns(raw), 4))
    assert ours.read_column("c2", 0, 4).tolist() == raw[:, 1].tolist()


@pytest.mark.parametrize("wide", [False, True], ids="PQ")
@pytest.mark.parametrize("code", "LXBIJKEDCMA")
def test_variable_arrays(code, wide):
    counts = [3, 0, 17, 1, 0, 8, 300, 2]
    pairs, heap, cells = variable(code, counts, RNG, wide, order=[5, 0, 7, 2, 1, 3, 6, 4])
    data = table(
        [f"1{'Q' if wide else 'P'}{code}(300)", "J"], columns(pairs, np.arange(8, dtype=">i4")), 8, heap, gap=37
    )
    ours = source(data)
    batch = ours.read_rows(Rows(0, 8))
    batch.validate(full=True)
    found = ours.read_column("c1", 0, 8)
    assert ours.columns[0].cell is None
    if code == "A":
        wanted = [bytes(c).partition(b"\0")[0].rstrip(b" ").decode() for c in cells]
        assert batch.column(0).to_pylist() == found.tolist() == wanted
        return
    assert pa.types.is_list(batch.column(0).type)
    for cell, want, n, ours_now in zip(cells, found, counts, batch.column(0), strict=True):
        plain = np.unpackbits(cell)[:n] == 1 if code == "X" else cell == ord("T") if code == "L" else cell
        np.testing.assert_array_equal(want, plain)
        assert len(ours_now) == n
    assert batch.column(1).to_pylist() == list(range(8))
    part = ours.read_rows(Rows(2, 7), ["c1"]).column(0)
    assert part.to_pylist().__repr__() == batch.column(0).slice(2, 5).to_pylist().__repr__()


def test_variable_arrays_of_many_groups_in_a_local_file(tmp_path):
    """Rows and heap are read into the same buffer of the thread."""
    counts = RNG.integers(0, 60, 60_000)
    pairs, heap, cells = variable("E", counts.tolist(), RNG)
    path = tmp_path / "many.fits"
    path.write_bytes(table(["1PE(60)", "J"], columns(pairs, np.arange(60_000, dtype=">i4")), 60_000, heap))
    ours = source(path)
    ours.read_rows(Rows(0, 60_000))  # now the buffer is as large as it gets
    batch = ours.read_rows(Rows(0, 60_000))
    assert batch.column(1).to_pylist() == list(range(60_000))
    assert batch.column(0).value_lengths().to_pylist() == counts.tolist()
    np.testing.assert_array_equal(batch.column(0).flatten(), np.concatenate(cells))


def test_variable_arrays_are_scaled():
    pairs, heap, cells = variable("I", [2, 3], RNG)
    data = table(["1PI", "1PI"], columns(pairs, pairs), 2, heap, TSCAL1=0.5, TZERO1=3.0, TZERO2=32768)
    ours = source(data)  # of scaled values astropy keeps whole numbers only
    np.testing.assert_array_equal(ours.read_column("c1", 0, 2)[1], cells[1] * 0.5 + 3)
    np.testing.assert_array_equal(ours.read_column("c2", 0, 2)[1], cells[1].astype("i4") + 32768)


def test_variable_arrays_far_apart_and_shared():
    heap = bytearray(3_000_000)
    heap[10:14], heap[2_900_000:2_900_004] = np.array([7], ">i4").tobytes(), np.array([8], ">i4").tobytes()
    pairs = np.array([[1, 2_900_000], [1, 10], [1, 10], [0, -5]], ">i4")
    ours = source(table(["1PJ"], columns(pairs), 4, bytes(heap)))
    assert ours.read_rows(Rows(0, 4)).to_pydict() == {"c1": [[8], [7], [7], []]}


@pytest.mark.parametrize("pair", [(-1, 0), (5, 10), (1, -4), (1 << 30, 0), (1, 1 << 30)])
def test_descriptors_beyond_the_heap(pair):
    pairs = np.array([[2, 0], pair, [2, 4]], ">i4")
    ours = source(table(["1PI"], columns(pairs), 3, bytes(16)))
    with pytest.raises(errors.FormatError, match="column 'c1', row 1") as caught:
        ours.read_rows(Rows(0, 3))
    assert caught.value.url
    assert ours.read_rows(Rows(2, 3)).to_pydict() == {"c1": [[0, 0]]}


def test_arrays_of_one_partition_are_limited_together():
    """Each group of rows is within the limit; all of them are not."""
    pairs = np.tile(np.array([[200, 0]], ">i4"), (600_000, 1))
    data = table(["1PB"], columns(pairs), len(pairs), bytes(200))
    with (
        scichunk.options.set(max_chunk_bytes=1 << 26),
        pytest.raises(errors.LimitExceeded, match=r"max_chunk_bytes.*HDU 1"),
    ):
        scichunk.read_fits_table(data, blocksize=None).compute()


@pytest.mark.parametrize("counts", [[], [0], [8, 16], [1, 0, 0, 9, 8, 7], [0, 3, 0], [5] * 40])
def test_arrays_of_bits(counts):
    pairs, heap, cells = variable("X", counts, RNG)
    ours = source(table(["1PX"], columns(pairs) if counts else b"", len(counts), heap, width=8))
    found = ours.read_rows(Rows(0, len(counts))).column(0).to_pylist()
    assert found == [np.unpackbits(c)[:n].astype(bool).tolist() for c, n in zip(cells, counts, strict=True)]


def test_arrays_that_share_their_bytes_are_no_bomb():
    pairs = np.tile(np.array([[100_000, 0]], ">i4"), (50_000, 1))
    ours = source(table(["1PB"], columns(pairs), 50_000, bytes(100_000)))
    with pytest.raises(errors.LimitExceeded, match="max_chunk_bytes"):
        ours.read_rows(Rows(0, 50_000))


@pytest.mark.parametrize("most", [26, 27])
def test_texts_of_more_bytes_than_offsets_count(monkeypatch, most):
    """Texts beyond ASCII take up to twice their bytes: what they leave room for is known only while rows are read."""
    monkeypatch.setattr(sinks, "_MOST_OFFSET", most)
    layout = source(table(["8A"], b"\xe9" * 8 + b"abcdefghabc     ", 3)).layout
    sink = sinks.arrow_sink(layout.fields[0], 3)
    for i, text in enumerate((b"\xe9" * 8, b"abcdefgh", b"abc     ")):
        block = Block(i, i + 1, {1: (np.frombuffer(text, "u1").reshape(1, 8), 0)}, {})
        if i < 2 or most == 27:
            sink.put(block, i)
        else:
            with pytest.raises(errors.LimitExceeded, match="27 bytes of text in column 'c1'"):
                sink.put(block, i)
    if most == 27:
        assert sink.finish().to_pylist() == ["\xe9" * 8, "abcdefgh", "abc"]


ASCII = {
    "A4": ["abc", " b", ""],
    "I4": ["12", "-7", "**"],
    "I9": ["-5", "+1234567", ""],
    "I12": ["1234567890", "-1", ""],
    "F8.3": ["1.500", "-2.", "NULL"],
    "E12.5": ["1.25000E+3", "-1.0E-5", "NULL"],
    "D20.12": ["1.234567890123D-10", "3.D2", "1.5"],
}


def ascii_table(**cards):
    widths = [int(form[1:].partition(".")[0]) for form in ASCII]
    rows = "".join("".join(texts[i].ljust(w) + " " for texts, w in zip(ASCII.values(), widths, strict=True)) for i in range(3))  # fmt: skip
    starts = np.cumsum([1, *(w + 1 for w in widths)])
    return table(list(ASCII), rows.encode(), 3, kind="TABLE", **{f"TBCOL{i}": int(s) for i, s in enumerate(starts[:-1], 1)}, **cards)  # fmt: skip


def test_ascii_tables():
    ours = source(ascii_table(TNULL2="**", TNULL5="NULL", TNULL6="NULL"))
    found = ours.read_rows(Rows(0, 3)).to_pydict()
    assert found == {
        "c1": ["abc", " b", ""],
        "c2": [12, -7, None],
        "c3": [-5, 1234567, 0],  # blank, and no TNULL (FITS 4.0, section 7.2.5)
        "c4": [1234567890, -1, 0],
        "c5": [1.5, -2, None],
        "c6": [1250, -1e-5, None],
        "c7": [1.234567890123e-10, 300, 1.5],
    }
    assert [str(c.dtype) for c in ours.columns] == ["<U4", "int16", "int32", "int64", "float64", "float64", "float64"]
    assert ours.columns[1].null == np.iinfo("i2").min
    assert ours.read_column("c2", 0, 3).tolist() == [12, -7, np.iinfo("i2").min]
    assert ours.read_column("c3", 0, 3).tolist() == [-5, 1234567, 0]
    np.testing.assert_array_equal(ours.read_column("c5", 0, 3), [1.5, -2, np.nan])
    assert ours.read_column("c1", 0, 3).tolist() == ["abc", " b", ""]
    with pytest.raises(errors.FormatError, match=r"'\*\*' is no number of form I4 .*column 'c2', row 2"):
        source(ascii_table()).read_rows(Rows(0, 3))


def test_ascii_tables_beside_astropy():
    texts = np.array([[f"{v:12.5E}"] for v in RNG.normal(size=200) * 10.0 ** RNG.integers(-30, 30, 200)], "S12")
    whole = np.array([f"{v:10d}" for v in RNG.integers(-(10**8), 10**8, 200)], "S10")
    data = table(["E12.5", "I10"], columns(texts, whole), 200, kind="TABLE", TBCOL1=1, TBCOL2=13)
    ours = source(data)
    for name, (values, _, _) in zip(("c1", "c2"), astropy_columns(data), strict=True):
        np.testing.assert_array_equal(ours.read_column(name, 0, 200), values)
    scaled = source(table(["I10"], columns(whole), 200, kind="TABLE", TBCOL1=1, TSCAL1=0.1, TZERO1=2.0))
    np.testing.assert_array_equal(scaled.read_column("c1", 0, 200), whole.astype(int) * 0.1 + 2)


@pytest.mark.parametrize("tile", [7, 50, 100])
@pytest.mark.parametrize("codec", ["GZIP_1", "GZIP_2", "RICE_1", "NOCOMPRESS"])
def test_compressed_tables(codec, tile):
    codes = ["L", "3B", "I", "2J", "K", "2E", "D", "C", "8A", "12X"]
    arrays = [random_values(c[-1], (50, int(c[:-1] or 1)), RNG) if c[-1] != "X" else RNG.integers(0, 256, (50, 2), dtype="u1") for c in codes]  # fmt: skip
    plain = table(codes, columns(*arrays), 50, TNULL2=5, TSCAL4=0.5, TZERO3=32768, TDIM8="(1,1)")
    codecs = [codec if codec != "RICE_1" or c[-1] in "BIJ" else "GZIP_2" for c in codes]
    ours, wanted = source(compress(plain, tile, codecs)), source(plain)
    assert ours.n_rows == 50
    assert [c.type for c in ours.columns] == [c.type for c in wanted.columns]
    for rows in (Rows(0, 50), Rows(20, 31), Rows(49, 50)):
        assert ours.read_rows(rows).to_pylist().__repr__() == wanted.read_rows(rows).to_pylist().__repr__()
    for column in ours.columns:
        found = ours.read_column(column.name, 5, 45)
        np.testing.assert_array_equal(found, wanted.read_column(column.name, 5, 45))
    assert sum(len(p) for p in ours.partitions(1)) == 50


def test_compressed_tables_that_are_damaged():
    plain = table(["J"], columns(np.arange(100, dtype=">i4")), 100)
    data = bytearray(compress(plain, 10, ["GZIP_1"]))
    at = data.index(b"\x1f\x8b", data.index(b"\x1f\x8b") + 10)
    data[at + 12 : at + 20] = b"\0" * 8
    ours = source(bytes(data))
    with pytest.raises(errors.FormatError, match="HDU 1, column 'c1', tile 1"):
        ours.read_rows(Rows(0, 100))
    assert ours.read_rows(Rows(20, 100)).column(0).to_pylist() == list(range(20, 100))
    bad = compress(plain, 10, ["GZIP_1"]).replace(b"'GZIP_1  '", b"'LZMA_9  '")
    with pytest.raises(errors.UnsupportedFeature, match="LZMA_9"):
        source(bad).read_rows(Rows(0, 100))


def test_bundled_tables():
    data = Path(__file__).parents[2] / "test_data"
    check((data / "catalogue.fits").read_bytes())
    log = scichunk.read_fits_table(data / "catalogue.fits", hdu="LOG").compute()
    assert log.time[3] == "2024-05-01T20:03:00"
    assert log.seeing.between(0.6, 1.4).all()
    small = scichunk.read_fits_table(data / "compressed_table.fits", blocksize=100).compute()
    assert small.id.tolist() == list(range(120))
    assert set(small.band) == {"g", "r", "i"}


# ---- headers


@pytest.mark.parametrize(
    "cards",
    [
        {"TFORM1": "1Z"}, {"TFORM1": "9" * 30 + "J"}, {"TFIELDS": 999}, {"TFIELDS": -1}, {"NAXIS1": 3}, {"TFORM1": "3PJ(9)"},
        {"TFORM1": "1PZ"}, {"ZTABLE": True}, {"TSCAL1": "x"}, {"NAXIS1": 0, "NAXIS2": 1 << 50},
        {"TFORM1": "99999999999J"}, {"ZTABLE": True, "ZNAXIS1": 4, "ZNAXIS2": 1 << 40, "ZFORM1": "J", "ZTILELEN": 1, "TFORM1": "1QB"},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_headers(cards):
    cards = dict(cards)
    form = cards.pop("TFORM1", "J")
    data = table([form], bytes(40), 10, **cards)
    with pytest.raises(errors.ScichunkError) as caught:
        scichunk.read_fits_table(data).compute()
    assert caught.value.url
    assert "HDU 1" in caught.value.part


def test_sizes_beyond_the_file_are_cheap():
    for rows in (1 << 30, 1 << 50):
        data = table(["J", "30A"], bytes(340), 10, NAXIS2=rows)
        frame = scichunk.read_fits_table(data)
        assert frame.npartitions == 2
        with pytest.raises(errors.FormatError, match="the file ends in row"):
            frame.compute()
        assert len(frame.partitions[0].compute()) == len(data[len(PRIMARY) + 2880 :]) // 34
        with pytest.raises(errors.FormatError):
            source(data).read_column("c1", 0, rows)


def test_a_table_that_ends_early():
    raw = np.arange(100_000, dtype=">i4")
    data = table(["J"], columns(raw), 100_000)[: 2 * 2880 + 50_000]
    frame = scichunk.read_fits_table(data, blocksize=10_000)
    assert frame.divisions[-1] == 99_999
    np.testing.assert_array_equal(frame.partitions[:5].compute().c1, raw[:12_500])
    with pytest.raises(errors.FormatError, match="the file ends in row 12500 of 100000"):
        frame.compute()


def test_empty_tables():
    for data in (table(["J", "3A"], b"", 0, width=7), table([], b"", 0)):
        frame = scichunk.read_fits_table(data)
        assert len(frame.compute()) == 0
        assert xr.open_dataset(data, engine="fits").load().sizes.get("row", 0) == 0
        assert list(frame.columns) == list(frame.compute().columns)
    assert scichunk.read_fits_table(table(["J"], b"", 0, width=4)).compute().c1.dtype == pd.ArrowDtype(pa.int32())


# ---- frames


@pytest.fixture(scope="module")
def catalogue():
    n = 5000
    rng = np.random.default_rng(3)
    ra, mag = rng.uniform(0, 360, n).astype(">f8"), rng.normal(20, 2, n).astype(">f4")
    count = rng.integers(0, 5, n).astype(">i2")
    pairs, heap, _ = variable("E", count.tolist(), rng)
    names = np.array([f"star {i}" for i in range(n)], "S9").view("u1").reshape(n, 9)
    vectors = rng.normal(size=(n, 3)).astype(">f4")
    data = table(
        ["D", "E", "I", "1PE(5)", "9A", "3E"], columns(ra, mag, count, pairs, names, vectors), n, heap,
        names=["ra", "mag", "count", "flux", "name", "v"], TUNIT1="deg", TUNIT2="mag", TCOMM1="right ascension", TUCD1="pos.eq.ra",
        TNULL3=4, TLMIN1=0.0, TLMAX1=360.0, EXTNAME="STARS", EXTVER=2, OBSERVER="me",
    )  # fmt: skip
    return data, {"ra": ra, "mag": mag, "count": count, "name": names.tobytes(), "v": vectors}


def test_frames(catalogue):
    data, values = catalogue
    frame = scichunk.read_fits_table(data, blocksize="20kB")
    assert frame.npartitions > 5
    assert frame.known_divisions
    assert frame.divisions[0] == 0
    assert frame.divisions[-1] == 4999
    found = frame.compute()
    assert found.index.tolist() == list(range(5000))
    np.testing.assert_array_equal(found.ra, values["ra"])
    assert found.dtypes.map(str).tolist() == ["double[pyarrow]", "float[pyarrow]", "int16[pyarrow]", "list<item: float>[pyarrow]", "string[pyarrow]", "fixed_size_list<item: float>[3][pyarrow]"]  # fmt: skip
    assert (found["count"].isna() == (values["count"] == 4)).all()
    assert found.attrs["columns"]["ra"] == {"units": "deg", "description": "right ascension", "ucd": "pos.eq.ra", "TLMIN": 0.0, "TLMAX": 360.0}  # fmt: skip
    assert frame.loc[1234:1236].compute().index.tolist() == [1234, 1235, 1236]
    for part in range(frame.npartitions):
        assert frame.partitions[part].compute().index[0] == frame.divisions[part]


@pytest.mark.slow
def test_frames_in_processes(catalogue):
    frame = scichunk.read_fits_table(catalogue[0], blocksize="20kB", columns=["ra", "name", "v"])
    pd.testing.assert_frame_equal(frame.compute(scheduler="processes", num_workers=2), frame.compute())


def test_columns_reach_the_decoder(catalogue, monkeypatch):
    from scichunk.formats.fits.table.source import FITSTable

    seen, read = [], FITSTable.read_rows

    def spy(self, rows, columns=None):
        seen.append(columns)
        return read(self, rows, columns)

    monkeypatch.setattr(FITSTable, "read_rows", spy)
    frame = scichunk.read_fits_table(catalogue[0], blocksize="20kB")
    with dask.config.set(scheduler="synchronous"):
        frame[["mag", "ra"]].compute()
        assert {tuple(sorted(c)) for c in seen} == {("mag", "ra")}
        seen.clear()
        frame.mag.mean().compute()
        assert {tuple(c) for c in seen} == {("mag",)}
        seen.clear()
        assert frame[frame.mag < 20].ra.count().compute() == (catalogue[1]["mag"] < 20).sum()
        assert {tuple(sorted(c)) for c in seen} == {("mag", "ra")}
        seen.clear()
        scichunk.read_fits_table(catalogue[0], columns=["name", "ra"]).compute()
        assert seen == [["name", "ra"]]
    with pytest.raises(errors.FormatError, match=r"no columns \['x'\]"):
        scichunk.read_fits_table(catalogue[0], columns=["x"])


def test_tables_by_name(catalogue, tmp_path):
    path = tmp_path / "two.fits"
    path.write_bytes(
        catalogue[0] + table(["J"], columns(np.arange(3, dtype=">i4")), 3, EXTNAME="OTHER")[len(PRIMARY) :]
    )
    for hdu in (2, "other", ("OTHER", 1), -1, ["OTHER", 1]):
        assert list(scichunk.read_fits_table(path, hdu=hdu).columns) == ["c1"]
    for hdu in (None, 1, "STARS", ("stars", 2)):
        assert scichunk.read_fits_table(path, hdu=hdu).columns[0] == "ra"
    for hdu, message in ((3, "no HDU 3"), ("X", "no HDU 'X'"), (0, "no table, but none")):
        with pytest.raises(errors.FormatError, match=message):
            scichunk.read_fits_table(path, hdu=hdu)
    with pytest.raises(errors.FormatError, match="no table; there is"):
        scichunk.read_fits_table(PRIMARY)
    with pytest.raises(errors.FormatError, match="read_fits_table reads it"):
        scichunk.from_fits(path, hdu=1)
    with pytest.raises(ValueError, match="blocksize"):
        scichunk.read_fits_table(path, blocksize=0)
    with pytest.raises(FileNotFoundError):
        scichunk.read_fits_table(tmp_path / "none.fits")


def test_readers_are_thin_and_tokens_stable(catalogue, tmp_path):
    path = tmp_path / "stars.fits"
    path.write_bytes(catalogue[0])
    one, two = scichunk.read_fits_table(path), scichunk.read_fits_table(path)
    assert one._name == two._name
    func = next(n.operand("func") for n in one.expr.walk() if "func" in n._parameters)
    assert len(pickle.dumps(func)) < 500
    assert pickle.loads(pickle.dumps(func)).handle == func.handle
    path.write_bytes(catalogue[0] + b"\0" * 2880)
    assert scichunk.read_fits_table(path)._name != one._name
    with pytest.raises(errors.SourceError, match="changed"):
        files.clear()
        one.compute()


# ---- datasets


def test_datasets(catalogue, tmp_path):
    data, values = catalogue
    ds = xr.open_dataset(data, engine="fits")
    assert ds.sizes == {"row": 5000, "v_1": 3}
    assert ds.v.dims == ("row", "v_1")
    assert ds.ra.attrs == {"units": "deg", "description": "right ascension", "ucd": "pos.eq.ra", "TLMIN": 0.0, "TLMAX": 360.0}  # fmt: skip
    assert ds.ra.encoding["reader"] == "indexed"
    assert ds.attrs["OBSERVER"] == "me"
    assert "TLMIN1" not in ds.attrs
    np.testing.assert_array_equal(ds.ra, values["ra"])
    assert ds["count"].dtype == "f4"
    assert (np.isnan(ds["count"]) == (values["count"] == 4)).all()
    raw = xr.open_dataset(data, engine="fits", mask_and_scale=False)
    assert raw["count"].dtype == "i2"
    assert raw["count"].attrs["_FillValue"] == 4
    xr.testing.assert_equal(xr.decode_cf(raw[["count"]].load()), ds[["count"]].load())
    assert ds.name[17] == "star 17"
    assert ds.name.dtype == "U9"
    assert ds.flux.dtype == object
    assert [len(f) for f in ds.flux.to_numpy()[:9]] == values["count"][:9].tolist()
    picked = ds.v.isel(row=[4000, 2, 2], v_1=slice(None, None, -1))
    np.testing.assert_array_equal(picked, values["v"][[4000, 2, 2]][:, ::-1])
    path = tmp_path / "stars.fits"
    path.write_bytes(data)
    lazily = xr.open_dataset(path, engine="fits", chunks={})
    xr.testing.assert_equal(lazily[["ra", "v", "name"]].compute(), ds[["ra", "v", "name"]].load())
    assert list(xr.open_dataset(data, engine="fits", drop_variables=["flux", "v"]).data_vars) == ["ra", "mag", "count", "name"]  # fmt: skip


def test_scaled_columns_have_raw_values():
    raw = np.array([1, 2, 99], ">i2")
    data = table(["I"], columns(raw), 3, TSCAL1=0.1, TZERO1=5.0, TNULL1=99)
    ds = xr.open_dataset(data, engine="fits")
    np.testing.assert_array_equal(ds.c1, [0.1 * 1 + 5, 0.1 * 2 + 5, np.nan])
    stored = xr.open_dataset(data, engine="fits", mask_and_scale=False)
    assert stored.c1.dtype == "i2"
    assert stored.c1.attrs == {"scale_factor": 0.1, "add_offset": 5.0, "_FillValue": 99}
    assert xr.decode_cf(stored.load()).c1[1] == pytest.approx(5.2)


def test_trees_have_a_node_for_every_table(catalogue):
    image = header(("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 1), ("NAXIS1", 5), ("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", "PIC"))  # fmt: skip
    data = catalogue[0] + image + padded(bytes(range(5)))
    tree = xr.open_datatree(data, engine="fits")
    assert list(tree.groups) == ["/", "/STARS", "/PIC"]
    assert tree["STARS"].sizes["row"] == 5000
    assert xr.open_dataset(data, engine="fits").sizes == {"x": 5}  # an image if there is one
    for more in ({"hdu": 1}, {"hdu": "stars"}, {"group": "STARS"}):
        assert xr.open_dataset(data, engine="fits", **more).sizes["row"] == 5000
    info = scichunk.info(data)
    stars = next(a for a in info.arrays if a.group == "/STARS")
    assert (stars.dims, stars.shape, stars.reader, stars.codec) == (("row",), (5000,), "indexed", "binary table")
    assert stars.notes["columns"]["ra"] == "double [deg]"
    assert "right" not in str(info)
    assert "row 5000" in str(info)
    info._repr_html_()


def test_columns_whose_names_make_trouble():
    raw = np.arange(8, dtype=">i2").reshape(2, 4)
    data = table(["2I", "I", "I"], columns(raw), 2, names=["v", "v_1", "row"])
    ds = xr.open_dataset(data, engine="fits").load()
    assert ds.v.dims[1] not in ds.data_vars
    assert set(ds.variables) == {"v", "v_1", "row"}


# ---- damage, threads, requests


def attempt(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = open_file("fits", locate(data))
            for hdu in file.structure.all_hdus():
                if hdu.is_table:
                    one = file.table(TableId(hdu.index))
                    for part in one.partitions(1 << 16)[:4]:
                        one.read_rows(part).validate(full=True)
                    for column in one.columns[:3]:
                        one.read_column(column.name, 0, min(20, one.n_rows))
            file.describe()
            xr.open_dataset(data, engine="fits", decode_times=False)
        except errors.ScichunkError as error:
            assert str(error)


def damaged():
    pairs, heap, _ = variable("E", [3, 0, 9, 1], RNG)
    texts = random_values("A", (4, 6), RNG)
    binary = table(["1PE(9)", "6A", "I", "9X"], columns(pairs, texts, np.arange(4, dtype=">i2"), np.zeros((4, 2), "u1")), 4, heap, TDIM2="(3,2)", TNULL3=1)  # fmt: skip
    plain = table(["J", "8A"], columns(np.arange(30, dtype=">i4"), random_values("A", (30, 8), RNG)), 30)
    return {"binary": binary, "ascii": ascii_table(), "compressed": compress(plain, 10, ["RICE_1", "GZIP_2"])}


@pytest.mark.parametrize("kind", ["binary", "ascii", "compressed"])
@pytest.mark.parametrize("part", ["header", "all"])
def test_damage(kind, part):
    data = damaged()[kind]
    attempt(data)
    with scichunk.options.set(max_chunk_bytes=1 << 24):
        for copy in mutations(data[2880:], 120, seed=4, head=2880 if part == "header" else None):
            attempt(PRIMARY + bytes(copy))
        for size in range(0, len(data), 97):
            attempt(data[:size])


def test_threads(catalogue, tmp_path):
    path = tmp_path / "stars.fits"
    path.write_bytes(catalogue[0])
    ours = source(path)
    wanted = ours.read_rows(Rows(0, 5000))
    wrong = []
    barrier = threading.Barrier(8)

    def work(seed):
        rng = np.random.default_rng(seed)
        barrier.wait()
        for _ in range(30):
            a, b = sorted(rng.integers(0, 5001, 2).tolist())
            found = ours.read_rows(Rows(a, b)).drop_columns(["flux"])  # which has NaN, which equals nothing
            if not found.equals(wanted.slice(a, b - a).drop_columns(["flux"])):
                wrong.append((a, b))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_sources(catalogue, tmp_path):
    """Wherever the bytes are, the rows are the same."""
    import fsspec

    data, values = catalogue
    path = tmp_path / "stars.fits"
    path.write_bytes(data)
    packed = tmp_path / "stars.fits.gz"
    packed.write_bytes(gzip.compress(data))
    fsspec.filesystem("memory").pipe_file("/stars.fits", data)
    with path.open("rb") as opened:
        for one in (path, str(path), data, io.BytesIO(data), opened, packed, "memory://stars.fits", f"file://{path}"):
            frame = scichunk.read_fits_table(one, blocksize="60kB", columns=["ra", "name"]).compute()
            np.testing.assert_array_equal(frame.ra, values["ra"])
            assert frame.name[4999] == "star 4999"
    fsspec.filesystem("memory").rm("/stars.fits")


def test_requests(catalogue):
    data = table(["D", "J"], columns(np.arange(100_000, dtype=">f8"), np.arange(100_000, dtype=">i4")), 100_000)
    files.clear()
    with RangeServer({"t.fits": data, "stars.fits": catalogue[0]}) as server:
        frame = scichunk.read_fits_table(server.url("t.fits"))
        assert server.requests == 1
        assert frame.c1.sum().compute() == 99_999 * 50_000
        assert server.requests == 2
        assert sum(r.sent for r in server.log) < len(data) + 70_000
        ds = xr.open_dataset(server.url("t.fits"), engine="fits", hdu=1)
        before = server.requests
        assert ds.c2[-1] == 99_999
        assert ds.c1[-1] == 99_999
        assert server.requests == before + 1  # once for all columns
        scichunk.read_fits_table(server.url("stars.fits"))[["flux"]].compute()
    files.clear()


def test_a_few_columns_of_wide_rows(tmp_path):
    raw = RNG.integers(0, 255, (30, 200_000), dtype="u1")
    ids = np.arange(30, dtype=">i4")
    path = tmp_path / "wide.fits"
    path.write_bytes(table(["J", "200000B", "J"], columns(ids, raw, (ids + 1).astype(">i4")), 30))
    ours = source(path)
    assert ours.read_column("c3", 3, 30).tolist() == list(range(4, 31))
    np.testing.assert_array_equal(ours.read_column("c2", 5, 7), raw[5:7])
    ours.source = Counted(ours.source)
    ours.read_column("c1", 0, 30)
    assert ours.source.nbytes == 120


class Counted:
    """A source that counts the bytes that are read from it."""

    def __init__(self, source):
        self.source, self.nbytes = source, 0

    def __getattr__(self, name):
        return getattr(self.source, name)

    def read_ranges(self, starts, stops):
        self.nbytes += sum(stops) - sum(starts)
        return self.source.read_ranges(starts, stops)


@pytest.mark.parametrize("codec", ["GZIP_1", "GZIP_2", "RICE_1"])
def test_compressed_tables_with_variable_arrays(codec):
    counts = [3, 0, 40, 1, 900]
    code = "I" if codec == "RICE_1" else "E"
    pairs, _, cells = variable(code, counts, RNG)
    heap, rows = b"", []
    for first in (0, 2, 4):  # tiles of two rows: descriptors of the arrays, then those of the compressed ones
        packed = []
        for cell in cells[first : first + 2]:
            raw = cell.tobytes()
            encoded = encode(raw, code, codec) if raw else b""
            encoded = raw if len(encoded) >= len(raw) else encoded  # stored as they are if that is shorter
            packed.append((len(encoded), len(heap)))
            heap += encoded
        blob = gzip.compress(pairs[first : first + 2].tobytes() + np.array(packed, ">i8").tobytes())
        rows.append((len(blob), len(heap)))
        heap += blob
    data = table(["1QB"], np.array(rows, ">i8").tobytes(), 3, heap, ZTABLE=True, ZTILELEN=2, ZNAXIS1=8, ZNAXIS2=5, ZFORM1=f"1P{code}(900)", ZCTYP1=codec)  # fmt: skip
    ours = source(data)
    for found, cell in zip(ours.read_column("c1", 0, 5), cells, strict=True):
        np.testing.assert_array_equal(found, cell)
    np.testing.assert_array_equal(ours.read_column("c1", 3, 4)[0], cells[3])
    assert [len(v) for v in ours.read_rows(Rows(1, 5)).column(0)] == counts[1:]
