"""Tables on their way into a file: rows are looked through before the header is written, where that depends on them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from scichunk.core.tables import TableStream
from scichunk.errors import FormatError
from scichunk.sources.output import open_output, scratch_folder

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnWriter", "append", "check_ends", "write_rows"]

_ROWS: Final = 1 << 16
"""Most rows that are turned into bytes at once."""
_COPIED_BYTES: Final = 1 << 20


class ColumnWriter(Protocol):
    """A column on its way into a file, whose form may depend on the values that occur."""

    @property
    def settled(self) -> bool:
        """Whether its form is known before its values are."""
        ...

    def observe(self, array: Any) -> None:
        """Look at a batch of values."""
        ...

    def settle(self) -> None:
        """Decide on the form, once all have been looked at."""
        ...


@contextlib.contextmanager
def write_rows(
    stream: TableStream,
    path: str | os.PathLike[str],
    columns: Sequence[ColumnWriter],
    *,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> Iterator[tuple[IO[bytes], IO[bytes], Iterator[pa.RecordBatch]]]:
    """Open a file for a table, let its columns decide on their form, and give its rows.

    Rows come once. If a column must see all of them before its form is known, they are kept in a temporary file meanwhile.

    Parameters
    ----------
    stream
        The table.
    path, overwrite, storage_options
        See :func:`scichunk.sources.output.open_output`.
    columns
        One writer for each column.

    Yields
    ------
    tuple of binary file, binary file, iterator of pyarrow.RecordBatch
        The file, which is there only if nothing is raised; a temporary file beside it; and the rows, at most 65,536 at a time.
    """
    folder = scratch_folder(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_output(path, overwrite=overwrite, storage_options=storage_options))
        batches: Iterator[pa.RecordBatch] = iter(stream.batches)
        if not all(column.settled for column in columns):
            batches = _observe_rows(batches, columns, stack.enter_context(tempfile.TemporaryFile(dir=folder)))
        for column in columns:
            column.settle()
        aside = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        parts = (batch.slice(first, _ROWS) for batch in batches for first in range(0, batch.num_rows, _ROWS))
        yield file, aside, parts


def check_ends(texts: pa.Array, name: str) -> None:
    """Raise FormatError for a text with a NUL in it: that ends a text in FITS and in VOTable, so that the rest would be lost.

    Parameters
    ----------
    texts
        Array of strings.
    name
        Of the column.
    """
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(texts, "\0")).as_py():
        msg = "a text with a NUL in it would end there"
        raise FormatError(msg, part=f"column {name!r}")


def append(file: IO[bytes], aside: IO[bytes]) -> None:
    """Copy what was written aside to the end of a file."""
    aside.seek(0)
    while piece := aside.read(_COPIED_BYTES):
        file.write(piece)


def _observe_rows(
    batches: Iterator[pa.RecordBatch], columns: Sequence[ColumnWriter], spool: IO[bytes]
) -> Iterator[pa.RecordBatch]:
    """Let the columns look at all rows, keep these in a temporary file, and give them back."""
    import pyarrow as pa

    writer = None
    for batch in batches:
        for column, array in zip(columns, batch.columns, strict=True):
            column.observe(array)
        if writer is None:
            writer = pa.ipc.new_stream(spool, batch.schema)
        writer.write_batch(batch)
    if writer is None:
        return iter(())
    writer.close()
    spool.seek(0)
    return iter(pa.ipc.open_stream(spool))
