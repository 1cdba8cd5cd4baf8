"""What is done once another package has been imported, by whomever: ``import scichunk`` costs nothing of it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["import_after"]


def import_after(name: str, follower: str) -> None:
    """Import a module once a package has been imported: now, if it has been, else when it is."""
    if name in sys.modules:
        importlib.import_module(follower)
    else:
        sys.meta_path.insert(0, _Watch(name, follower))


class _Watch:
    """Lets the others find a package, and replaces its loader for the moment."""

    def __init__(self, name: str, follower: str) -> None:
        self.name, self.follower = name, follower

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Any", _Following(spec.loader, self.follower))
        return spec


class _Following:
    """Loads a package as its own loader does, gives that back to it, and imports what follows."""

    def __init__(self, loader: Any, follower: str) -> None:
        self.loader, self.follower = loader, follower

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        importlib.import_module(self.follower)
