"""Files appear whole or not at all, under the right name and with the right mode, here and elsewhere."""

import contextlib
import errno
import gc
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from typing import ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFile
from fsspec.spec import AbstractBufferedFile

import scichunk
from scichunk.errors import SourceError
from scichunk.sources.output import open_output


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(RuntimeError), open_output(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with open_output(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    with pytest.raises(SourceError, match="exists already"), open_output(path):
        pass
    with open_output(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]
    with pytest.raises(SourceError, match="cannot be written"), open_output(tmp_path / "no" / "x"):
        pass


def test_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "x"

    def write(n):
        with open_output(path, overwrite=True) as file:
            for _ in range(50):
                file.write(bytes([n]) * 1000)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = path.read_bytes()
    assert len(found) == 50_000
    assert len(set(found)) == 1


def test_links_are_followed(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder / "x")
    with open_output(link) as file:
        file.write(b"new")
    with open_output(link, overwrite=True) as file:
        file.write(b"newer")
    assert link.is_symlink()
    assert (folder / "x").read_bytes() == b"newer"
    with pytest.raises(SourceError, match="exists already"), open_output(link):
        pass


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(mode)
    with open_output(path, overwrite=True) as file:
        file.write(b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


@pytest.mark.parametrize("kind", [errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_file_systems_without_modes(tmp_path, monkeypatch, kind, mode):
    def refuse(number, mode):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(os, "fchmod", refuse)
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(mode)
    with open_output(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_mode_that_cannot_be_set_is_an_error_elsewhere(tmp_path, monkeypatch):
    def refuse(number, mode):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o600)
    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(SourceError, match="cannot be written"), open_output(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_only_regular_files_are_replaced(tmp_path, overwrite):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link", "."):
        with pytest.raises(SourceError, match="regular file"), open_output(tmp_path / name, overwrite=overwrite):
            pass
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "x"
    code = f"""
import os, signal
from scichunk.sources.output import open_output
with open_output({str(path)!r}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert [n.endswith(".part") for n in os.listdir(tmp_path)] == [True]
    with open_output(tmp_path / "y") as file:  # of another file: none of its business
        file.write(b"y")
    assert len(os.listdir(tmp_path)) == 2
    with open_output(path, overwrite=True) as first:
        first.write(b"first")
        with open_output(path) as second:  # the first lives, so its file stays
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]
    assert path.read_bytes() == b"first"


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(SourceError, match="exists already"), open_output(path) as file:
        file.write(b"late")
        path.write_bytes(b"early")
    assert path.read_bytes() == b"early"
    assert os.listdir(tmp_path) == ["x"]


def test_odd_names(tmp_path):
    with pytest.raises(SourceError, match="cannot be written"), open_output("a\0b"):
        pass
    with open_output(os.fsencode(tmp_path / "x")) as file:
        file.write(b"x")
    with open_output((tmp_path / "y").as_uri()) as file:
        file.write(b"y")
    with open_output(f"file://localhost{tmp_path}/z") as file:
        file.write(b"z")
    assert sorted(os.listdir(tmp_path)) == ["x", "y", "z"]


def test_elsewhere():
    fs = fsspec.filesystem("memory")
    url = "memory://output/x"
    try:
        with pytest.raises(RuntimeError), open_output(url) as file:
            file.write(b"half")
            raise RuntimeError
        assert not fs.exists(url)
        with open_output(url) as file:
            file.write(b"whole")
        with pytest.raises(SourceError, match="exists already"), open_output(url):
            pass
        with open_output(url, overwrite=True) as file:
            file.write(b"new")
        assert fs.cat(url) == b"new"
    finally:
        fs.rm("/output", recursive=True)


def test_nowhere():
    url = "nonsense://user:hunter2@host/x?sig=SECRET"
    with pytest.raises(SourceError, match="cannot be written") as caught, open_output(url):
        pass
    assert "hunter2" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_tables_elsewhere():
    table = pa.table({"a": np.arange(5), "s": ["x", "yy", None, "", "z"]})
    fs = fsspec.filesystem("memory")
    try:
        scichunk.write_fits_table(table, "memory://output/t.fits")
        scichunk.write_votable(table, "memory://output/t.vot")
        assert scichunk.read_fits_table("memory://output/t.fits").compute().a.tolist() == [0, 1, 2, 3, 4]
        assert scichunk.read_votable("memory://output/t.vot").compute().s.tolist()[1] == "yy"
    finally:
        fs.rm("/output", recursive=True)


class _Upload(AbstractBufferedFile):
    """Parts that become a file when it is closed, as those of object stores do."""

    def _initiate_upload(self):
        self.parts, self.tries = [], 0

    def _upload_chunk(self, final=False):
        self.tries += 1
        if self.tries == self.fs.fails_at:
            raise self.fs.failure
        self.parts.append(self.buffer.getvalue())
        if final:
            self.fs.files[self.path] = b"".join(self.parts)


class _Uploads(AbstractFileSystem):
    protocol = "uploads"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    fails_at, failure = 0, None

    def _open(self, path, mode="rb", **kwargs):
        return _Upload(self, path, mode, block_size=1 << 20)

    def exists(self, path, **_):
        return path in self.files


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError("no network")])
@pytest.mark.parametrize("part", [1, 2, 3])
@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_is_not_sent_as_a_whole_replaces_nothing(monkeypatch, part, failure, there):
    fsspec.register_implementation("uploads", _Uploads, clobber=True)
    monkeypatch.setattr(_Uploads, "files", {"x": b"old"} if there else {})
    monkeypatch.setattr(_Uploads, "failure", failure)
    monkeypatch.setattr(_Uploads, "fails_at", part)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else SourceError
    with pytest.raises(expected), open_output("uploads://x", overwrite=True) as file:
        file.write(b"new" * (3 << 20))
    gc.collect()
    assert _Uploads.files == ({"x": b"old"} if there else {})


def test_what_was_sent_of_a_file_is_given_up(monkeypatch):
    discarded = []
    fsspec.register_implementation("uploads", _Uploads, clobber=True)
    monkeypatch.setattr(_Upload, "discard", lambda upload: discarded.append(upload.path))
    monkeypatch.setattr(_Uploads, "failure", OSError("no network"))
    monkeypatch.setattr(_Uploads, "fails_at", 2)
    with pytest.raises(SourceError, match="no network"), open_output("uploads://x", overwrite=True) as file:
        file.write(b"new" * (3 << 20))
    assert discarded == ["x"]


def test_a_file_in_memory_is_replaced_in_one_step(monkeypatch):
    fs = fsspec.filesystem("memory")

    def interrupt(*_):
        raise KeyboardInterrupt

    try:
        with open_output("memory://output/x") as file:
            file.write(b"old")
        monkeypatch.setattr(MemoryFile, "write", interrupt)
        with contextlib.suppress(KeyboardInterrupt), open_output("memory://output/x", overwrite=True) as file:
            file.write(b"new")
        assert fs.cat("memory://output/x") in {b"old", b"new"}
    finally:
        fs.rm("/output", recursive=True)


def test_a_folder_for_temporary_files_that_is_not_there(monkeypatch):
    with monkeypatch.context() as changed, pytest.raises(SourceError, match=r"cannot be written.*temporary files"):
        changed.setattr(tempfile, "tempdir", "/nonexistent/folder")
        with open_output("memory://output/x"):
            pass


def test_a_full_disk_of_temporary_files():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(SourceError, match=r"cannot be written: No space left.*temporary files") as caught,
        open_output("memory://user:secret@output/x"),
    ):
        raise full
    assert caught.value.url == "memory://output/x"
