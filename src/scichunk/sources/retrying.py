"""One request to a remote storage: its time-out, how often it is tried, how long is waited between, and what its failures mean."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import email.utils
import random
import re
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from scichunk import counters
from scichunk.errors import MissingFile, ScichunkError, SourceError
from scichunk.options import Options
from scichunk.sources.base import public_url, without_secrets

__all__ = ["RetriedRequest", "TryAgain", "error_of", "in_thread", "run_within", "seconds_to_wait"]

T = TypeVar("T")

_FINAL: Final = (
    TypeError, ValueError, LookupError, AttributeError, NotImplementedError, ImportError, AssertionError, IsADirectoryError,
    NotADirectoryError,
)  # fmt: skip
"""Wrong arguments, URLs and options: the same request would fail in the same way."""
_FINAL_NAMES: Final = frozenset({
    "TooManyRedirects", "RedirectClientError", "NonHttpUrlClientError",  # aiohttp
    "PermissionDeniedError", "UnauthenticatedError", "InvalidPathError", "NotSupportedError",  # obstore
    "UnknownConfigurationKeyError", "NoCredentialsError",  # obstore, botocore
})  # fmt: skip
_ODD_REDIRECTS: Final = frozenset({
    "NonHttpUrlRedirectClientError", "InvalidUrlRedirectClientError", "RedirectClientError",
})  # fmt: skip
_MOST_CHARACTERS: Final = 400

_slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, int], asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


class TryAgain(Exception):
    """An answer that is of no use, while the next one may be.

    Parameters
    ----------
    message
        What is wrong with the answer.
    wait
        Seconds for which the server asks to be left alone.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class RetriedRequest:
    """What one request is for.

    Parameters
    ----------
    url
        The file as the user named it, with its secrets: needed to find them in the texts of others.
    name
        The public name of the file.
    part
        The part of the file that is asked for, if it is not the whole.
    verb
        What was to be done with it: "opened" or "read".
    """

    url: str = field(repr=False)
    name: str
    part: str | None
    verb: str
    hidden: Sequence[str] = field(default=(), repr=False)
    """Secrets beside those of the URL."""
    level: int = 0
    """Another one for an archive than for those around it, 0 for none. What is asked of an archive waits for requests of what it lies in,
    which are tried again themselves; it must not hold one of their slots, of which there may be one."""

    async def persist(self, attempt: Callable[[], Awaitable[T]], limits: Options) -> T:
        """Return what an attempt returns, after as many as are allowed.

        Raises
        ------
        ScichunkError
            Whatever the attempt raised. It has neither cause nor context: the errors of the libraries below hold URLs with their
            signatures, and some of them cannot be pickled.
        """
        number, wait = 0, 0.0
        if self.level:
            limits = replace(limits, retries=0, timeout=limits.timeout * (limits.retries + 2))
        while True:
            try:
                async with _slots_of_loop(limits.concurrency, self.level):
                    return await asyncio.wait_for(_contain(attempt), limits.timeout)
            except Exception as error:  # noqa: BLE001  # whatever a library raises; it is told below
                failure, final = self._explain_error(error, limits), _is_final(error)
                wait = error.wait if isinstance(error, TryAgain) else 0.0
            if final:
                break
            if number == limits.retries:
                failure.tried = f"{number + 1} times"
                break
            # Random, since otherwise all workers of a cluster would come back at the same moment.
            backoff = limits.retry_wait * 2**number * random.uniform(0.75, 1.25)  # noqa: S311
            counters.log.info("%s is %s once more: %s", self.name, self.verb, failure.message)
            counters.add("retries", 1)
            await asyncio.sleep(max(backoff, min(wait, limits.timeout)))
            number += 1
        raise failure

    def _explain_error(self, error: Exception, limits: Options) -> ScichunkError:
        if isinstance(error, TimeoutError) and not str(error):
            msg = f"cannot be {self.verb}: no answer within {limits.timeout:g} s (options.timeout)"
            return SourceError(msg, url=self.name, part=self.part)
        return error_of(error, self.url, f"cannot be {self.verb}", part=self.part, hidden=self.hidden)


async def _contain(attempt: Callable[[], Awaitable[T]]) -> T:
    """Make an attempt; what it raises is an exception, unless somebody else ends this task."""
    try:
        return await attempt()
    except Exception:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise _as_exception(error) from None


def _as_exception(error: BaseException) -> Exception:
    """What stands for an error in an event loop: one that asks to end a thread would end the loop, for which all remote reads wait."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}{': ' if str(error) else ''}{error}")


def _start_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
    """Start work in a thread of its own, for which Python does not wait when it ends.

    Threads of pools, those of :func:`asyncio.to_thread` among them, are waited for: a server that never answers would keep the process
    from ending, and as many hung requests as the pool has threads would stop all others.
    """
    found: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()  # the options of the reader, and who counts what it takes

    def run() -> None:
        if not found.set_running_or_notify_cancel():
            return
        try:
            result = context.run(work, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # raised again where the result is asked for
            found.set_exception(_as_exception(error))
        else:
            found.set_result(result)

    threading.Thread(target=run, name="scichunk-request", daemon=True).start()
    return found


async def in_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Return what a function returns that may never do so: the caller bounds the time."""
    return await asyncio.wrap_future(_start_thread(work, *args, **kwargs))


def run_within(limits: Options, work: Callable[[], T]) -> T:
    """Return what a function returns that asks a storage something, within the time that all tries of a request may take.

    Raises
    ------
    TimeoutError
        If it takes longer.
    """
    seconds = limits.timeout * (limits.retries + 1)
    try:
        return _start_thread(work).result(seconds)
    except concurrent.futures.TimeoutError as error:
        if str(error):
            raise
        msg = f"no answer within {seconds:g} s (options.timeout, options.retries)"
        raise TimeoutError(msg) from None


def error_of(
    error: BaseException, url: str, what: str, *, part: str | None = None, hidden: Sequence[str] = ()
) -> ScichunkError:
    """Return the error of scichunk that stands for one of another library, without its secrets, cause and context.

    Parameters
    ----------
    error
        What was raised.
    url
        The file as the user named it.
    what
        Begins the message, for example "cannot be opened".
    part
        The part of the file that was asked for.
    hidden
        Secrets beside those of the URL, as of :func:`~scichunk.sources.base.secret_texts`.
    """
    name = public_url(url)
    if isinstance(error, ScichunkError):
        error.__cause__ = error.__context__ = None
        return error.at(url=name, part=part)
    real = _find_real_error(error)
    if isinstance(real, FileNotFoundError):
        msg = "no such file or object"
        return MissingFile(msg, url=name, part=part)
    text = _first_paragraph(real, url, hidden)
    if isinstance(real, PermissionError):
        what = f"{what}: access denied"
    kind = "" if isinstance(real, TryAgain) else f": {type(real).__name__}"
    return SourceError(f"{what}{kind}{': ' if text else ''}{text}", url=name, part=part)


def seconds_to_wait(retry_after: str) -> float:
    """Return the seconds that a Retry-After header names, as a number or as a date (RFC 9110, section 10.2.3)."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _find_real_error(error: BaseException) -> BaseException:
    """What is behind an error: fsspec tells any failure of HTTP as a missing file, and keeps the real one as its cause."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None and getattr(cause, "status", None) not in {404, 410}:
        failed = isinstance(cause, ConnectionError | TimeoutError) or type(cause).__module__.startswith("aiohttp")
        return cause if failed else error
    return error


def _is_final(error: Exception) -> bool:
    real = _find_real_error(error)
    names = {kind.__name__ for kind in type(real).__mro__}
    return isinstance(real, (ScichunkError, FileNotFoundError, PermissionError, *_FINAL)) or bool(names & _FINAL_NAMES)


_MOST_SEARCHED: Final = 20_000
"""Characters of a text that are looked at: what a server has sent may be long, and the expression takes quadratic time."""
_SENT = re.compile(r"(\bstatus(?: code)?:? \d{3}\b[^:<{\n]*|\bresponse error)\s*[:<{\"].*", re.DOTALL)
"""Where obstore's errors go on with what the server has sent: object stores repeat there what they were asked with, keys included."""


def _first_paragraph(error: BaseException, url: str, hidden: Sequence[str]) -> str:
    """The first paragraph of what an error says; what follows is for the authors of its library."""
    if type(error).__name__ in _ODD_REDIRECTS:  # the text is the whole of what the server has sent
        return "the server leads to something that is no URL of HTTP"
    text = without_secrets(str(error), url, hidden)[:_MOST_SEARCHED]
    text = _SENT.sub(r"\1", text).strip().partition("\n\n")[0]
    return " ".join(text.split())[:_MOST_CHARACTERS]


def _slots_of_loop(concurrency: int, level: int) -> asyncio.Semaphore:
    """Return the bound on requests in flight; one a loop, so that a forked child, which has another loop, has its own."""
    of_loop = _slots.setdefault(asyncio.get_running_loop(), {})
    return of_loop.setdefault((concurrency, level), asyncio.Semaphore(concurrency))
