"""FITS tables, binary, ASCII and compressed, as a :class:`~scichunk.core.tables.TableSource`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.core.cache import cached_bytes, key_of, tiles
from scichunk.core.limits import check_decoded
from scichunk.core.tables import Rows, TableSource
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.fits.image.nodes import card_attributes
from scichunk.formats.fits.structure import HDU
from scichunk.formats.fits.table.columns import column_of, header_attrs
from scichunk.formats.fits.table.keywords import is_column_keyword
from scichunk.formats.fits.table.layout import TableField, read_layout
from scichunk.formats.fits.table.rows import Block, decoded_bytes, plain_blocks, rows_in_group
from scichunk.formats.fits.table.sinks import Sink, arrow_sink, numpy_sink
from scichunk.formats.fits.table.tiles import tiled_blocks
from scichunk.sources import ByteSource
from scichunk.sources.memory import CachedRangesSource
from scichunk.tables.arrow import rows_alone
from scichunk.tables.nulls import REFUSED, Fill, find_fills

__all__ = ["FITSTable"]

_CHUNK_BYTES: Final = 1 << 22
"""Bytes of rows that make a native chunk of a column."""
_SEARCHED_BYTES: Final = 1 << 25
"""Bytes of a file on this machine whose logicals are looked through for undefined ones when a dataset is made."""
_MOST_EXPANSION: Final = 16
"""How many times as many bytes they may be once they are decoded."""
_MOST_PARTS: Final = 1 << 20


class FITSTable:
    """One table.

    Parameters
    ----------
    source
        The file; any bytes with random access.
    hdu
        A table of it.

    Raises
    ------
    FormatError, UnsupportedFeature, LimitExceeded
        If its header is impossible, of a form that is not known, or beyond any file.
    """

    reader = "indexed"
    ignores_case = True
    """Names of columns are compared without regard to case (FITS 4.0, sections 7.2.2 and 7.3.2)."""

    def __init__(self, source: ByteSource, hdu: HDU) -> None:
        self.source, self.hdu = source, hdu
        self._fetching = threading.Lock()
        self._searching = threading.Lock()
        self._fills: dict[str, Fill] | None = None
        self.layout = read_layout(hdu)
        self.n_rows = self.layout.rows
        attributes = header_attrs(hdu.cards, self.layout.fields)
        self.columns = tuple(column_of(f, a) for f, a in zip(self.layout.fields, attributes, strict=True))

    @property
    def cached_bytes(self) -> int:
        """Memory of the source."""
        return cached_bytes(self.source)

    @cached_property
    def schema(self) -> Any:
        """The schema of the record batches."""
        import pyarrow as pa

        return pa.schema([(c.name, c.type) for c in self.columns])

    @property
    def row_group(self) -> int:
        """Rows of about 4 MB, or of a tile."""
        return self.layout.tile_rows or rows_in_group(self.layout, self.layout.fields, _CHUNK_BYTES)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows and the heap."""
        return self.hdu.nbytes

    @property
    def codec(self) -> str:
        """For people."""
        if self.layout.tile_rows:
            return ", ".join(dict.fromkeys(f.codec for f in self.layout.fields))
        return "ASCII table" if self.layout.ascii else "binary table"

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Cards that do not belong to columns."""
        return self._attributes

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        found = card_attributes(self.hdu.cards)
        return {key: value for key, value in found.items() if not is_column_keyword(key)}

    def find_fills(self) -> dict[str, Fill]:
        """What becomes of undefined logicals in arrays, by column: a value, or an error where none was found, or the file is too long."""
        with self._searching:
            if self._fills is None:
                limit = options.get().scan_bytes
                limit = max(limit, _SEARCHED_BYTES) if self.source.is_cheap else limit
                fields = [f for f in self.layout.fields if f.code == "L" and f.cell is not None]
                names = [f.name for f in fields]
                # by the size of the file, not of the table: opening a tree of many tables must not read them all. Tiles that are
                # compressed may be far larger, and may share their bytes
                decoded = self.layout.rows * sum(f.width for f in fields)
                few = self.source.fingerprint.size <= limit and decoded <= _MOST_EXPANSION * limit
                self._fills = dict.fromkeys(names, REFUSED)
                if few:
                    self._fills |= find_fills(cast("TableSource", self), names)
            return self._fills

    def count_rows(self) -> int:
        """Return NAXIS2 (ZNAXIS2)."""
        return self.layout.rows

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut into rows of about ``nbytes``, tiles being kept whole; rows that are not in the file are one partition."""
        layout = self.layout
        if layout.tile_rows:
            tiles = nbytes * max(1, layout.tiles) // max(1, self.hdu.nbytes)
            each, there = layout.tile_rows * max(1, tiles), layout.rows
        else:
            each = rows_in_group(layout, layout.fields, nbytes)
            # A file that is cut gives the rows that it has; the partition of the others says so when it is read.
            there = min(layout.rows, max(0, self.source.fingerprint.size - layout.data) // max(1, layout.width))
            there = there if layout.width else layout.rows
        each = max(each, -(-layout.rows // _MOST_PARTS))
        cuts = [*range(0, there, each), there]
        parts = [Rows(a, b) for a, b in itertools.pairwise(cuts) if b > a]
        if there < layout.rows:
            parts.append(Rows(there, layout.rows))
        return parts or [Rows(0, 0)]

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch."""
        import pyarrow as pa

        fields = list(self.layout.fields) if columns is None else [self._find_field(name) for name in columns]
        size = rows.stop - rows.start
        self._check_rows(fields, rows.start, rows.stop)
        arrays = self._read_fields(fields, rows.start, rows.stop, [arrow_sink(f, size) for f in fields])
        schema = self.schema if columns is None else pa.schema([self.schema.field(f.name) for f in fields])
        if not fields:
            return rows_alone(size)
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values; undefined logicals are False, unless :meth:`find_fills` are applied."""
        field = self._find_field(name)
        column = self.columns[field.number - 1]
        form = column.raw if raw and column.raw is not None else column
        self._check_rows([field], start, stop)
        sink = numpy_sink(field, stop - start, form, raw=raw)
        found: npt.NDArray[Any] = self._read_fields([field], start, stop, [sink], self._near_source())[0]
        return found

    def _near_source(self) -> ByteSource:
        """The file, or the table in memory if it is small and far away: the next column needs the same bytes."""
        first, last = self.hdu.data, min(self.hdu.data + self.hdu.nbytes, self.source.fingerprint.size)
        if self.source.is_cheap or last - first > options.get().cached_tile_bytes // 4:
            return self.source
        key = (key_of(self.source), "fits table", first)
        # Threads that want other columns of the same small table wait for one request, instead of making it again.
        with self._fetching:
            table_bytes = tiles.get(key)
            if table_bytes is None:
                table_bytes = tiles.put(
                    key, np.frombuffer(bytes(self.source.read_ranges([first], [last])[0]), np.uint8)
                )
        return CachedRangesSource(self.source, first, cast("npt.NDArray[np.uint8]", table_bytes).data)

    def _read_fields(
        self,
        fields: Sequence[TableField],
        start: int,
        stop: int,
        sinks: Sequence[Sink],
        source: ByteSource | None = None,
    ) -> list[Any]:
        distinct = list({f.number: f for f in fields}.values())
        with located(url=self.source.url, part=f"HDU {self.hdu.index}"):
            ways.announce("fits table", sum(f.width for f in distinct) * (stop - start))
            size = 0
            for block in self._iterate_blocks(source or self.source, distinct, start, stop):
                size += sum(decoded_bytes(f, block.heaps[f.number].counts) for f in distinct if f.number in block.heaps)
                check_decoded(f"arrays of variable length in rows {start} to {stop}", size)
                for sink in sinks:
                    sink.put(block, block.start - start)
            return [sink.finish() for sink in sinks]

    def _iterate_blocks(
        self, source: ByteSource, fields: Sequence[TableField], start: int, stop: int
    ) -> Iterator[Block]:
        if stop <= start or not fields:
            return iter(())
        if self.layout.tile_rows:
            return tiled_blocks(source, self.layout, fields, start, stop)
        return plain_blocks(source, self.layout, fields, start, stop)

    def _find_field(self, name: str) -> TableField:
        for field in self.layout.fields:
            if field.name == name:
                return field
        alike = [field for field in self.layout.fields if field.name.upper() == name.upper()]
        if len(alike) == 1:
            return alike[0]
        msg = f"there is no column {name!r}"
        raise FormatError(msg, url=self.source.url, part=f"HDU {self.hdu.index}")

    def _check_rows(self, fields: Sequence[TableField], start: int, stop: int) -> None:
        """Refuse rows that are not there or too many at once, before anything is allocated for them."""
        part = f"HDU {self.hdu.index}"
        if not 0 <= start <= stop <= self.layout.rows:
            msg = f"rows {start} to {stop} of {self.layout.rows}"
            raise FormatError(msg, url=self.source.url, part=part)
        if not self.layout.tile_rows and self.layout.data + stop * self.layout.width > self.source.fingerprint.size:
            there = max(0, (self.source.fingerprint.size - self.layout.data) // max(1, self.layout.width))
            msg = f"the file ends in row {there} of {self.layout.rows}"
            raise FormatError(msg, url=self.source.url, part=f"{part}, row {max(start, there)}")
        size = max((_decoded_bytes(f) for f in fields), default=0) * (stop - start)
        limit = options.get().max_chunk_bytes
        if size > limit:
            msg = f"{stop - start} rows have columns of {size} bytes, more than {limit} (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.source.url, part=part)


def _decoded_bytes(field: TableField) -> int:
    """Bytes of one row of a column in memory."""
    # Bits become bytes, scaled integers of a byte doubles, and characters 32 bits of NumPy's texts.
    return max(1, field.width * (8 if field.code == "X" or field.scaled else 4 if field.code == "A" else 1))
