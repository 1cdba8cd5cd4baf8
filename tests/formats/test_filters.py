"""Filters of rows by columns of every type, with values of every kind."""

import io
import operator

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

import scichunk
from scichunk.adapters.dask.filters import check_filters, filter_rows
from scichunk.errors import UnsupportedFeature
from tests.votable_docs import one

WORDS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
INTEGERS = {
    "u8": [0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1],
    "i8": [-(2**63), -1, 0, 2**53, 2**53 + 1, 2**63 - 1],
    "u1": [0, 1, 2, 3, 254, 255],
    "i2": [-(2**15), -3, -2, 0, 5, 2**15 - 1],
}
OTHERS = [float("inf"), float("-inf"), float("nan"), 2.5, -2.5, 1.0, 2.0**63, 2.0**64, 2.0**53, 1e300, -1e300]
OTHERS += [2**63, 2**64, 2**70, -(2**63) - 1, np.uint64(2**64 - 1), np.float32(2.5), np.int8(-3), True]


def in_fits(*columns):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_compared_exactly_with_any_number(dtype):
    values = INTEGERS[dtype]
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.from_numpy_dtype(dtype))], ["a"])

    def filtered(word, value):
        check_filters(batch.schema, [[("a", word, value)]])
        kept, places = filter_rows(batch, [[("a", word, value)]])
        assert [values[i] for i in places] == kept["a"].to_pylist()
        return kept["a"].to_pylist()

    for value in [*values, *OTHERS]:
        plain = value.item() if isinstance(value, np.generic) else value  # Python compares numbers exactly
        for word, compare in WORDS.items():
            assert filtered(word, value) == [v for v in values if compare(v, plain)]
    wanted = [values[1], *OTHERS]
    plain = [v.item() if isinstance(v, np.generic) else v for v in wanted]
    assert filtered("in", wanted) == [v for v in values if v in plain]
    assert filtered("not in", wanted) == [v for v in values if v not in plain]


def test_unsigned_integers_of_64_bits():
    values = INTEGERS["u8"]
    data = in_fits(fits.Column("a", "K", bzero=2**63, array=np.array(values, "u8")))
    for word, value in (("==", 2**63 + 1), (">", 5), ("<", 2.5), ("in", [2**64 - 1, 2**64])):
        compare = WORDS.get(word, lambda v, wanted: v in wanted)
        found = scichunk.read_table(data, filters=[("a", word, value)]).compute().a.tolist()
        assert found == [v for v in values if compare(v, value)]


def test_nulls_compare_as_false():
    data = one("unsignedByte", "1", "", "3").encode()
    for word, value, expected in (("<", 1000, [1, 3]), (">", 1000, []), ("!=", 0.5, [1, 3]), ("in", [3, 2.5], [3])):
        assert scichunk.read_table(data, filters=[("a", word, value)]).compute().a.tolist() == expected


def test_columns_named_as_the_number_of_the_row():
    names = ["number of the row", "number of the row_", "b"]
    data = in_fits(*(fits.Column(name, "J", array=[1, 2, 1]) for name in names))
    found = scichunk.read_table(data, filters=[(names[0], "==", 1), (names[1], "in", [1, 7])]).compute()
    assert found.columns.tolist() == names
    assert found.index.tolist() == [0, 2]
    assert found[names[0]].tolist() == [1, 1]


@pytest.mark.parametrize("column", [("C", "complex"), ("2J", "several values"), ("PJ()", "several values")])
def test_columns_that_rows_cannot_be_chosen_by(column):
    code, words = column
    cells = np.array([[1, 2], [3, 4]]) if code == "2J" else np.array([1, 2])
    if code == "PJ()":
        cells = np.array([np.array([1], "i4"), np.array([1, 2], "i4")], object)
    data = in_fits(fits.Column("c", code, array=cells), fits.Column("d", "J", array=[1, 2]))
    with pytest.raises(UnsupportedFeature, match=f"'c', which has {words}") as caught:
        scichunk.read_table(data, filters=[("c", "==", 1)])
    assert caught.value.url
    assert len(scichunk.read_table(data, filters=[("d", "==", 1)]).compute()) == 1


@pytest.mark.parametrize(
    "wrong",
    [("n", "<", "x"), ("s", "<", 3), ("n", "in", ["x"]), ("n", "in", 3), ("s", "in", "ab"), ("n", "==", object())],
)
def test_values_that_a_column_cannot_be_compared_with(wrong):
    data = in_fits(fits.Column("n", "J", array=[1, 2]), fits.Column("s", "3A", array=["a", "b"]))
    with pytest.raises(TypeError, match="cannot be compared"):
        scichunk.read_table(data, filters=[wrong])


def test_values_that_are_given_once_choose_rows_of_each_partition():
    stars = in_fits(fits.Column("i", "J", array=np.arange(1000)))
    wanted = [3, 500, 999, 1001]
    for values in (iter(wanted), (v for v in wanted), map(int, wanted), range(3, 1000, 498), set(wanted)):
        found = scichunk.read_table(stars, filters=[("i", "in", values)], blocksize=400)
        assert found.npartitions > 5
        assert found.compute().i.tolist() in ([3, 500, 999], [3, 501, 999])


def test_a_size_of_partitions_that_is_infinite():
    with pytest.raises(ValueError, match="blocksize must be"):
        scichunk.read_table(in_fits(fits.Column("i", "J", array=np.arange(10))), blocksize="1e400")


@pytest.mark.parametrize("columns", [[], (), ["i", "i"], ["i", "I"], ["f", "i", "f"]])
def test_columns_are_named_once(columns):
    stars = in_fits(fits.Column("i", "J", array=np.arange(10)), fits.Column("f", "E", array=np.arange(10)))
    with pytest.raises(ValueError, match="each column that is wanted once"):
        scichunk.read_table(stars, columns=columns)
