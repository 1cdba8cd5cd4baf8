"""xarray's entry points. They only translate; everything heavy is imported when a file is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from scichunk.core.registry import FormatSpec

__all__ = ["FormatBackend", "ScichunkBackend"]

_DECODERS = (
    "mask_and_scale",
    "decode_times",
    "concat_characters",
    "decode_coords",
    "use_cftime",
    "decode_timedelta",
)

_SNIFFED_BYTES = 4096
"""Bytes that are looked at: XML may begin with declarations and comments."""


class ScichunkBackend(BackendEntrypoint):
    """Any format that scichunk reads, found by the first bytes of the file, then by its suffix."""

    description = "Chunked, lazy readers of every format that scichunk knows, found by content"
    supports_groups = True
    # xarray reads the decoders it may pass from here; without it, it refuses **selectors
    open_dataset_parameters = ("filename_or_obj", "drop_variables", *_DECODERS, "group", "storage_options")
    format_name: str | None = None

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Open one group of a file, named by its path or by the format's selectors (``page=``, ``overview=``, ...)."""
        from scichunk.adapters.xarray import datasets
        from scichunk.adapters.xarray.variables import Decoders

        flags = Decoders(**{k: options.pop(k) for k in _DECODERS if k in options})
        which = datasets.Which(self.format_name, filename_or_obj, storage_options, group, options)
        return datasets.open_dataset(which, drop_variables, flags)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Dataset]:
        """Open all groups of a file, or those below one."""
        from scichunk.adapters.xarray import datasets
        from scichunk.adapters.xarray.variables import Decoders

        flags = Decoders(**{k: options.pop(k) for k in _DECODERS if k in options})
        which = datasets.Which(self.format_name, filename_or_obj, storage_options, group, options)
        return datasets.open_groups(which, drop_variables, flags)

    def open_datatree(self, filename_or_obj: Any, **kwargs: Any) -> DataTree:
        """Open all groups of a file as a tree."""
        from xarray import DataTree

        groups = self.open_groups_as_dict(filename_or_obj, **kwargs)
        tree = DataTree.from_dict(groups)
        for path, ds in groups.items():
            tree[path].set_close(ds.close)
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is a file of ours; looks at its first bytes where that costs no request."""
        found = _guess_format(filename_or_obj)
        return found is not None and self.format_name in {None, found.name} and not _is_left_to_others(found)


class FormatBackend(ScichunkBackend):
    """An engine of one format: a subclass says its ``format_name`` and ``description``."""

    def guess_can_open(self, filename_or_obj: Any) -> bool:  # noqa: ARG002  # xarray may give it by its name
        """Never by itself: the engine ``scichunk`` answers for all formats, so that xarray finds one engine, not two."""
        return False


def __getattr__(name: str) -> Any:  # PEP 562: engines of formats lie in the formats' folders
    from importlib import import_module

    from scichunk.core import registry

    for spec in registry.list_formats().values():
        module, _, cls = spec.engine.partition(":")
        if cls == name:
            return getattr(import_module(module), cls)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def _is_left_to_others(spec: FormatSpec) -> bool:
    """Whether users expect xarray to choose another engine that is installed, and have not said otherwise."""
    from scichunk import options

    if not spec.yields_to or options.get().claim_rasters:
        return False
    from xarray.backends.plugins import list_engines

    return not set(spec.yields_to).isdisjoint(list_engines())


def _guess_format(target: Any) -> FormatSpec | None:
    from scichunk.core import registry

    head = _first_bytes(target)
    if head is not None:
        return registry.sniff_format(head) or _guess_inside(target, head)
    name = target if isinstance(target, str) else getattr(target, "path", None) or getattr(target, "name", None)
    return registry.sniff_suffix(name) if isinstance(name, str) else None


def _guess_inside(target: Any, head: bytes) -> FormatSpec | None:
    """Look into a file that is compressed as a whole."""
    from scichunk.sources.whole_file import find_compression

    if find_compression(head) is None:
        return None
    from scichunk.adapters.opening import find_format
    from scichunk.errors import ScichunkError
    from scichunk.sources import locate

    try:
        return find_format(locate(target).open())
    except ScichunkError:  # corrupt, or several files: none of ours
        return None


def _first_bytes(target: Any) -> bytes | None:
    """First bytes of what can be looked at for free; None for URLs and what else cannot."""
    if isinstance(target, bytes | bytearray | memoryview):
        return bytes(target[:_SNIFFED_BYTES])
    if hasattr(target, "getvalue"):
        return bytes(target.getvalue()[:_SNIFFED_BYTES])
    if isinstance(target, str) and "://" in target:
        return None
    from scichunk.errors import ScichunkError
    from scichunk.sources import locate

    try:
        location = locate(target)
        if location.local_path is None:
            return None
        source = location.open()
        return bytes(source.read_ranges([0], [min(_SNIFFED_BYTES, source.fingerprint.size)])[0])
    except TypeError:  # nothing that names a file
        return None
    except ScichunkError:  # it is missing, or no regular file: none of ours
        return b""
