"""The grid of native chunks: shapes and borders. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scichunk.core.limits import check_axes

__all__ = ["ChunkGrid"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """An array's shape and its native chunk borders; each axis regular or rectilinear."""

    shape: tuple[int, ...]
    """Length of each axis."""
    edges: tuple[int | IntArray, ...]
    """For each axis the chunk length (the last chunk may be shorter), or the ascending borders ``[0, ..., length]``."""

    counts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Number of chunks along each axis."""

    def __post_init__(self) -> None:
        check_axes("an array", len(self.shape))
        counts = []
        for length, edge in zip(self.shape, self.edges, strict=True):
            if isinstance(edge, int):
                if edge < 1 or length < 0:
                    msg = f"chunk length {edge} of an axis of {length}"
                    raise ValueError(msg)
                counts.append(-(-length // edge))
            elif edge[0] != 0 or edge[-1] != length or (np.diff(edge) <= 0).any():
                msg = "chunk borders must ascend from 0 to the length of the axis"
                raise ValueError(msg)
            else:
                counts.append(len(edge) - 1)
        object.__setattr__(self, "counts", tuple(counts))

    @property
    def size(self) -> int:
        """Number of chunks."""
        return math.prod(self.counts)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of the largest chunk."""
        return tuple(
            min(edge, length) if isinstance(edge, int) else int(np.diff(edge).max(initial=0))
            for length, edge in zip(self.shape, self.edges, strict=True)
        )

    def bounds(self, axis: int, index: int) -> tuple[int, int]:
        """First and one past the last position of a chunk along an axis."""
        edge = self.edges[axis]
        if isinstance(edge, int):
            return index * edge, min((index + 1) * edge, self.shape[axis])
        return int(edge[index]), int(edge[index + 1])

    def find(self, axis: int, position: int) -> int:
        """Index of the chunk that holds a position."""
        edge = self.edges[axis]
        return position // edge if isinstance(edge, int) else int(np.searchsorted(edge, position, side="right")) - 1

    def find_many(self, axis: int, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Vectorised :meth:`find`."""
        edge = self.edges[axis]
        return positions // edge if isinstance(edge, int) else np.searchsorted(edge, positions, side="right") - 1

    def flat(self, chunk: tuple[int, ...]) -> int:
        """Row-major number of a chunk, its row in a :class:`~scichunk.core.manifest.ChunkManifest`."""
        number = 0
        for index, count in zip(chunk, self.counts, strict=True):
            number = number * count + index
        return number
