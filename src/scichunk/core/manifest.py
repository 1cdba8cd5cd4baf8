"""The chunk index: where in the file each native chunk lies, as numpy tables."""

from __future__ import annotations

import warnings
from dataclasses import InitVar, dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from scichunk.core.batches import Batch
from scichunk.core.grid import ChunkGrid

__all__ = ["BatchCodec", "ChunkManifest", "Codec", "EncodedChunk", "PartialCodec"]

Window = tuple[slice, ...]


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


@dataclass(frozen=True, slots=True)
class ChunkManifest:
    """What kerchunk and VirtualiZarr call a manifest. Chunks are numbered in C order of the grid."""

    grid: ChunkGrid
    dtype: np.dtype[np.generic]
    """Of the values handed out: native byte order."""
    codec: Codec
    starts: npt.NDArray[np.uint64]
    """First byte of each chunk."""
    lengths: npt.NDArray[np.uint64]
    """Encoded bytes of each chunk; 0 = absent, filled with ``fill``."""
    fill: int | float | complex = 0
    """Value of absent chunks."""
    part: str = ""
    """What the array is within the file, for errors: ``"page 0"``."""
    label: str = "chunk"
    """What the format calls a chunk: tile, strip."""
    noun: InitVar[str | None] = None
    """The former name of ``label``, which plug-ins may still give."""

    def __post_init__(self, noun: str | None) -> None:
        if noun is not None:
            warnings.warn("noun of ChunkManifest is called label now", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "label", noun)

    @property
    def cached_bytes(self) -> int:
        """Memory of its tables, of those of the codec, and of the borders of irregular chunks."""
        size, codec = self.starts.nbytes + self.lengths.nbytes, self.codec
        tables = [*self.grid.edges, *getattr(codec, "__dict__", {}).values()]
        tables += [getattr(codec, name) for name in getattr(codec, "__slots__", ())]
        for table in tables:
            if isinstance(table, np.ndarray):
                size += table.nbytes
        return size
