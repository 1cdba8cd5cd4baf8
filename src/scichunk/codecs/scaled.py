"""Uncompressed chunks whose values are scaled on the way to the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from scichunk.codecs.raw import RawCodec
from scichunk.codecs.scaling import Scaling

__all__ = ["ScaledCodec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledCodec(RawCodec):
    """A :class:`RawCodec` with scaling."""

    scaling: Scaling

    def put(self, out: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Scale while copying."""
        self.scaling.apply(values, out)
