"""What the footer of a Parquet file says of its column chunks, compared with its schema before pyarrow is asked for them.

``RowGroupMetaData.column`` of pyarrow (26, and those before) ends the process where a column chunk contradicts the schema: the C++ below it
throws where Python expects no exception. The footer is one structure in Thrift's compact protocol; numbers of fields are those of
``parquet.thrift``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scichunk.errors import FormatError
from scichunk.sources import ByteSource

__all__ = ["Leaf", "check_footer"]

Leaf = tuple[int, int, bool]
"""Of a stored column: its largest repetition and definition levels, and whether its values are texts (BYTE_ARRAY)."""

_TRAILER_BYTES: Final = 8
_MOST_DEPTH: Final = 32
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_WIDTHS: Final = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_ROW_GROUPS, _COLUMNS = 4, 1
_META_DATA, _ENCRYPTION = 3, 8
_SIZE_STATISTICS = 16
_TEXT_BYTES, _REPETITIONS, _DEFINITIONS = 1, 2, 3


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
    trailer = bytes(source.read_ranges([end - _TRAILER_BYTES], [end])[0])
    size = int.from_bytes(trailer[:4], "little")
    if trailer[4:] != b"PAR1" or size > end - _TRAILER_BYTES:
        msg = "no footer of Parquet at the end"
        raise FormatError(msg, url=source.url)
    start = end - _TRAILER_BYTES - size
    footer = bytes(source.read_ranges([start], [start + size])[0])
    try:
        _check_row_groups(_Compact(footer), leaves)
    except FormatError as error:
        raise error.at(url=source.url) from None
    except (IndexError, RecursionError):
        msg = "the footer of the Parquet data is cut"
        raise FormatError(msg, url=source.url) from None


def _check_row_groups(footer: _Compact, leaves: Sequence[Leaf]) -> None:
    for number, kind in footer.fields():
        if (number, kind) != (_ROW_GROUPS, _LIST):
            footer.skip(kind)
            continue
        for group, _ in enumerate(footer.items()):
            for field, form in footer.fields():
                if (field, form) == (_COLUMNS, _LIST):
                    _check_columns(footer, leaves, group)
                else:
                    footer.skip(form)


def _check_columns(footer: _Compact, leaves: Sequence[Leaf], group: int) -> None:
    count = 0
    for count, _ in enumerate(footer.items(), 1):
        leaf = leaves[count - 1] if count <= len(leaves) else None
        for number, kind in footer.fields():
            if (number, kind) == (_META_DATA, _STRUCT) and leaf is not None:
                _check_column(footer, leaf, f"column {count - 1} of row group {group}")
            elif number == _ENCRYPTION:
                msg = f"column {count - 1} of row group {group} of the Parquet data is encrypted"
                raise FormatError(msg)
            else:
                footer.skip(kind)
    if count != len(leaves):
        msg = f"row group {group} of the Parquet data has {count} columns, where the schema has {len(leaves)}"
        raise FormatError(msg)


def _check_column(footer: _Compact, leaf: Leaf, where: str) -> None:
    repetitions, definitions, is_text = leaf
    for number, kind in footer.fields():
        if (number, kind) != (_SIZE_STATISTICS, _STRUCT):
            footer.skip(kind)
            continue
        for field, form in footer.fields():
            most = {_REPETITIONS: repetitions, _DEFINITIONS: definitions}.get(field)
            if form in {_LIST, _SET} and most is not None:
                count = footer.skip_items()
                if count not in {0, most + 1}:
                    msg = f"{where} of the Parquet data counts {count} levels, where the schema has {most + 1}"
                    raise FormatError(msg)
            elif field == _TEXT_BYTES and not is_text:
                msg = f"{where} of the Parquet data counts the bytes of texts, where the schema has none"
                raise FormatError(msg)
            else:
                footer.skip(form)


class _Compact:
    """Reads a structure in Thrift's compact protocol; raises IndexError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a structure; whoever asks takes or skips its value."""
        number = 0
        while head := self._take_byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else _unzigzag(self._take_number())
            yield number, kind

    def items(self) -> Iterator[int]:
        """Kind of each item of a list; whoever asks takes or skips the item."""
        head = self._take_byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._take_number()
        if count > len(self._data):  # each takes a byte at least
            raise IndexError
        for _ in range(count):
            # In a list, unlike in a field, a truth value takes a byte.
            yield _BYTE if kind in {_TRUE, _FALSE} else kind

    def skip(self, kind: int) -> None:
        """Pass over a value."""
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
            self._skip_nested(kind)
            self._depth -= 1
        else:
            self._take_number()

    def _skip_nested(self, kind: int) -> None:
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
            self.skip_items()

    def skip_items(self) -> int:
        """Pass over the items of a list; returns how many they are."""
        count = 0
        for item in self.items():
            self.skip(item)
            count += 1
        return count

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _take_byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take_number(self) -> int:
        value = shift = 0
        while True:
            byte = self._take_byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7


def _unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)
