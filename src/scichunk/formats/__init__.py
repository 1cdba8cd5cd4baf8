"""One folder for each format, all with the same five modules."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scichunk.core.files import FormatSpec


class _CallablePackage(ModuleType):
    """The package is what ``scichunk.formats`` means once a format has been imported; the public function has the same name."""

    def __call__(self) -> dict[str, FormatSpec]:
        """Return every known format by name, as :func:`scichunk.core.registry.formats` does."""
        from scichunk.core import registry

        return registry.formats()


sys.modules[__name__].__class__ = _CallablePackage
