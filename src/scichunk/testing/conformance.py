"""Whether a format does what scichunk promises of all formats: a suite for built-in ones and for those of other packages.

>>> from scichunk.testing import check_format
>>> check_format("envi", ["scene.img"])  # doctest: +SKIP

With pytest, one test a check and file::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("path", FILES)
    def test_conformance(check, path):
        check(Case("envi", path))

The format must be registered (entry point ``scichunk.formats``) and have an engine of its name (entry point
``xarray.backends``). Files must be sound, small (some hundred kilobytes) and on a local disk; they are not changed. The
checks need no pytest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from scichunk.core.files import FormatSpec
from scichunk.testing.conformance_case import Case
from scichunk.testing.conformance_reading import (
    check_async,
    check_empty_selections,
    check_indexing,
    check_points,
    check_threads,
)
from scichunk.testing.conformance_sources import (
    check_damage,
    check_failing_source,
    check_header_reads,
    check_window_reads,
)
from scichunk.testing.conformance_structure import (
    check_groups,
    check_info,
    check_names,
    check_other_files,
    check_tree,
    check_unknown_group,
)
from scichunk.testing.conformance_travel import (
    check_changed_file,
    check_close,
    check_pickling,
    check_processes,
    check_tokens,
)

__all__ = ["CHECKS", "Case", "check_format"]

CHECKS: Final[tuple[Callable[[Case], None], ...]] = (
    check_info,
    check_names,
    check_groups,
    check_tree,
    check_unknown_group,
    check_other_files,
    check_indexing,
    check_points,
    check_empty_selections,
    check_async,
    check_threads,
    check_pickling,
    check_processes,
    check_tokens,
    check_changed_file,
    check_close,
    check_damage,
    check_header_reads,
    check_window_reads,
    check_failing_source,
)
"""All checks. Each takes a :class:`Case`, returns nothing, and raises an AssertionError that says what the format must do."""


def check_format(
    spec: FormatSpec | str, files: Iterable[str | os.PathLike[str]], *, groups: Sequence[str] | None = None
) -> None:
    """Run all checks on all files.

    Parameters
    ----------
    spec
        The format, or its name.
    files
        Paths of sound, small, local files of the format; files that belong to one lie beside it and share its name up to the suffix.
    groups
        Groups whose arrays are read; None for all.

    Raises
    ------
    AssertionError
        If a check fails; the message lists all that do.
    """
    wrong: list[str] = []
    cause: Exception | None = None
    for path in files:
        case = Case(spec, path, None if groups is None else tuple(groups))
        for check in CHECKS:
            try:
                check(case)
            except Exception as error:  # noqa: BLE001  # any error is a failure of the format, and is told below
                wrong.append(f"{check.__name__}: {type(error).__name__}: {error}")
                cause = cause or error
    if wrong:
        raise AssertionError("\n".join(wrong)) from cause
