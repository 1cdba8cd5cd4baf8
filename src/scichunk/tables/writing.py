"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from scichunk.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Looks", "atomic_write", "spooled"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing under a temporary name beside ``path``; rename it when all went well, remove it when not.

    Parameters
    ----------
    path
        On this machine.
    overwrite
        Replace a file that is there.

    Yields
    ------
    binary file
        Seekable, writable and readable.

    Raises
    ------
    SourceError
        If there is a file already, or it cannot be written.
    """
    target = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if not overwrite and os.path.lexists(target):
        msg = "the file exists already; overwrite=True replaces it"
        raise SourceError(msg, url=target)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:64]}-{secrets.token_hex(6)}.part")
    try:
        number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        msg = f"cannot be written: {error.strerror}"
        raise SourceError(msg, url=target) from error
    try:
        with os.fdopen(number, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        if isinstance(error, SourceError):
            raise
        msg = f"cannot be written: {error.strerror or error}"
        raise SourceError(msg, url=target) from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


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
