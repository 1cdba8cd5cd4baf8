"""Stores of obstore (S3, GCS, Azure, HTTP, memory) that the user hands in as ``storage_options={"store": ...}``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scichunk.errors import SourceError
from scichunk.lru import LRU, generation
from scichunk.sources.base import Head
from scichunk.sources.remote import RemoteSource, changed_error
from scichunk.sources.retrying import TryAgain

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from scichunk.options import Options

__all__ = ["ObstoreSource"]

_PROBE_SECONDS: Final = 2.0
_probes: LRU[bool] = LRU(limit=lambda: 1)
"""Whether obstore works in this forked child."""


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
        self._store, self._path = store, path
        self._condition = ""
        self.open_now()

    async def connect(self) -> None:
        """Refuse a forked child of a process that used obstore: its threads are not there, and a request would wait for ever."""
        if not generation():
            return
        works = _probes.get(0)
        if works is None:
            works = _probes.put(0, await _check_threads())
        if not works:
            msg = (
                "stores of obstore cannot be used in a process that was forked from one that used obstore: start workers by "
                'spawn or forkserver (multiprocessing.get_context("spawn"))'
            )
            raise SourceError(msg)

    async def fetch_head(self, limits: Options) -> Head:
        """One request, which brings length and version too; a second one for an empty object, of which no range can be had."""
        import obstore

        try:
            data, meta = await self._get_range(0, limits.head_bytes)
        except (FileNotFoundError, TryAgain):
            raise
        except Exception:
            meta = await obstore.head_async(self._store, self._path)
            if meta["size"]:
                raise
            data = b""
        tag = _version_tag(meta)
        self._condition = meta.get("e_tag") or ""
        if self._condition.startswith("W/"):
            self._condition = ""  # a weak one never matches (RFC 9110, section 13.1.1)
        return Head(data, meta["size"], tag)

    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:  # noqa: ARG002  # obstore reads no further than asked
        """One request with a condition; the version that the answer names is compared too, since not every store looks at it."""
        from obstore import exceptions

        try:
            data, meta = await self._get_range(start, stop)
        except exceptions.PreconditionError:
            raise changed_error() from None
        except (exceptions.NotSupportedError, NotImplementedError):
            if not self._condition:
                raise
            self._condition = ""
            data, meta = await self._get_range(start, stop)
        if not self.accepts(meta["size"], _version_tag(meta)):
            raise changed_error()
        return data

    async def _get_range(self, start: int, stop: int) -> tuple[bytes, Any]:
        import obstore

        wanted: Any = {"range": (start, stop)}
        if self._condition:
            wanted["if_match"] = self._condition
        answer = await obstore.get_async(self._store, self._path, options=wanted)
        first, last = answer.range
        if (first, last) != (start, min(stop, answer.meta["size"])):
            msg = f"bytes {first} to {last} came instead of {start} to {stop}"
            raise TryAgain(msg)
        return bytes(await answer.bytes_async()), answer.meta


async def _check_threads() -> bool:
    """Ask a store in memory for nothing: it answers at once if obstore's threads are there.

    A child may use obstore if its parent has not; whether it has is not to be seen otherwise, since the user's own code counts too.
    """
    import obstore
    from obstore.store import MemoryStore

    try:
        await asyncio.wait_for(obstore.head_async(MemoryStore(), "none"), _PROBE_SECONDS)
    except FileNotFoundError:
        return True
    except TimeoutError:
        return False
    return True


def _version_tag(meta: Any) -> str:
    """What names the version; the date 1970-01-01 stands for a server that says none."""
    modified = meta.get("last_modified")
    known = modified is not None and modified.timestamp() > 0
    return meta.get("e_tag") or meta.get("version") or (str(modified) if known else "")
