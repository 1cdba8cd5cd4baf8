"""What the headers of a JPEG 2000 codestream say (ITU-T T.800, annexes A and B): sizes, coding styles, progressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError

__all__ = [
    "BLOCK_X",
    "BLOCK_Y",
    "COMPONENT",
    "DX",
    "DY",
    "HT_BLOCKS",
    "LEVELS",
    "PX",
    "PY",
    "RESOLUTION",
    "STEP",
    "Coding",
    "Component",
    "MainHeader",
    "Progression",
    "Size",
    "ceil_div",
]  # fmt: skip

COMPONENT, RESOLUTION, STEP, PX, PY, DX, DY, LEVELS, BLOCK_X, BLOCK_Y = range(10)
"""Columns of :attr:`MainHeader.resolutions`; STEP is how many times the resolution is halved."""


def ceil_div(a: int, b: int) -> int:
    """Ceiling of a quotient."""
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Component:
    """One component of SIZ."""

    bits: int
    signed: bool
    dx: int
    """Horizontal distance of samples on the reference grid (XRsiz)."""
    dy: int


@dataclass(frozen=True, slots=True)
class Size:
    """The marker segment SIZ (A.5.1): the image and its tiles on the reference grid."""

    x0: int
    y0: int
    x1: int
    y1: int
    tile_x: int
    tile_y: int
    tile_x0: int
    tile_y0: int
    components: tuple[Component, ...]

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return ceil_div(self.x1 - self.tile_x0, self.tile_x)

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return ceil_div(self.y1 - self.tile_y0, self.tile_y)

    def tile_bounds(self, number: int) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1) of a tile on the reference grid (B.3)."""
        row, column = divmod(number, self.across)
        x, y = self.tile_x0 + column * self.tile_x, self.tile_y0 + row * self.tile_y
        return max(x, self.x0), max(y, self.y0), min(x + self.tile_x, self.x1), min(y + self.tile_y, self.y1)


@dataclass(frozen=True, slots=True)
class Coding:
    """How a component is coded: COD and COC (A.6.1, A.6.2)."""

    levels: int
    block_x: int
    """Exponent of the width of code-blocks."""
    block_y: int
    block_style: int
    reversible: bool
    precincts: tuple[tuple[int, int], ...]
    """Exponents (x, y) by resolution."""


HT_BLOCKS: Final = 0x40
"""Style of code-blocks (ISO/IEC 15444-15, A.4): decoders go by it, whatever CAP says."""


@dataclass(frozen=True, slots=True)
class Progression:
    """One progression (A.6.6): resolutions and components half-open, layers from 0 to ``layers``."""

    order: str
    first_resolution: int
    first_component: int
    layers: int
    last_resolution: int
    last_component: int


@dataclass(frozen=True)
class MainHeader:
    """What the main header, or that of a tile, says."""

    size: Size
    order: str = "LRCP"
    layers: int = 1
    transform: bool = False
    """Whether the first three components are transformed together."""
    sop: bool = False
    eph: bool = False
    coding: Coding | None = None
    overrides: Mapping[int, Coding] = field(default_factory=dict)
    """By component: COC."""
    progressions: tuple[Progression, ...] = ()
    high_throughput: bool = False
    length: int = 0
    """Bytes before the first SOT."""
    kept: bytes = b""
    """Marker segments that every tile needs, those after SIZ."""
    siz: bytes = b""
    """The marker segment SIZ."""
    lengths: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 2), np.int64), repr=False, compare=False
    )
    """TLM (A.7.1): tile and length of each tile-part, tile -1 where it is not said."""
    packed: tuple[bytes, ...] = ()
    """PPM (A.7.4): packet headers of each tile-part, in file order."""
    comments: tuple[str, ...] = ()
    relocated: bool = False
    """Whether packet headers are in PPM or PPT."""

    def coding_of(self, component: int) -> Coding:
        """How a component is coded."""
        found = self.overrides.get(component, self.coding)
        if found is None:
            msg = "the codestream says nothing of its coding (no COD)"
            raise FormatError(msg)
        return found

    @cached_property
    def resolutions(self) -> npt.NDArray[np.int64]:
        """Table of all resolutions of all components: how they are halved and cut to precincts."""
        rows = []
        for i, part in enumerate(self.size.components):
            c = self.coding_of(i)
            for r, (px, py) in enumerate(c.precincts):
                rows.append((i, r, c.levels - r, px, py, part.dx, part.dy, c.levels, c.block_x, c.block_y))
        return np.array(rows, np.int64)

    @property
    def levels(self) -> int:
        """How many times every component can be halved."""
        return min(self.coding_of(c).levels for c in range(len(self.size.components)))

    @property
    def lossless(self) -> bool:
        """Whether every component is coded reversibly."""
        return all(self.coding_of(c).reversible for c in range(len(self.size.components)))
