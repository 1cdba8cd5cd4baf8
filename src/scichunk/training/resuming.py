"""A hidden folder beside a file that is being made, in which a run that was broken off finds what it had done."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from typing import IO, Final

from scichunk.errors import SourceError
from scichunk.sources.output import hidden_stem, local_errors, lock_file

__all__ = ["resumable_folder"]

_MARK: Final = "scichunk-predictions"
"""An empty file in each such folder: without it, a folder of the same name is the user's."""


@contextlib.contextmanager
def resumable_folder(path: str) -> Iterator[str]:
    """Make a folder for what a file is made of, or find that of an earlier run; it is removed when all went well, and else kept.

    Parameters
    ----------
    path
        The real path of the file.

    Yields
    ------
    str
        Path of the folder, which is locked as long as this process lives.

    Raises
    ------
    SourceError
        If it cannot be made, is not ours, or is that of another run that goes on.
    """
    parent, name = os.path.split(path)
    folder = os.path.join(parent, f"{hidden_stem(name)}predictions")
    with local_errors(path):
        lock = _claim(folder, path)
    with lock:
        try:
            yield folder
        except BaseException:
            with contextlib.suppress(OSError):  # told is what has failed before
                if os.listdir(folder) == [_MARK]:  # there is nothing to go on with
                    _remove(folder, lock)
            raise
        with local_errors(path):
            _remove(folder, lock)


def _claim(folder: str, path: str) -> IO[bytes]:
    """Make or find the folder; return its mark, open and locked."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    name = os.path.join(folder, _MARK)
    if not stat.S_ISDIR(os.lstat(folder).st_mode) or (os.listdir(folder) and not os.path.lexists(name)):
        msg = f"{os.path.basename(folder)!r} beside it is in the way, and is not of an earlier run: move it"
        raise SourceError(msg, url=path)
    mark = os.fdopen(os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600), "r+b")
    # The run that had it may have ended meanwhile, and removed it.
    if lock_file(mark.fileno()) and os.path.exists(name):
        return mark
    mark.close()
    msg = "another run predicts into this file"
    raise SourceError(msg, url=path)


def _remove(folder: str, lock: IO[bytes]) -> None:
    """Remove the folder; the mark at last, so that nothing of ours is left without it."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != _MARK:
            os.unlink(entry.path)
    os.unlink(os.path.join(folder, _MARK))
    lock.close()  # network file systems keep open files under another name, in their folder
    with contextlib.suppress(OSError):  # another run has begun in it
        os.rmdir(folder)
