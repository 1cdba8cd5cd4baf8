"""Rows of BINARY and BINARY2 streams whose cells all have one size: any of them is found by arithmetic (VOTable 1.5, sections 5.3, 5.4)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.core.cache import cached_bytes
from scichunk.core.tables import Rows
from scichunk.errors import LimitExceeded, located
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.rows.base64_stream import ByteStream
from scichunk.formats.votable.values.column_part import ColumnPart
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy, Report
from scichunk.formats.votable.values.from_bytes import cell_bytes, convert_bytes

__all__ = ["MOST_PARTITIONS", "PIECE_BYTES", "BinaryRows", "FixedRows", "Parts"]

MOST_PARTITIONS: Final = 1 << 20
PIECE_BYTES: Final = 1 << 20
_MOST_PIECE_BYTES: Final = 1 << 26
_BYTES_A_FIELD: Final = 512
"""Of a piece: that of very many fields has as many rows as are worth the calls to decode them."""
Bytes = npt.NDArray[np.uint8]
Parts = list[list[ColumnPart]]


class BinaryRows:
    """What both kinds share."""

    def __init__(
        self,
        stream: ByteStream,
        fields: Sequence[Field],
        diagnostics: Diagnostics,
        *,
        masked: bool,
        declared: int | None,
    ) -> None:
        self.stream, self.fields, self.diagnostics, self.url = stream, tuple(fields), diagnostics, diagnostics.url
        self.declared = declared
        self.masks = (len(self.fields) + 7) // 8 if masked else 0
        sizes = [cell_bytes(f) for f in self.fields]
        self.bits = np.array([s[0] for s in sizes], np.int64)
        self.numbers = np.array([s[1] for s in sizes], np.int64)
        wide = min(_BYTES_A_FIELD * len(self.fields), _MOST_PIECE_BYTES, options.get().max_chunk_bytes // 4)
        self.piece = max(PIECE_BYTES, wide, 0 if stream.near else min(stream.batch_bytes, 1 << 25))

    @property
    def cached_bytes(self) -> int:
        """Memory of the stream."""
        return cached_bytes(self.stream)

    @property
    def nbytes(self) -> int:
        """Encoded bytes."""
        return self.stream.stored

    def part_of(
        self, column: int, raw: Any, counts: Any = None, *, flags: Bytes, policy: Policy, first: int
    ) -> ColumnPart:
        """Convert the bytes of one field, and mark its nulls; ``flags``: null flags of the rows, shape (rows, masks)."""
        field = self.fields[column]
        report = Report(field.name, policy, self.diagnostics, lambda i: f"row {first + i}")
        with located(url=self.url, part=f"{self.diagnostics.part}, field {field.name!r}"):
            part = convert_bytes(field, raw, counts, flags.shape[0], report)
        if self.masks:
            null = flags[:, column >> 3] & (128 >> (column & 7)) != 0
            if null.any():
                part.row_null = null if part.row_null is None else part.row_null | null
        return part

    def report_leftover(self, rows: int, bytes_left: int, policy: Policy) -> None:
        """Say what is behind the last whole row, or what is missing."""
        if bytes_left and self.declared != rows:
            what = f"the stream ends within row {rows}, {bytes_left} bytes after its beginning: it is truncated"
            with located(url=self.url):
                self.diagnostics.refuse(policy, "partial row", "", f"row {rows}", what)
        elif bytes_left:
            self.diagnostics.add("partial row", "", 1, f"row {rows}")
        elif self.declared is not None and self.declared != rows:
            self.diagnostics.add("rows", "", abs(self.declared - rows), f"{rows} rows, declared {self.declared}")


class FixedRows(BinaryRows):
    """Rows of one size: every row is found by arithmetic."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        sizes = (self.bits * self.numbers + 7) // 8
        self.starts = (self.masks + np.cumsum(sizes) - sizes).tolist()
        self.sizes = sizes.tolist()
        self.width = int(self.masks + sizes.sum())
        if self.declared is not None and self.declared * self.width == self.stream.size:
            self.stream.trust()
        if self.width > options.get().max_chunk_bytes:
            msg = f"rows of {self.width} bytes (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.url, part=self.diagnostics.part)

    @property
    def n_rows(self) -> int | None:
        """Number of rows."""
        return self.stream.size // self.width if self.width else 0

    def count_rows(self) -> int:
        """Return the number of rows."""
        return int(self.n_rows or 0)

    def row_group(self) -> int:
        """Rows of some MB."""
        return max(1, (1 << 22) // max(1, self.width))

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut into equal numbers of rows."""
        rows = self.count_rows()
        size = max(1, int(min(nbytes, 1 << 30) * (self.stream.size / max(1, self.stream.stored))) // max(1, self.width))
        count = max(1, min(-(-rows // size), MOST_PARTITIONS))
        cuts = [rows * i // count for i in range(count + 1)]
        return [Rows(a, b) for a, b in itertools.pairwise(cuts)]

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        """Decode rows; for each wanted field its parts."""
        ways.announce("binary", (rows.stop - rows.start) * self.width)
        self.stream.prove(rows.stop * self.width)
        total = self.count_rows()
        if rows.stop >= total:
            self.report_leftover(total, self.stream.size - total * self.width, policy)
        parts: Parts = [[] for _ in wanted]
        step = max(1, self.piece // max(1, self.width))
        stop = min(rows.stop, total)
        for first in range(rows.start, stop, step):
            count = min(step, stop - first)
            data = self.stream.read(first * self.width, (first + count) * self.width).reshape(count, self.width)
            flags = data[:, : self.masks]
            for slot, column in enumerate(wanted):
                at = self.starts[column]
                raw = data[:, at : at + self.sizes[column]]
                parts[slot].append(self.part_of(column, raw, flags=flags, policy=policy, first=first))
        return parts
