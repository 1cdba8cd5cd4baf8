"""The chunk index: where in the file each native chunk lies, as numpy tables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Final, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.batches import Batch
from scichunk.core.grid import ChunkGrid
from scichunk.core.paged import Numbers, PagedTable, load_async, look_up
from scichunk.core.placing import bounding_slice
from scichunk.core.selection import Piece
from scichunk.sources.base import ByteSource

__all__ = [
    "NOWHERE", "BatchCodec", "ChunkManifest", "Codec", "EncodedChunk", "PartialCodec", "Pieces", "RunCodec", "bound_lengths",
    "most_encoded", "tell_outside",
]  # fmt: skip

Window = tuple[slice, ...]
Pieces = Sequence[bytes | memoryview]
"""Encoded bytes that do not lie together."""
Table = npt.NDArray[np.uint64] | PagedTable
_LEAST_ENCODED_BYTES: Final = 1 << 20
"""As many are read of any chunk if the tables say so."""
NOWHERE: Final = 1 << 62
"""Where chunks are said to begin whose place the format does not allow: reading one is an error, the others are read."""


def tell_outside(start: int, stop: int, size: int) -> str:
    """Say of a chunk that lies outside the file where it is said to lie."""
    if start >= NOWHERE:
        return "the file says no possible place for it"
    return f"lies outside the file: bytes {start} to {stop} of {size}"


def most_encoded(nbytes: int) -> int:
    """Return the most encoded bytes that a chunk may need, by its decoded ones: ten times as many, as for libtiff."""
    return min(max(_LEAST_ENCODED_BYTES, 10 * nbytes + 4096), 1 << 62)


def bound_lengths(
    starts: npt.NDArray[np.uint64], lengths: npt.NDArray[np.uint64], most: int, source: ByteSource
) -> npt.NDArray[np.uint64]:
    """Return encoded bytes of chunks without what no chunk of their size needs.

    A stream ends by itself, so that what follows it does no harm but to time and memory: a thousand small chunks may each be said to reach
    up to the end of a large file. Of chunks that lie outside the file all is returned, since that is an error.
    """
    if not lengths.size or int(lengths.max()) <= most:  # nearly always
        return lengths
    there = starts + lengths <= source.fingerprint.size
    return np.where(there, np.minimum(lengths, np.uint64(most)), lengths)


class EncodedChunk(NamedTuple):
    """The bytes of one native chunk, and what a codec must know of it beside them."""

    data: memoryview
    """The encoded chunk, or the part of it that :meth:`PartialCodec.subrange` asked for."""
    shape: tuple[int, ...]
    """Shape of the decoded chunk, clipped to the array."""
    number: int = 0
    """Number of the chunk in C order of the grid, for codecs that have parameters for each chunk."""
    skipped: int = 0
    """Bytes of the chunk that lie before ``data``; 0 unless the codec has a ``subrange``."""


class Codec(Protocol):
    """Bytes of one native chunk to pixels; re-entrant, releases the GIL where there is work, checks every size."""

    @property
    def name(self) -> str:
        """For people: ``"DEFLATE, predictor 2"``."""
        ...

    @property
    def partial(self) -> bool:
        """Whether a window of a chunk costs (nearly) only that window, so that decoded chunks need not be kept."""
        ...

    def decode(self, chunk: EncodedChunk, out: npt.NDArray[np.generic], window: Window) -> None:
        """Decode a window of a chunk.

        Parameters
        ----------
        chunk
            The encoded chunk.
        out
            Where the window goes; any strides, native byte order.
        window
            Ascending slices within ``chunk.shape``, steps allowed.

        Raises
        ------
        FormatError
            If the bytes are corrupt or too few.
        """
        ...


class PartialCodec(Codec, Protocol):
    """A codec that needs only some bytes of a chunk for a window of it."""

    def subrange(self, shape: tuple[int, ...], window: Window) -> tuple[int, int] | None:
        """Bytes of the encoded chunk, relative to its start, that a window needs; None for all."""
        ...


@runtime_checkable
class BatchCodec(Protocol):
    """A codec for formats of many small chunks, that decodes all chunks of a region in few calls."""

    def decode_batch(
        self,
        batch: Batch,
        data: npt.NDArray[np.uint8],
        offsets: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        out: npt.NDArray[np.generic],
    ) -> None:
        """Decode chunks to their places.

        Parameters
        ----------
        batch
            Which chunks, and the window of each that is wanted.
        data
            Encoded bytes; chunk ``i`` is ``data[offsets[i] : offsets[i] + lengths[i]]``.
        out
            The region; C-contiguous.

        Raises
        ------
        FormatError
            If a chunk is corrupt; ``part`` names it.
        """
        ...


class RunCodec(Protocol):
    """A codec that decodes several small chunks by one call, of arrays whose chunks lie in pieces."""

    def decode_run(self, numbers: Sequence[int], data: Sequence[Pieces], out: npt.NDArray[Any]) -> bool:
        """Decode whole chunks that lie side by side along the last axis; False where each must be decoded by itself.

        Parameters
        ----------
        numbers
            Of the chunks.
        data
            Encoded bytes of each.
        out
            Where they go; undefined afterwards where they were not decoded.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChunkManifest:
    """What kerchunk and VirtualiZarr call a manifest. Chunks are numbered in C order of the grid."""

    grid: ChunkGrid
    dtype: np.dtype[np.generic]
    """Of the values handed out: native byte order."""
    codec: Codec
    starts: Table
    """First byte of each chunk."""
    lengths: Table
    """Encoded bytes of each chunk; 0 = absent, filled with ``fill``. Both tables are in memory, or both stay in the file."""
    fill: int | float | complex | npt.NDArray[Any] = 0
    """Value of absent chunks; or a value for each position along the first axis."""
    part: str = ""
    """What the array is within the file, for errors: ``"page 0"``."""
    label: str = "chunk"
    """What the format calls a chunk: tile, strip."""
    noun: InitVar[str | None] = None
    """The former name of ``label``, which plug-ins may still give."""
    most: int | None = None
    """Most encoded bytes of a chunk, see :func:`bound_lengths`, where the tables stay in the file; None: as many as they say."""

    def __post_init__(self, noun: str | None) -> None:
        if noun is not None:
            warnings.warn("noun of ChunkManifest is called label now", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "label", noun)

    @property
    def paged(self) -> tuple[PagedTable, PagedTable] | None:
        """The two tables where they stay in the file; None where they are in memory."""
        if isinstance(self.starts, PagedTable) and isinstance(self.lengths, PagedTable):
            return self.starts, self.lengths
        return None

    def places(self, numbers: Numbers) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return first bytes and lengths of some chunks.

        Raises
        ------
        SourceError
            If pages of tables that stay in the file cannot be read.
        """
        paged = self.paged
        if paged is None:
            starts, lengths = cast("tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]", (self.starts, self.lengths))
            return starts[numbers], lengths[numbers]
        starts, lengths = look_up(paged, numbers)
        return starts, lengths if self.most is None else bound_lengths(starts, lengths, self.most, paged[0].source)

    def lookups(self, numbers: Sequence[int]) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """Return what gives first byte and length of some chunks by their numbers: the tables themselves where they are in memory."""
        if isinstance(self.starts, np.ndarray):  # for one chunk ten times faster than to pick from it
            return cast("tuple[Mapping[int, int], Mapping[int, int]]", (self.starts, self.lengths))
        starts, lengths = self.places(numbers)
        return dict(zip(numbers, starts.tolist(), strict=True)), dict(zip(numbers, lengths.tolist(), strict=True))

    def needed(self, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
        """Return the byte ranges that pieces of chunks need, where nothing is in the cache: for plans."""
        numbers, codec = [self.grid.flat(piece.chunk) for piece in pieces], self.codec
        starts, lengths = (table.tolist() for table in self.places(numbers))
        subrange, found = getattr(codec, "subrange", None), []
        for piece, start, length in zip(pieces, starts, lengths, strict=True):
            part = None
            if subrange is not None and codec.partial:
                edges = (self.grid.bounds(axis, i) for axis, i in enumerate(piece.chunk))
                part = subrange(tuple(b - a for a, b in edges), tuple(bounding_slice(s) for s in piece.source))
            first, last = part or (0, length)
            if length:
                found.append((start + first, start + min(last, length)))
        return found

    def fill_of(self, piece: Piece, points: tuple[int, ...] = ()) -> Any:
        """Return what goes into the output for a piece of an absent chunk, whose selection is pointwise on some axes."""
        if not isinstance(self.fill, np.ndarray):
            return self.fill
        picked, first = piece.source[0], self.grid.bounds(0, piece.chunk[0])[0]
        inside = np.arange(picked.start, picked.stop, picked.step) if isinstance(picked, slice) else picked
        # Points come first in the output, as one axis, and the other axes follow.
        before = 1 if points and 0 not in points else 0
        after = len(piece.source) - len(points) + bool(points) - before - 1
        return self.fill[first + inside].reshape((1,) * before + (-1,) + (1,) * after)

    async def load_async(self, numbers: Sequence[int]) -> None:
        """Fetch what :meth:`places` will want of tables that stay in the file, without blocking the event loop."""
        if self.paged:
            await load_async(self.paged, numbers)

    def totals(self) -> tuple[int, int] | None:
        """Return the encoded bytes of all chunks, and how many of them are absent.

        A table that stays in the file is read through; None where it is longer than ``options.max_header_bytes``.
        """
        if isinstance(self.lengths, PagedTable) and self.lengths.nbytes > options.get().max_header_bytes:
            return None
        parts = self.lengths.parts() if isinstance(self.lengths, PagedTable) else [self.lengths]
        stored = absent = 0
        for part in parts:
            stored += int(part.sum())
            absent += part.size - int(np.count_nonzero(part))
        return stored, absent

    @property
    def cached_bytes(self) -> int:
        """Memory of its tables, of those of the codec, and of the borders of irregular chunks."""
        size, codec = 0, self.codec
        tables = [self.starts, self.lengths, *self.grid.edges, *getattr(codec, "__dict__", {}).values()]
        tables += [getattr(codec, name) for name in getattr(codec, "__slots__", ())]
        for table in tables:
            if isinstance(table, np.ndarray):
                size += table.nbytes
        return size
