"""What a service says of its answer: that it failed, or that it was cut (DALI 1.1, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from scichunk.codecs.text.xml_tree import Element
from scichunk.errors import DataWarning, FormatError
from scichunk.formats.votable.document.structure import Table
from scichunk.warned import warn_caller

__all__ = ["Status", "text_of"]

_STATUS: Final = "query_status"
_ERROR: Final = frozenset({"error", "errors"})
"""Names of INFO and PARAM elements by which older services tell errors (Simple Cone Search 1.03, section 2.3; VizieR)."""


def text_of(info: Element) -> str:
    """Return the text content of an INFO element, white space between words aside."""
    return " ".join(info.text.split())


class Status:
    """What a service says in a document; each element is looked at once, for all tables.

    Parameters
    ----------
    tables
        All tables of the document.
    root
        Its root.
    url
        For messages.
    """

    def __init__(self, tables: Sequence[Table], root: Element, url: str) -> None:
        self._tables, self._root, self._url = tables, root, url
        self._known: dict[int, list[tuple[str, str]]] = {}

    def check(self, table: Table | None) -> None:
        """Raise the error that a service wrote into the document instead of, or behind, what was asked for.

        Parameters
        ----------
        table
            The table that is to be read; None where there is none.

        Raises
        ------
        FormatError
            With the text of the service, where there is no column to read.

        Warns
        -----
        DataWarning
            With the text of the service, where it gives columns nevertheless.
        """
        message = self._find_error(table)
        if message is None:
            return
        msg = f"the service answered with an error: {message or 'it does not say which'}"
        if table is None or not table.fields:
            raise FormatError(msg, url=self._url)
        warn_caller(f"{msg}; what it sent beside that is read [{self._url}]", DataWarning)

    def warn_of_error(self) -> None:
        """Warn of the error of a service where a document is opened as a tree, which is empty then.

        Warns
        -----
        DataWarning
            With the text of the service.
        """
        message = self._find_error(None)
        if message is not None:
            why = message or "it does not say which"
            msg = f"the service answered with an error, there is nothing to read: {why} [{self._url}]"
            warn_caller(msg, DataWarning)

    def warn_if_cut(self, table: Table) -> None:
        """Warn where the service says that it left rows out.

        Warns
        -----
        DataWarning
            If the status of the query is OVERFLOW.
        """
        for word, text in self._statuses(self._root, *table.resource, table.element):
            if word == "OVERFLOW":
                more = f": {text}" if text else ""
                msg = f"the service cut the table, rows are missing (QUERY_STATUS is OVERFLOW{more}) [{self._url}]"
                warn_caller(msg, DataWarning)
                return

    def _find_error(self, table: Table | None) -> str | None:
        """What a service says of its failure; None where it says nothing of one."""
        scopes = [self._root] if table is None else [self._root, *table.resource, table.element]
        # The status behind the table counts: a service may fail after it has begun to answer with OK (DALI 1.1, section 4.4).
        message = [text for word, text in self._statuses(*scopes) if word == "ERROR"]
        message += self._errors_in_resources if table is None else self._errors_without_table
        # Older protocols: an INFO of that name is only taken for an error where there is no table.
        if not message and not self._has_fields:
            message = self._older_errors
        return message[-1] if message else None

    @cached_property
    def _has_fields(self) -> bool:
        return any(t.fields for t in self._tables)

    @cached_property
    def _errors_in_resources(self) -> list[str]:
        return [text for word, text in self._statuses(*_iterate_resources(self._root)) if word == "ERROR"]

    @cached_property
    def _errors_without_table(self) -> list[str]:
        """Errors of results of queries that have not the table that they should hold."""
        holders = {id(r) for t in self._tables for r in t.resource}
        empty = (r for r in _iterate_resources(self._root) if _is_result(r, holders))
        return [text for word, text in self._statuses(*empty) if word == "ERROR"]

    @cached_property
    def _older_errors(self) -> list[str]:
        return [text for scope in _iterate_all(self._root) for text in _older_errors(scope)]

    def _statuses(self, *scopes: Element) -> Iterator[tuple[str, str]]:
        """Value and text of each status, in order: one comes before the table, another behind it."""
        for scope in scopes:
            found = self._known.get(id(scope))
            if found is None:
                infos = [info for info in scope.iterate_children("INFO") if _has_name(info, _STATUS)]
                found = [(info.get("value").strip().upper(), text_of(info)) for info in infos]
                self._known[id(scope)] = found
            yield from found


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
