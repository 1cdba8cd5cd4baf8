"""Stores of obstore (S3, GCS, Azure, HTTP, memory) that the user hands in as ``storage_options={"store": ...}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scichunk import options
from scichunk.errors import MissingFile, SourceError
from scichunk.sources.base import Fingerprint
from scichunk.sources.remote import RemoteSource

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ObstoreSource"]


class ObstoreSource(RemoteSource):
    """An object in a store of obstore; opened by one request.

    Parameters
    ----------
    store
        An ``obstore.store.ObjectStore``.
    path
        Key of the object.

    Raises
    ------
    MissingFile, SourceError
        If there is no such object, or it cannot be reached.
    """

    def __init__(self, store: ObjectStore, path: str) -> None:
        super().__init__(f"{type(store).__name__}/{path}")
        import obstore

        self._get_range = obstore.get_range_async
        self._store, self._path = store, path
        try:
            answer = obstore.get(store, path, options={"range": (0, options.get().head_bytes)})
            self._head = memoryview(bytes(answer.bytes()))
        except FileNotFoundError as error:
            msg = "no such object"
            raise MissingFile(msg, url=self.url) from error
        except Exception as error:
            if obstore.head(store, path)["size"] != 0:
                msg = f"cannot be opened: {type(error).__name__}: {error}"
                raise SourceError(msg, url=self.url) from error
            self.fingerprint = Fingerprint(0, "")
            return
        meta: Any = answer.meta
        self.fingerprint = Fingerprint(meta["size"], meta.get("e_tag") or str(meta.get("last_modified") or ""))

    async def fetch(self, start: int, stop: int) -> bytes:
        """One range request."""
        return bytes(await self._get_range(self._store, self._path, start=start, end=stop))
