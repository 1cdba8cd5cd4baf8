"""Readers for intake 2 (extra ``intake``): catalogs of files of every format, those of other packages included.

>>> import intake
>>> from scichunk.adapters.intake import Dataset, GeoTIFF
>>> catalog = intake.Catalog()  # doctest: +SKIP
>>> catalog["dem"] = Dataset(GeoTIFF("s3://bucket/dem.tif"), chunks={})  # doctest: +SKIP
>>> catalog.to_yaml_file("catalog.yaml")  # doctest: +SKIP
>>> intake.open_catalog("catalog.yaml")["dem"].read()  # doctest: +SKIP

For each format there is a type of data (``GeoTIFF``, ``FITS``, ...), a reader of arrays (``GeoTIFFArray``) and, if it holds tables, one
of frames (``FITSFrame``); they are named after its engine. intake imports this module by itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from intake import import_name
from intake.readers import datatypes
from intake.readers.datatypes import FileData
from intake.readers.readers import FileReader

from scichunk.core.registry import FormatSpec, list_formats
from scichunk.sources.base import public_url

__all__ = ["Array", "Dataset", "File", "Frame", "Tree"]

_COMPRESSED = r"(\.(gz|bz2|xz|zst|zip|z))?([?#].*)?$"


class File(FileData):
    """A file that scichunk reads, whatever its format."""

    def __repr__(self) -> str:
        names = [self.url] if isinstance(self.url, str) else self.url
        shown = ", ".join(repr(public_url(str(name))) for name in names)
        options = f", storage_options of {', '.join(map(str, self.storage_options))}" if self.storage_options else ""
        # intake's own would show what is secret; the token is there because intake makes those of readers from this
        return f"{type(self).__name__}({shown}{options}) {self.token}"


class _Reader(FileReader):
    imports: ClassVar = {"scichunk"}
    storage_options = True
    many = ""
    """Function for a list or a pattern of files; empty if the function for one takes those too."""
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Keywords of the function that the class stands for."""

    def discover(self, **kwargs: Any) -> Any:
        """Nothing but headers is read before values are asked for: the whole is the discovery."""
        return self.read(**kwargs)

    def _read(self, data: Any, **kwargs: Any) -> Any:
        kwargs = {**self.fixed, **kwargs}
        if self.many and _is_many(data.url):
            if data.storage_options:
                kwargs["storage_options"] = data.storage_options
            return import_name(self.many)(data.url, **kwargs)
        return super()._read(data, **kwargs)


class Array(_Reader):
    """:func:`scichunk.from_file`; of a list or pattern of files :func:`scichunk.from_files`."""

    implements: ClassVar = {File}
    func = "scichunk:from_file"
    many = "scichunk:from_files"
    output_instance = "dask.array:Array"


class Frame(_Reader):
    """:func:`scichunk.read_table`, of one file, a list or a pattern."""

    implements: ClassVar = {File}
    func = "scichunk:read_table"
    output_instance = "dask.dataframe:DataFrame"


class Tree(_Reader):
    """:func:`scichunk.open`: every page, overview, HDU or table of a file; of several files a branch for each."""

    implements: ClassVar = {File}
    func = "scichunk:open"
    output_instance = "xarray:DataTree"

    def _read(self, data: Any, **kwargs: Any) -> Any:
        if not _is_many(data.url):
            return super()._read(data, **kwargs)
        from scichunk.adapters.opening import expand_names

        if data.storage_options:
            kwargs["storage_options"] = data.storage_options
        urls = expand_names(data.url, data.storage_options)
        branches = zip(_label_files(urls), urls, strict=True)
        return import_name("xarray:DataTree").from_dict({label: self._func(url, **kwargs) for label, url in branches})


def _is_many(url: Any) -> bool:
    from scichunk.adapters.opening import is_pattern

    return isinstance(url, list | tuple) or is_pattern(str(url))


def _label_files(urls: list[Any]) -> list[str]:
    """Names of files, with a number where one comes again."""
    found: dict[str, None] = {}
    for url in urls:
        name = posixpath.basename(re.split("[?#]", public_url(str(url)))[0].rstrip("/")) or "file"
        label, number = name, 1
        while label in found:
            number += 1
            label = f"{name}_{number}"
        found[label] = None
    return list(found)


def _data_types(label: str, spec: FormatSpec) -> tuple[type[FileData], type[FileData] | None]:
    """The type of a format's files, with a base that is its readers' but one; and intake's own type, if it has one.

    intake takes the readers of a type before those of its bases, and the readers of one type in no order: so the reader of
    datasets is that of the type itself, and comes first.
    """
    classes: list[Any] = [c for c in vars(datatypes).values() if isinstance(c, type) and issubclass(c, FileData)]
    known = [c for c in classes if c.filepattern]
    theirs = (
        next((c for c in known if re.search(c.filepattern, f"x{spec.suffixes[0]}")), None) if spec.suffixes else None
    )
    about = {
        "__module__": __name__,
        "__doc__": f"{spec.description}.",
        # from the beginning of the name: intake prefers the pattern that fits earliest
        "filepattern": f"^.*({'|'.join(map(re.escape, spec.suffixes))}){_COMPRESSED}" if spec.suffixes else "",
        "magic": set(spec.magic),
        "mimetypes": "|".join(map(re.escape, spec.mime_types)),
        "structure": {"array", "table"} if _has_tables(spec) else {"array", "image"},
    }
    silent = {"__module__": __name__, "filepattern": "", "magic": set(), "mimetypes": ""}  # nothing is taken for it
    base = type(f"_{label}File", (theirs, File) if theirs else (File,), silent)
    return type(label, (base,), about), theirs


def _has_tables(spec: FormatSpec) -> bool:
    return any("table" in selector.uses for selector in spec.selectors)


def _make_reader(label: str, spec: FormatSpec, kind: type[_Reader], base: type[FileData]) -> type[_Reader]:
    name = f"{label}{kind.__name__}"
    about = {"__module__": __name__, "__doc__": f"{kind.__doc__}, with ``format={spec.name!r}``.".replace(".,", ",")}
    return type(name, (kind,), {**about, "implements": {base}, "fixed": {"format": spec.name}})


def _add_formats() -> set[type[FileData]]:
    """Make the types and readers of every format; returns the types that datasets are read from."""
    found: set[type[FileData]] = set()
    for spec in list_formats().values():
        label = spec.engine.rpartition(":")[2].removesuffix("Backend") or spec.name.title()
        if not label.isidentifier() or label in globals():
            label = re.sub(r"\W", "_", f"Format_{spec.name}")
        data, theirs = _data_types(label, spec)
        kinds = (Array, Frame) if _has_tables(spec) else (Array,)
        made = [data, *(_make_reader(label, spec, kind, data.__mro__[1]) for kind in kinds)]
        globals().update({cls.__name__: cls for cls in made})
        __all__.extend(cls.__name__ for cls in made)  # noqa: PYI056  # they are known by the registry alone
        found |= {data, theirs} if theirs else {data}
    return found


class Dataset(_Reader):
    """:func:`xarray.open_dataset` with the engine that the file calls for; of several files :func:`scichunk.open_stack`."""

    implements: ClassVar = _add_formats()
    func = "xarray:open_dataset"
    many = "scichunk:open_stack"
    url_arg = "filename_or_obj"
    output_instance = "xarray:Dataset"

    def _read(self, data: Any, **kwargs: Any) -> Any:
        if not _is_many(data.url):
            kwargs = {"engine": "scichunk", "chunks": {}, **kwargs}
        return super()._read(data, **kwargs)
