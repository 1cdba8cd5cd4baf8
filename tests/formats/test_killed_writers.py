"""Writers that are killed, that meet each other, a full disk, a folder that is closed: nothing half is ever seen, nothing is left."""

import os
import signal
import stat
import subprocess
import sys

import fsspec
import numpy as np
import pyarrow as pa
import pytest

import scichunk
from scichunk.errors import SourceError
from tests.children import outcomes

SECONDS = 100
TABLE = pa.table({"a": np.arange(50_000), "s": [f"text {i}" for i in range(50_000)]})
WRITERS = {
    "fits": (scichunk.write_fits_table, scichunk.read_fits_table),
    "vot": (scichunk.write_votable, scichunk.read_votable),
}
PROGRAM = """
import os, signal, sys
import dask, numpy as np, pandas as pd, dask.dataframe as dd, scichunk
dask.config.set(scheduler="synchronous")
writer, path, what, number = sys.argv[1:]

def step(part):
    if what != "go on" and len(part) and part.a.iloc[0] == 2000:
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        print("in the middle", flush=True)
        sys.stdin.readline()
    return part

frame = pd.DataFrame({"a": np.arange(4000), "n": int(number), "s": "text"})
frame = dd.from_pandas(frame, npartitions=4).map_partitions(step, meta=frame[:0])
getattr(scichunk, writer)(frame, path, overwrite=True)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="locks, signals and limits of Linux")


def start(writer, path, what, number):
    command = [sys.executable, "-c", PROGRAM, WRITERS[writer][0].__name__, str(path), what, str(number)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process):
    process.communicate("\n", timeout=SECONDS)
    return process.returncode


def numbers(writer, path):
    return set(WRITERS[writer][1](path).compute(scheduler="synchronous").n)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path, writer):
    path = tmp_path / f"x.{writer}"
    for _ in range(2):
        assert end(start(writer, path, "die", 1)) == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)  # the second has removed what the first left
    assert left.endswith(".part")
    living = start(writer, path, "wait", 2)
    assert living.stdout.readline() == "in the middle\n"
    (of_living,) = os.listdir(tmp_path)
    assert of_living != left
    assert end(start(writer, path, "die", 3)) == -signal.SIGKILL
    assert of_living in os.listdir(tmp_path)
    assert end(start(writer, path, "go on", 4)) == 0
    assert sorted(os.listdir(tmp_path)) == sorted([of_living, path.name])
    assert numbers(writer, path) == {4}
    assert end(living) == 0
    assert os.listdir(tmp_path) == [path.name]
    assert numbers(writer, path) == {2}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(tmp_path, writer):
    path = str(tmp_path / f"x.{writer}")
    write, read = WRITERS[writer]
    write(TABLE[:10], path)
    limited = f"""
import resource, sys
sys.path.insert(0, {os.getcwd()!r})
from tests.formats.test_killed_writers import TABLE
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
scichunk.{write.__name__}(TABLE, NAME, overwrite=True)
"""
    found = outcomes(*(limited.replace("NAME", repr(name)) for name in (path, path + ".new")))
    assert found == ["SourceError"] * 2
    assert os.listdir(tmp_path) == [f"x.{writer}"]
    assert len(read(path)) == 10


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_is_closed(writer):
    code = f"""
import os, tempfile, pyarrow as pa
table = pa.table({{"a": [1, 2], "s": ["x", "y"]}})
with tempfile.TemporaryDirectory() as folder:
    scichunk.{WRITERS[writer][0].__name__}(table, folder + "/x")
    before = open(folder + "/x", "rb").read()
    os.chmod(folder, 0o555)
    user = os.geteuid()
    if user == 0:  # nothing is closed for the superuser
        os.seteuid(65534)
    try:
        for name in ("/x", "/y"):
            try:
                scichunk.{WRITERS[writer][0].__name__}(table, folder + name, overwrite=True)
            except scichunk.errors.SourceError as error:
                print("Permission denied" in str(error))
    finally:
        os.seteuid(user)
        os.chmod(folder, 0o755)
    print(os.listdir(folder) == ["x"] and open(folder + "/x", "rb").read() == before)
"""
    assert outcomes(code) == ["True\nTrue\nTrue"]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_files_have_the_mode_that_the_user_wants(tmp_path, writer, umask):
    before = os.umask(umask)
    try:
        WRITERS[writer][0](TABLE[:10], tmp_path / "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("writer", WRITERS)
def test_owner_group_and_mode_are_kept(tmp_path, writer):
    path = tmp_path / "x"
    tmp_path.chmod(0o2755)
    WRITERS[writer][0](TABLE[:10], path)
    groups = [g for g in os.getgroups() if g != path.stat().st_gid]
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    elif groups:
        os.chown(path, -1, groups[0])
    path.chmod(0o640)
    want = path.stat()
    WRITERS[writer][0](TABLE[:20], path, overwrite=True)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode) == (want.st_uid, want.st_gid, want.st_mode)
    assert found.st_ino != want.st_ino


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["😀" * 60, "x" * 255, "日" * 80])
def test_long_names(tmp_path, writer, name):
    write, read = WRITERS[writer]
    write(TABLE[:10], tmp_path / name)
    assert len(read(tmp_path / name)) == 10
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_no_file(tmp_path, writer):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to("circle")
    names = [str(tmp_path / n) for n in ("pipe", "folder", "link", "circle")] + [
        "/dev/full",
        "/proc/self/comm",
        "/dev/stdin",
        "",
    ]
    write = WRITERS[writer][0].__name__
    code = f"import pyarrow as pa\nscichunk.{write}(pa.table({{'a': [1]}}), NAME, overwrite=FLAG)"
    programs = [code.replace("NAME", repr(n)).replace("FLAG", flag) for n in names for flag in ("True", "False")]
    assert outcomes(*programs) == ["SourceError"] * len(programs)
    assert sorted(os.listdir(tmp_path)) == ["circle", "folder", "link", "pipe"]
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("writer", WRITERS)
def test_storage_that_cannot_be_written_to_says_so(writer):
    with pytest.raises(SourceError, match="can be read, but not be written"):
        WRITERS[writer][0](TABLE, "http://127.0.0.1:9/x", overwrite=True)


class Failing(fsspec.get_filesystem_class("memory")):
    """A file system whose files can be opened for writing, and not written."""

    protocol = "failing"

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("failing://")

    def exists(self, path, **kwargs):
        return False

    def _open(self, path, mode="rb", **kwargs):
        message = "no room for ?sig=hunter2"
        raise OSError(28, message)


fsspec.register_implementation("failing", Failing, clobber=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_storage_without_room(writer):
    with pytest.raises(SourceError, match=r"cannot be written: OSError.* no room for") as caught:
        WRITERS[writer][0](TABLE, "failing://x")
    assert "hunter2" not in repr(caught.value)
