"""Names that plug-ins may import, and that have been changed: the old ones work for a while, and say so."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["old_names"]


def old_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module (PEP 562) that gives its old names with a DeprecationWarning.

    Parameters
    ----------
    module
        Its ``__name__``.
    names
        The new name by the old one.
    """

    def find(name: str) -> Any:
        if name not in names:
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        msg = f"{module}.{name} is called {names[name]} now"
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return find
