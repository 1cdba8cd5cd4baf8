"""What was not as the document promised: counted, with its first place, and said once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from scichunk.errors import DataWarning, FormatError
from scichunk.warned import warn_caller

__all__ = ["Diagnostics", "Policy", "Report"]

_TEXTS: Final = {
    "array length": "arrays of another length than declared: cut, or filled with nulls",
    "comma": "commas between the elements of arrays",
    "integer range": "integers beyond their type: null",
    "integer nearest": "negative unsigned bytes, or hexadecimal integers beyond their type: the nearest value",
    "Latin-1": "texts in binary that are no UTF-8: read as Latin-1",
    "long text": "texts longer than declared: kept as they are",
    "no number": "texts that are no number: null",
    "not a value": "values that cannot be read: null",
    "cells": "rows with another number of cells than there are fields: cut, or filled with nulls",
    "rows": "another number of rows than declared",
    "encoding": "bytes that are not of the encoding: replaced",
    "partial row": "bytes behind the last row: left out",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How values are treated that cannot be read."""

    on_error: str = "raise"
    """``raise``, or ``null``."""
    astropy_compat: bool = False
    """Give what astropy gives where it loses something: zeros, clipped integers, cut texts."""
    version_1_3: bool = True
    """Whether empty cells are nulls by the standard (VOTable 1.3 and later)."""


@dataclass
class Diagnostics:
    """Collector of one table; safe in threads.

    Parameters
    ----------
    url
        Of the document.
    part
        Which table.
    """

    url: str
    part: str
    _found: dict[tuple[str, str], list[object]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, column: str, count: int, where: str) -> None:
        """Count something; the first of its kind is a warning."""
        with self._lock:
            known = self._found.get((kind, column))
            if known is not None:
                known[0] = int(str(known[0])) + count
                return
            self._found[kind, column] = [count, where]
            first = not any(k == kind and c != column for k, c in self._found)
        if first:
            at = ", ".join(p for p in (f"column {column!r}" if column else "", where) if p)
            place = ", ".join(p for p in (self.url, self.part, f"first: {at}") if p)
            msg = f"{_TEXTS[kind]} [{place}]"
            warn_caller(msg, DataWarning)

    def refuse(self, policy: Policy, kind: str, column: str, where: str, what: str) -> None:
        """Raise, or count it where errors become nulls.

        Raises
        ------
        FormatError
            If ``policy.on_error`` says so.
        """
        if policy.on_error == "raise":
            part = ", ".join(p for p in (self.part, where, f"column {column!r}" if column else "") if p)
            msg = f"{what}; on_error='null' reads it as null"
            raise FormatError(msg, url=self.url, part=part)
        self.add(kind, column, 1, where)

    def summarise(self) -> dict[str, str]:
        """Return what was found so far: how many, and where the first was."""
        with self._lock:
            return {
                f"{kind}: {column}" if column else kind: f"{count}, first: {where}"
                for (kind, column), (count, where) in self._found.items()
            }


@dataclass(frozen=True, slots=True)
class Report:
    """What the values of one field are reported to while some rows are read."""

    column: str
    """Name of the field."""
    policy: Policy
    diagnostics: Diagnostics
    where: Callable[[int], str]
    """Says where a row is."""

    def add(self, kind: str, count: int, row: int) -> None:
        """Count something, of which the first is in a row."""
        self.diagnostics.add(kind, self.column, count, self.where(row))

    def refuse(self, kind: str, row: int, what: str) -> None:
        """Raise, or count it where errors become nulls; see :meth:`Diagnostics.refuse`."""
        self.diagnostics.refuse(self.policy, kind, self.column, self.where(row), what)
