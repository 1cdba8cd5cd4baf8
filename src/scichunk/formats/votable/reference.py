"""The header of a document through astropy: what it knows best of units, coordinate systems, groups and annotations."""

from __future__ import annotations

import io
from typing import Any

from scichunk.errors import FormatError, ScichunkError
from scichunk.formats.votable.document import Document
from scichunk.quiet import alone, quiet

__all__ = ["astropy_header"]


def astropy_header(document: Document) -> Any:
    """Hand a document without its rows to ``astropy.io.votable``.

    Returns
    -------
    astropy.io.votable.tree.VOTableFile
        Tables have their fields, params, groups, links and no rows; entities have been refused before astropy sees it.

    Raises
    ------
    FormatError
        If astropy cannot read it: arrays of texts, malformed precisions, ...
    """
    from astropy.io.votable import parse

    document.find_all()
    text = document.header()
    with alone(), quiet():
        try:
            return parse(io.BytesIO(_utf8(text)), verify="ignore")
        except ScichunkError:
            raise
        except Exception as error:  # astropy raises whatever it meets
            msg = f"astropy cannot read the header: {type(error).__name__}: {error}"
            raise FormatError(msg, url=document.source.url) from error


def _utf8(text: str) -> bytes:
    """The text as UTF-8, whatever its declaration says."""
    if text.startswith("<?xml"):
        text = text[text.index("?>") + 2 :] if "?>" in text else text
    return text.encode()
