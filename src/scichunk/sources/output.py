"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, TypeVar

from scichunk.errors import SourceError
from scichunk.options import get
from scichunk.sources.base import check_slashes, public_url, secret_texts
from scichunk.sources.location import checked_options, strip_file_url
from scichunk.sources.retrying import error_of, run_within
from scichunk.sources.spill import telling_disk_errors

__all__ = [
    "hidden_stem", "local_errors", "local_path", "lock_file", "look_at_target", "open_output", "run_work", "scratch_folder",
]  # fmt: skip

T = TypeVar("T")

_COPY_BYTES: Final = 1 << 22
_RANDOM_BYTES: Final = 6
_NAME_BYTES: Final = 64
"""Longer names are not part of that of the temporary file, which must not become too long."""
_TRIES: Final = 8
_NOT_ALLOWED: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What file systems say that keep no modes or owners, and any to a user who may not change them."""


def scratch_folder(target: str | os.PathLike[str]) -> str | None:
    """Return a folder for temporary files of a writer: that of a local target, else None for the system's own."""
    path = local_path(target)
    return None if path is None else os.path.dirname(path)


@contextlib.contextmanager
def open_output(
    target: str | os.PathLike[str], *, overwrite: bool = False, storage_options: Mapping[str, Any] | None = None
) -> Iterator[IO[bytes]]:
    """Open a file for writing; it gets its name when all went well, and is removed when not.

    A local file is written under a temporary name beside the target. Links are followed, a file that is replaced keeps its mode, and
    what a killed writer of the same target left is removed. A remote one is written here first and then sent as a
    whole; what was there stays until all of it has been sent, unless the storage can only write in its place, as servers of files do.

    Parameters
    ----------
    target
        A path, or a URL that fsspec can write to.
    overwrite
        Replace a file that is there.
    storage_options
        Passed to fsspec.

    Yields
    ------
    binary file
        Seekable, writable and readable.

    Raises
    ------
    SourceError
        If there is a file already, the target is no regular file, or it cannot be written.
    """
    path = local_path(target)
    if path is None:
        with _open_remote(os.fspath(target), overwrite, checked_options(storage_options)) as file:
            yield file
    else:
        with _open_local(path, overwrite) as file:
            yield file


def local_path(target: str | os.PathLike[str]) -> str | None:
    """Return the real path of a target of this machine, and None of any other."""
    name = os.fspath(target)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str):  # a PathLike of somebody else
        msg = f"expected a path or URL, got {type(target).__name__}"
        raise TypeError(msg)
    name = strip_file_url(name)
    if "://" in name:
        return None
    check_slashes(name)
    try:
        return os.path.realpath(os.path.expanduser(name))
    except (OSError, ValueError) as error:  # a NUL in it
        msg = f"cannot be written: {error}"
        raise SourceError(msg, url=name) from error


@contextlib.contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Tell errors of the file system as those of a file that is to be written."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        msg = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        raise SourceError(msg, url=path) from error


@contextlib.contextmanager
def _open_local(path: str, overwrite: bool) -> Iterator[IO[bytes]]:
    """Write to a temporary file beside the target, which gets its name once it is complete."""
    with local_errors(path):
        replaced = look_at_target(path, overwrite)
        number, temporary = _create_temporary(path)
    try:
        with os.fdopen(number, "w+b") as file:
            if replaced is not None and hasattr(os, "fchmod"):
                _make_alike(number, replaced)
            yield file
            file.flush()
            os.fsync(number)
            _name_file(temporary, path, overwrite)
    except OSError as error:
        _remove_file(temporary)
        if isinstance(error, SourceError):
            raise
        msg = f"cannot be written: {error.strerror or error}"
        raise SourceError(msg, url=path) from error
    except BaseException:
        _remove_file(temporary)
        raise


def _name_file(temporary: str, path: str, overwrite: bool) -> None:
    """Give a complete file its name; one that has appeared meanwhile is only replaced if that is wanted."""
    if not overwrite:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise _exists_error(path) from None
        except (OSError, AttributeError):  # a file system without hard links
            if os.path.lexists(path):
                raise _exists_error(path) from None
        else:
            os.unlink(temporary)
            return
    os.replace(temporary, path)


def _exists_error(name: str) -> SourceError:
    msg = "the file exists already; overwrite=True replaces it"
    return SourceError(msg, url=name)


def look_at_target(path: str, overwrite: bool) -> os.stat_result | None:
    """Look at the file that will be replaced; None where there is none.

    Raises
    ------
    SourceError
        If it must not be replaced.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        msg = "is a directory, pipe or device, not a regular file"
        raise SourceError(msg, url=path)
    if not overwrite:
        raise _exists_error(path)
    return found


def _make_alike(number: int, replaced: os.stat_result) -> None:
    """Give a new file the owner, group and mode of the one that it replaces, as far as this user may and the file system keeps them."""
    own = os.fstat(number)
    for user, group in ((replaced.st_uid, -1), (-1, replaced.st_gid)):
        if user not in {-1, own.st_uid} or group not in {-1, own.st_gid}:
            with _as_far_as_allowed():
                os.fchown(number, user, group)
    mode = stat.S_IMODE(replaced.st_mode)  # behind the owner, a change of which takes bits away
    if stat.S_IMODE(os.fstat(number).st_mode) != mode:
        with _as_far_as_allowed():
            os.fchmod(number, mode)


@contextlib.contextmanager
def _as_far_as_allowed() -> Iterator[None]:
    """Go on where mode or owner cannot be changed: mounts of buckets, FAT and CIFS have the same for all files, so that nothing is lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise


def hidden_stem(name: str) -> str:
    """Return how hidden files begin that are made on the way to a file of this name."""
    known = os.fsencode(name)
    stem = name if len(known) <= _NAME_BYTES else hashlib.blake2b(known, digest_size=16).hexdigest()
    return f".{stem}-"


def _create_temporary(path: str) -> tuple[int, str]:
    """Open a new file beside the target, locked as long as its writer lives, and remove those of writers that do not."""
    folder, name = os.path.split(path)
    stem = hidden_stem(name)
    _remove_abandoned(folder, re.compile(re.escape(stem) + f"[0-9a-f]{{{2 * _RANDOM_BYTES}}}\\.part"))
    for _ in range(_TRIES):
        temporary = os.path.join(folder, f"{stem}{secrets.token_hex(_RANDOM_BYTES)}.part")
        number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if lock_file(number) and os.path.exists(temporary):  # another writer may have found it before it was locked
            return number, temporary
        os.close(number)
    msg = "other writers of the same file take its temporary files away"
    raise SourceError(msg, url=path)


def _remove_abandoned(folder: str, pattern: re.Pattern[str]) -> None:
    try:
        found = [entry.path for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]
    except OSError:  # a folder may be written to and not listed
        return
    for path in found:
        with contextlib.suppress(OSError):  # of another user, or gone
            number = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                if lock_file(number):
                    os.unlink(path)
            finally:
                os.close(number)


def lock_file(number: int) -> bool:
    """Lock an open file for this process; False where another has it. A lock ends with its process, however that ends."""
    try:
        import fcntl
    except ImportError:  # other systems keep what killed writers leave
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _remove_file(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextlib.contextmanager
def _open_remote(url: str, overwrite: bool, options: dict[str, Any]) -> Iterator[IO[bytes]]:
    """Write to a temporary file, which is sent as a whole once it is complete."""
    import fsspec

    def find() -> tuple[Any, str, bool]:
        fs, path = fsspec.core.url_to_fs(url, **options)
        return fs, path, not overwrite and fs.exists(path)

    fs, path, there = run_work(lambda: run_within(get(), find), url, options)
    if there:
        raise _exists_error(public_url(url))
    name = public_url(url)
    with telling_disk_errors(name, "cannot be written"), tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        run_work(lambda: _send_file(file, fs, path), url, options)


def _send_file(file: IO[bytes], fs: Any, path: str) -> None:
    """Send all of a file; what was there stays until the storage has all of it, as far as the storage can do that."""
    if _is_memory(fs):  # shows a file as soon as it is opened, but takes bytes in one step
        fs.pipe_file(path, file.read())
        return
    out = fs.open(path, "wb")
    try:
        shutil.copyfileobj(file, out, _COPY_BYTES)
        out.close()  # not by a with statement, which does so after an error, too: that would complete what was sent
    except BaseException:
        _abandon_upload(out, fs, path)
        raise


def _is_memory(fs: Any) -> bool:
    from fsspec.implementations.memory import MemoryFileSystem

    return isinstance(fs, MemoryFileSystem)


def _abandon_upload(out: Any, fs: Any, path: str) -> None:
    """Leave nothing of a file that was not sent as a whole."""
    from fsspec.spec import AbstractBufferedFile

    with contextlib.suppress(Exception):  # the error that led here is the one to tell
        if isinstance(out, AbstractBufferedFile):
            out.closed = True  # else its finaliser would complete it
            if out.offset is not None:  # nothing was sent before
                out.discard()
        elif hasattr(out, "discard"):
            out.discard()
        else:  # it was written in its place, so that half of the new file is there instead of the old one
            out.close()
            fs.rm_file(path)


def run_work(work: Callable[[], T], url: str, options: dict[str, Any]) -> T:
    """Return what work returns; its errors are told without secrets, and without the errors that stand behind them."""
    failure: Exception | None = None
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # each file system raises classes of its own
        if isinstance(error, NotImplementedError) and not str(error):
            error = NotImplementedError("storage of this kind can be read, but not be written")
        failure = error_of(error, url, "cannot be written", hidden=secret_texts(options))
    raise failure
