"""``scichunk.info``: what is in a file, how it is chunked and encoded, and which reader serves it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scichunk.core.files import ArrayInfo

__all__ = ["FileInfo", "info"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file's structure; prints as text, shows as a table in notebooks."""

    url: str
    format: str
    size: int
    """Bytes."""
    arrays: tuple[ArrayInfo, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.url}", f"{self.format}, {_format_size(self.size)}"]
        for a in self.arrays:
            dims = ", ".join(f"{d} {n}" for d, n in zip(a.dims, a.shape, strict=True))
            lines.append(f"{a.group:<16} {a.name} ({dims}) {a.dtype}")
            chunk = " x ".join(str(n) for n in a.native_chunks)
            stored = f", {_format_size(a.stored_bytes)} stored" if a.stored_bytes is not None else ""
            lines.append(f"{'':<16} chunks {chunk}, {a.codec}{stored}")
            lines.append(f"{'':<16} reader: {a.reader}")
            for key, value in a.notes.items():
                if isinstance(value, Mapping):  # columns of a table
                    lines += [f"{'':<16} {key}:", *(f"{'':<18} {name}: {text}" for name, text in value.items())]
                else:
                    lines.append(f"{'':<16} {key}: {value}")
        # Names and texts of files may hold what a terminal takes for orders.
        return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("group", "array", "dims", "type", "native chunks", "codec", "reader"))
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in _make_cells(a)) + "</tr>" for a in self.arrays
        )
        title = html.escape(f"{self.url} ({self.format}, {_format_size(self.size)})")
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def info(url: Any, *, storage_options: Mapping[str, Any] | None = None) -> FileInfo:
    """Look into a file without reading its pixels.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    FileInfo

    Raises
    ------
    FormatError
        If it is a file of no known format, or a corrupt one.
    SourceError
        If it is missing or cannot be read.
    """
    from scichunk.adapters.opening import open_any

    opened = open_any(None, url, storage_options)
    return FileInfo(opened.location.url, opened.format, opened.file.fingerprint.size, tuple(opened.file.describe()))


def _make_cells(a: ArrayInfo) -> tuple[Any, ...]:
    dims = ", ".join(f"{d}: {n}" for d, n in zip(a.dims, a.shape, strict=True))
    return a.group, a.name, dims, a.dtype, " x ".join(map(str, a.native_chunks)), a.codec, a.reader


def _format_size(n: int) -> str:
    size = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
