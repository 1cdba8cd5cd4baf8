"""Tables on their way into a file: rows are looked through before the header is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Looks", "spooled"]


class Looks(Protocol):
    """A column on its way into a file, whose form depends on the values that occur."""

    def look(self, array: Any) -> None:
        """Look at a batch of them."""
        ...


def spooled(batches: Iterator[pa.RecordBatch], fields: Sequence[Looks], spool: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Let the fields look at all rows, keep these in a temporary file, and give them back."""
    import pyarrow as pa

    writer = None
    for batch in batches:
        for field, array in zip(fields, batch.columns, strict=True):
            field.look(array)
        if writer is None:
            writer = pa.ipc.new_stream(spool, batch.schema)
        writer.write_batch(batch)
    if writer is None:
        return iter(())
    writer.close()
    spool.seek(0)
    return iter(pa.ipc.open_stream(spool))
