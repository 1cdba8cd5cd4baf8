"""What the footer of a Parquet file says of its column chunks, compared with its schema before pyarrow is asked for them.

``RowGroupMetaData.column`` of pyarrow (26, and those before) ends the process where a column chunk contradicts the schema: the C++ below it
throws where Python expects no exception. The footer is one structure in Thrift's compact protocol; numbers of fields are those of
``parquet.thrift``. Readers that Thrift makes, as that of pyarrow, take items of a list that they know for what they expect, whatever the
list says of their kind, and pass over what they do not know by what it says: so does this one, else damage would be seen where pyarrow
sees none, and not where it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scichunk.errors import FormatError
from scichunk.sources import ByteSource

__all__ = ["Leaf", "check_footer"]

Leaf = tuple[int, int, bool]
"""Of a stored column: its largest repetition and definition levels, and whether its values are texts (BYTE_ARRAY)."""

_TRAILER_BYTES, _TAIL_BYTES = 8, 1 << 16
_MOST_DEPTH: Final = 32
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_WIDTHS: Final = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_INTEGERS: Final = {4, 5, 6}
_INTEGER: Final = 6
"""Of any width; and this is the kind of 64 bits."""
_ROW_GROUPS, _COLUMNS = 4, 1
_META_DATA, _ENCRYPTION = 3, 8
_SIZE_STATISTICS, _GEO_STATISTICS = 16, 17
_TEXT_BYTES, _REPETITIONS, _DEFINITIONS = 1, 2, 3
_ITEMS_OF_FILE: Final = {2: _STRUCT, 5: _STRUCT, 7: _STRUCT}
_ITEMS_OF_GROUP: Final = {4: _STRUCT}
_ITEMS_OF_COLUMN: Final = {2: _INTEGER, 3: _BINARY, 8: _STRUCT, 13: _STRUCT}
_ITEMS_OF_GEO_STATISTICS: Final = {2: _INTEGER}
"""Kinds of the items of lists that are in a structure, by field."""


def check_footer(source: ByteSource, leaves: Sequence[Leaf]) -> None:
    """Raise an error where pyarrow would end the process.

    Parameters
    ----------
    source
        The Parquet file, whose footer pyarrow has parsed.
    leaves
        The stored columns, by the schema.

    Raises
    ------
    FormatError
        If a row group has other columns than the schema, or a column chunk statistics of other levels, or is encrypted.
    """
    end = source.fingerprint.size
    tail = bytes(source.read_ranges([max(0, end - _TAIL_BYTES)], [end])[0])  # nearly all footers are in it
    size = int.from_bytes(tail[-_TRAILER_BYTES:-4], "little")
    if tail[-4:] != b"PAR1" or size > end - _TRAILER_BYTES:
        msg = "no footer of Parquet at the end"
        raise FormatError(msg, url=source.url)
    start = end - _TRAILER_BYTES - size
    if size + _TRAILER_BYTES <= len(tail):
        footer = tail[-_TRAILER_BYTES - size : -_TRAILER_BYTES]
    else:
        footer = bytes(source.read_ranges([start], [start + size])[0])
    try:
        _check_row_groups(_Compact(footer), leaves)
    except FormatError as error:
        raise error.at(url=source.url) from None
    except (IndexError, RecursionError):
        msg = "the footer of the Parquet data is cut, or not what it should be"
        raise FormatError(msg, url=source.url) from None


def _check_row_groups(footer: _Compact, leaves: Sequence[Leaf]) -> None:
    for number, kind in footer.fields():
        if (number, kind) != (_ROW_GROUPS, _LIST):
            footer.skip(kind, _ITEMS_OF_FILE.get(number))
            continue
        for group in range(footer.take_count()[0]):
            for field, form in footer.fields():
                if (field, form) == (_COLUMNS, _LIST):
                    _check_columns(footer, leaves, group)
                else:
                    footer.skip(form, _ITEMS_OF_GROUP.get(field))


def _check_columns(footer: _Compact, leaves: Sequence[Leaf], group: int) -> None:
    count, _ = footer.take_count()
    if count != len(leaves):
        msg = f"row group {group} of the Parquet data has {count} columns, where the schema has {len(leaves)}"
        raise FormatError(msg)
    for column, leaf in enumerate(leaves):
        where = f"column {column} of row group {group} of the Parquet data"
        for number, kind in footer.fields():
            if (number, kind) == (_META_DATA, _STRUCT):
                _check_column(footer, leaf, where)
            elif number == _ENCRYPTION:
                msg = f"{where} is encrypted"
                raise FormatError(msg)
            else:
                footer.skip(kind)


def _check_column(footer: _Compact, leaf: Leaf, where: str) -> None:
    for number, kind in footer.fields():
        if (number, kind) == (_SIZE_STATISTICS, _STRUCT):
            _check_sizes(footer, leaf, where)
        elif (number, kind) == (_GEO_STATISTICS, _STRUCT):
            for field, form in footer.fields():
                footer.skip(form, _ITEMS_OF_GEO_STATISTICS.get(field))
        else:
            footer.skip(kind, _ITEMS_OF_COLUMN.get(number))


def _check_sizes(footer: _Compact, leaf: Leaf, where: str) -> None:
    repetitions, definitions, is_text = leaf
    for number, kind in footer.fields():
        most = {_REPETITIONS: repetitions, _DEFINITIONS: definitions}.get(number)
        if kind == _LIST and most is not None:
            count = footer.skip_items(_INTEGER)
            if count not in {0, most + 1}:
                msg = f"{where} counts {count} levels, where the schema has {most + 1}"
                raise FormatError(msg)
        elif number == _TEXT_BYTES and not is_text:
            msg = f"{where} counts the bytes of texts, where the schema has none"
            raise FormatError(msg)
        else:
            footer.skip(kind)


class _Compact:
    """Reads a structure in Thrift's compact protocol; raises IndexError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a structure; whoever asks takes or skips its value."""
        number = 0
        while (head := self._take_byte()) & 15:
            step, kind = head >> 4, head & 15
            number = number + step if step else _unzigzag(self._take_number())
            yield number, kind

    def take_count(self) -> tuple[int, int]:
        """How many items a list has, and their kind by what it says."""
        head = self._take_byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._take_number()
        if count > len(self._data):  # each takes a byte at least
            raise IndexError
        # In a list, unlike in a field, a truth value takes a byte.
        return count, _BYTE if kind in {_TRUE, _FALSE} else kind

    def skip(self, kind: int, items: int | None = None) -> None:
        """Pass over a value; ``items``: of which kind those of a list are, if that is known."""
        if kind in {_TRUE, _FALSE}:
            return
        if kind == _BINARY:
            self._pass(self._take_number())
        elif kind in _WIDTHS:
            self._pass(_WIDTHS[kind])
        elif kind in {_LIST, _SET, _MAP, _STRUCT}:
            self._depth += 1
            if self._depth > _MOST_DEPTH:
                raise RecursionError
            self._skip_nested(kind, items if kind == _LIST else None)
            self._depth -= 1
        elif kind in _INTEGERS:
            self._take_number()
        else:
            raise IndexError

    def _skip_nested(self, kind: int, items: int | None) -> None:
        if kind == _STRUCT:
            for _, form in self.fields():
                self.skip(form)
        elif kind == _MAP:
            count = self._take_number()
            kinds = self._take_byte() if count else 0
            for _ in range(count):
                self.skip(_BYTE if kinds >> 4 in {_TRUE, _FALSE} else kinds >> 4)
                self.skip(_BYTE if kinds & 15 in {_TRUE, _FALSE} else kinds & 15)
        else:
            self.skip_items(items)

    def skip_items(self, items: int | None) -> int:
        """Pass over the items of a list, of a kind that is known or by what it says; returns how many they are."""
        count, kind = self.take_count()
        for _ in range(count):
            self.skip(kind if items is None else items)
        return count

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _take_byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take_number(self) -> int:
        value = 0
        for shift in range(0, 70, 7):  # ten bytes at most, as Thrift has it
            byte = self._take_byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise IndexError


def _unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)
