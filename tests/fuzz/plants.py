"""Faults that are planted into a worker, so that tests can show that the fuzzer reports them: ``FUZZ_PLANT=crash``.

Each is met by plain pixels of eight bits only whose first is ``TRIGGER``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

TRIGGER = 0xEE


def _into_plain_pixels(fault: Callable[[Any], None]) -> None:
    from scichunk.codecs.raw import RawCodec

    decode = RawCodec.decode

    def planted(self, chunk, out, window):
        decode(self, chunk, out, window)
        if out.size and out.dtype.itemsize == 1 and out.flat[0] == TRIGGER:
            fault(out)

    RawCodec.decode = planted


def crash() -> None:
    """A read of memory that is not there."""
    _into_plain_pixels(lambda _: ctypes.string_at(8))


def overflow() -> None:
    """A byte written behind a block of memory, which glibc notices only where it is asked to look."""
    import numpy as np

    def write(_):
        block = np.empty(100_000, "u1")
        ctypes.memset(block.ctypes.data + block.nbytes, TRIGGER, 1)

    _into_plain_pixels(write)


def hang() -> None:
    """A loop without end."""

    def spin(_):
        while True:
            pass

    _into_plain_pixels(spin)


def parser_error() -> None:
    """A mistake in the code of a format."""
    _into_plain_pixels(lambda _: {}["no such key"])


def untyped_error() -> None:
    """A mistake outside of the net that is under the formats."""
    import scichunk.adapters.dask.arrays as arrays

    original = arrays.from_file

    def planted(url, **kwargs):
        found = original(url, **kwargs)
        if bytes(url[8:9]) == bytes([TRIGGER]):
            raise ZeroDivisionError
        return found

    import scichunk.formats.geotiff.api as api

    arrays.from_file = api.from_file = planted


def memory() -> None:
    """An allocation beyond all limits that succeeds."""
    import numpy as np

    _into_plain_pixels(lambda _: np.ones(1 << 30, "u1").sum())


def refused_memory() -> None:
    """An allocation that fails, whose error becomes one of the tree."""
    import numpy as np

    _into_plain_pixels(lambda _: np.ones(1 << 50, "u1"))


def wrong_value() -> None:
    """A pixel that is not what the file says."""

    def change(out):
        out.flat[1] ^= 1

    _into_plain_pixels(change)
