"""An array whose native chunks go through a function as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.adapters.files import work_together
from scichunk.buffers import allocate_result
from scichunk.core.grid import ChunkGrid
from scichunk.core.placing import assign_selection, take_selection
from scichunk.core.selection import Piece, outer_pieces, parse_key

__all__ = ["MappedArray"]

Array = npt.NDArray[Any]


class MappedArray:
    """What a function makes of each native chunk of another array.

    Parameters
    ----------
    reader
        The other array.
    function
        Called with one native chunk at a time; returns an array of the same shape.
    keywords
        Its further arguments.
    dtype
        Type of what it returns.
    """

    __slots__ = ("dtype", "function", "keywords", "reader")

    def __init__(
        self, reader: Any, function: Callable[..., Any], keywords: Mapping[str, Any], dtype: np.dtype[Any]
    ) -> None:
        self.reader, self.function, self.keywords, self.dtype = reader, function, dict(keywords), dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.reader.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def grid(self) -> ChunkGrid:
        """Native chunks."""
        found: ChunkGrid = self.reader.grid
        return found

    @property
    def is_remote(self) -> bool:
        """Whether the files lie elsewhere than on this machine."""
        return bool(self.reader.is_remote)

    def __getitem__(self, key: Any) -> Array:
        region = parse_key(key, self.shape)
        out = allocate_result(region.shape, self.dtype)
        pieces = outer_pieces(self.grid, region.axes)
        work_together(lambda n: self._put(pieces[n], out), range(len(pieces)), remote=self.is_remote)
        return out if region.plain else out[region.finish]

    def _put(self, piece: Piece, out: Array) -> None:
        """Read a whole chunk, whatever is wanted of it: the function may look at all of it."""
        bounds = (self.grid.bounds(axis, i) for axis, i in enumerate(piece.chunk))
        chunk = self.reader[tuple(slice(*b) for b in bounds)]
        made = np.asarray(self.function(chunk, **self.keywords))
        if made.shape != chunk.shape:
            msg = f"the function made an array of shape {made.shape} of a chunk of shape {chunk.shape}; they must be equal"
            raise ValueError(msg)
        if made.dtype != self.dtype and not np.can_cast(made.dtype, self.dtype, "same_kind"):
            msg = f"the function made values of type {made.dtype}, and not of {self.dtype} as it was expected: give dtype="
            raise ValueError(msg)
        assign_selection(out, piece.target, take_selection(made, piece.source, ()))

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        from dask.base import normalize_token

        parts = (self.reader, self.function, self.keywords)
        return ("scichunk-mapped", *(normalize_token(part) for part in parts), str(self.dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedArray, (self.reader, self.function, self.keywords, self.dtype)
