"""What a service says of its answer: that it failed, or that it was cut (DALI 1.1, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scichunk.codecs.text.xml_tree import Element
from scichunk.errors import DataWarning, FormatError
from scichunk.formats.votable.document.structure import Table
from scichunk.warned import warn_caller

__all__ = ["check_status", "text_of", "warn_if_cut", "warn_of_error"]

_STATUS: Final = "query_status"
_ERROR: Final = frozenset({"error", "errors"})
"""Names of INFO and PARAM elements by which older services tell errors (Simple Cone Search 1.03, section 2.3; VizieR)."""


def text_of(info: Element) -> str:
    """Return the text content of an INFO element, white space between words aside."""
    return " ".join(info.text.split())


def check_status(tables: Sequence[Table], root: Element, table: Table | None, url: str) -> None:
    """Raise the error that a service wrote into a document instead of, or behind, what was asked for.

    Parameters
    ----------
    tables
        All tables of the document.
    root
        Its root.
    table
        The table that is to be read; None where there is none.
    url
        For the message.

    Raises
    ------
    FormatError
        With the text of the service, where there is no column to read.

    Warns
    -----
    DataWarning
        With the text of the service, where it gives columns nevertheless.
    """
    message = _find_error(tables, root, table)
    if message is None:
        return
    msg = f"the service answered with an error: {message or 'it does not say which'}"
    if table is None or not table.fields:
        raise FormatError(msg, url=url)
    warn_caller(f"{msg}; what it sent beside that is read [{url}]", DataWarning)


def warn_of_error(tables: Sequence[Table], root: Element, url: str) -> None:
    """Warn of the error of a service where a document is opened as a tree, which is empty then.

    Warns
    -----
    DataWarning
        With the text of the service.
    """
    message = _find_error(tables, root, None)
    if message is not None:
        msg = f"the service answered with an error, there is nothing to read: {message or 'it does not say which'} [{url}]"
        warn_caller(msg, DataWarning)


def _find_error(tables: Sequence[Table], root: Element, table: Table | None) -> str | None:
    """What a service says of its failure; None where it says nothing of one."""
    scopes = [root] if table is None else [root, *table.resource, table.element]
    holders = {id(r) for t in tables for r in t.resource}
    scopes += [r for r in _iterate_resources(root) if table is None or _is_result(r, holders)]
    # The status behind the table counts: a service may fail after it has begun to answer with OK (DALI 1.1, section 4.4).
    message = [text for scope in scopes for word, text in _iterate_statuses(scope) if word == "ERROR"]
    # Older protocols: an INFO of that name is only taken for an error where there is no table.
    if not message and not any(t.fields for t in tables):
        message = [text for scope in _iterate_all(root) for text in _older_errors(scope)]
    return message[-1] if message else None


def warn_if_cut(table: Table, root: Element, url: str) -> None:
    """Warn where the service says that it left rows out.

    Warns
    -----
    DataWarning
        If the status of the query is OVERFLOW.
    """
    for scope in (root, *table.resource, table.element):
        for word, text in _iterate_statuses(scope):
            if word == "OVERFLOW":
                more = f": {text}" if text else ""
                msg = f"the service cut the table, rows are missing (QUERY_STATUS is OVERFLOW{more}) [{url}]"
                warn_caller(msg, DataWarning)
                return


def _iterate_statuses(scope: Element) -> Iterator[tuple[str, str]]:
    """Value and text of each status, in order: one comes before the table, another behind it."""
    for info in scope.iterate_children("INFO"):
        if _has_name(info, _STATUS):
            yield info.get("value").strip().upper(), text_of(info)


def _older_errors(scope: Element) -> Iterator[str]:
    for element in scope.iterate_children("INFO", "PARAM"):
        if any(_has_name(element, name) for name in _ERROR):
            yield element.get("value").strip() or text_of(element)


def _has_name(element: Element, name: str) -> bool:
    return name in {element.get("name").strip().lower(), element.get("ID").strip().lower()}


def _is_result(resource: Element, holders: set[int]) -> bool:
    """Whether this is the result of a query, without the table that it should hold."""
    return resource.get("type").strip().lower() == "results" and id(resource) not in holders


def _iterate_resources(element: Element) -> Iterator[Element]:
    for child in element.iterate_children("RESOURCE"):
        yield child
        yield from _iterate_resources(child)


def _iterate_all(root: Element) -> Iterator[Element]:
    yield root
    yield from root.iterate_children("DEFINITIONS")
    yield from _iterate_resources(root)
