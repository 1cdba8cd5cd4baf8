"""VOTables whose sizes are lies: typed errors before anything is allocated, multiplied or walked."""

import struct

import pytest

import scichunk
from scichunk.errors import LimitExceeded
from tests.children import outcomes
from tests.votable_docs import binary

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


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
def test_counts_times_sizes_beyond_64_bits(kind):
    # With the higher limit an item of that size passes, and the count must be compared before it is multiplied.
    reads = [f"scichunk.read_votable({cells(*cell, kind)!r}).compute()" for cell in LONG]
    assert set(outcomes(*reads)) <= {"LimitExceeded", "FormatError"}
    higher = [f"with scichunk.options.set(max_chunk_bytes=1 << 42):\n    {read}" for read in reads]
    assert outcomes(*higher) == ["FormatError"] * len(LONG)


@pytest.mark.parametrize("size", ["600000000", "600000000x*"])
def test_items_beyond_the_limit(size):
    with pytest.raises(LimitExceeded, match="max_chunk_bytes") as caught:
        scichunk.read_votable(cells(size, "int", 1)).compute()
    assert "field 'a'" in caught.value.part
    assert caught.value.url


def test_items_of_no_elements_are_no_division_by_zero():
    frame = scichunk.read_votable(binary(COUNT.pack(3) + COUNT.pack(7), ZERO).encode())
    assert frame.compute()["b"].tolist() == [7]


ZERO = '<FIELD name="a" datatype="int" arraysize="0x*"/><FIELD name="b" datatype="int"/>'
