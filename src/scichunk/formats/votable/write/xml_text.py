"""Texts and values of attributes in XML, whatever characters they hold."""

from __future__ import annotations

import re
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

__all__ = ["escape_text", "plain_text", "quote_value"]

_UNWRITABLE: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no form for (XML 1.0, section 2.2)."""


def escape_text(value: Any) -> str:
    """Return a value as the text of an element, with question marks for what XML has no form for."""
    return escape(_UNWRITABLE.sub("?", str(value)), {"\r": "&#13;"})


def quote_value(value: Any) -> str:
    """Return a value as that of an attribute, in quotes; see :func:`escape_text`."""
    return quoteattr(_UNWRITABLE.sub("?", str(value)))


def plain_text(value: Any) -> str:
    """Return an attribute as text, whatever it is; empty where there is none."""
    return "" if value is None else str(value)
