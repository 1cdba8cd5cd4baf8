"""What the checks of a format share: one file, how it is opened, and when two arrays are the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core import registry
from scichunk.core.files import ArrayVar, OpenFile
from scichunk.core.registry import FormatSpec
from scichunk.core.selection import Span
from scichunk.errors import ParserError
from scichunk.sources import ByteSource, Location, locate

__all__ = ["Case", "are_same", "require", "require_foreseen", "require_same"]

Array = npt.NDArray[Any]


def require(condition: object, message: str) -> None:
    """Raise an AssertionError with a message, also where Python drops ``assert`` statements."""
    if not condition:
        raise AssertionError(message)


def require_foreseen(error: Exception) -> None:
    """Raise an AssertionError for an error that the parser of the format raised by mistake."""
    require(not isinstance(error, ParserError), f"an error that the format must raise itself: {error}")


def are_same(got: Any, want: Any) -> bool:
    """Whether two arrays have one type, shape and values; NaN and NaT equal themselves, also within arrays of objects."""
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    if got.dtype.kind == "O":
        return all(_same_object(a, b) for a, b in zip(got.reshape(-1), want.reshape(-1), strict=True))
    return bool(np.array_equal(got, want, equal_nan=got.dtype.kind in "fcmM"))


def _same_object(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return are_same(a, b)
    return bool(a is b or a == b or (a != a and b != b))  # noqa: PLR0124  # only NaN differs from itself


def require_same(got: Any, want: Any, what: str) -> None:
    """Raise an AssertionError that tells type and shape where two arrays differ."""
    got, want = np.asarray(got), np.asarray(want)
    require(
        are_same(got, want),
        f"{what}: got {got.dtype} of shape {got.shape}, expected {want.dtype} of shape {want.shape}, or other values",
    )


@dataclass(frozen=True)
class Case:
    """A file of a format, on which the checks are run.

    Parameters
    ----------
    spec
        The format, or its name.
    path
        A sound, small file on a local disk; the files that belong to it lie beside it and have its name up to the suffix.
    groups
        Which groups are looked at; None for all.
    """

    spec: FormatSpec | str
    path: str | os.PathLike[str]
    groups: tuple[str, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Further keywords of ``xarray.open_dataset``."""

    @property
    def format(self) -> FormatSpec:
        """The format as it is registered."""
        return registry.get_format(self.spec) if isinstance(self.spec, str) else self.spec

    @property
    def name(self) -> str:
        """Name of the format, which is that of its engine."""
        return self.format.name

    @property
    def file(self) -> str:
        """Path of the file as text."""
        return os.fspath(self.path)

    @property
    def location(self) -> Location:
        """The file as the formats get it."""
        return locate(self.file)

    def wanted(self) -> list[str]:
        """Groups that are looked at."""
        return list(self.groups) if self.groups is not None else self.opened().groups()

    def opened(self, source: ByteSource | None = None) -> OpenFile:
        """Open the file by the format's own function, past every cache; from a given source of its bytes, if there is one."""
        return self.format.open_file(self.location, source=source or self.location.open())

    def dataset(self, group: str | None = None, path: str | None = None, **kwargs: Any) -> Any:
        """Open a group through the engine that has the format's name; what is read is not kept, so that each read reads."""
        import xarray as xr

        options = {"cache": False, **self.options, **kwargs}
        return xr.open_dataset(path or self.file, engine=self.name, group=group, **options)

    def variables(self, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """Every variable of every group, opened anew, with a label for messages."""
        for group in self.wanted():
            ds = self.dataset(group, **kwargs)
            for name, variable in ds.data_vars.items():
                yield f"{self.file}, group {group}, {name}", variable

    def arrays(self, file: OpenFile) -> Iterator[tuple[str, ArrayVar]]:
        """Every array of an opened file below the adapters, with a label for messages."""
        for group in self.wanted():
            for array in file.node(group).arrays:
                yield f"{self.file}, group {group}, {array.name}", array

    def copy(self, folder: str | os.PathLike[str], content: bytes | None = None) -> Case:
        """Copy the file, with the files that belong to it, to another folder; its content may be another."""
        source, name = os.path.split(os.path.abspath(self.file))
        stem = name.partition(".")[0]
        for other in os.listdir(source):
            if other.partition(".")[0] == stem and os.path.isfile(os.path.join(source, other)):
                shutil.copy2(os.path.join(source, other), folder)
        target = os.path.join(folder, name)
        if content is not None:
            with open(target, "wb") as file:
                file.write(content)
        return Case(self.spec, target, self.groups, self.options)


def whole_spans(shape: tuple[int, ...]) -> tuple[Span, ...]:
    """Name all of an array, as its source takes it."""
    return tuple(Span(0, n) for n in shape)
