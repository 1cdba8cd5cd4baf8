"""One folder for each format: its specification, its files, its public functions.

Called as a function, ``scichunk.formats()``, this package returns the known formats; :func:`scichunk.list_formats` is the word now.
"""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scichunk.core.registry import FormatSpec


class _CallablePackage(ModuleType):
    """The package is what ``scichunk.formats`` means once a format has been imported; the old public function has the same name."""

    def __call__(self) -> dict[str, FormatSpec]:
        """Return every known format by name.

        .. deprecated:: 0.2
            Use :func:`scichunk.list_formats`.
        """
        from scichunk.core import registry

        warnings.warn("scichunk.formats() is now scichunk.list_formats()", DeprecationWarning, stacklevel=2)
        return registry.list_formats()


sys.modules[__name__].__class__ = _CallablePackage
