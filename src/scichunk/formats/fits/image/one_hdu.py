"""One HDU of a file, as a file: astropy reads all headers on its way to an HDU, which of many takes quadratic time."""

from __future__ import annotations

import io
import os
from typing import Any

from scichunk.formats.fits.structure import BLOCK_BYTES

__all__ = ["OneHDU"]


class OneHDU(io.RawIOBase):
    """An empty primary HDU, and behind it an extension of a file; or the primary HDU of the file.

    Parameters
    ----------
    path
        The file.
    start, stop
        Where the HDU is in it.
    """

    def __init__(self, path: str, start: int, stop: int) -> None:
        super().__init__()
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed with this one
        cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T", "END") if start else ()
        self._head = "".join(card.ljust(80) for card in cards).encode("ascii").ljust(BLOCK_BYTES if start else 0)
        self._start, self._at = start, 0
        self._size = len(self._head) + max(0, min(stop, os.fstat(self._file.fileno()).st_size) - start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it has positions."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as many bytes as are there."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        done = 0
        if self._at < len(self._head):
            part = self._head[self._at : self._at + count]
            view[: len(part)] = part
            done = len(part)
        while done < count:
            self._file.seek(self._start + self._at + done - len(self._head))
            found = self._file.readinto(view[done:count])
            if not found:
                break
            done += found
        self._at += done
        return done
