"""Processes of one machine share the heads of remote files through a folder, and still notice what has changed."""

import concurrent.futures
import multiprocessing
import os
import pickle

import fsspec
import numpy as np
import pytest

import scichunk
from scichunk.errors import OptionError, PerformanceWarning, SourceError
from scichunk.sources.shared_heads import drop_oldest
from scichunk.testing import RangeServer
from tests.remote.test_processes import fits_bytes

ROWS = np.arange(300 * 400, dtype="i4").reshape(300, 400)
CHANGED = "has changed since it was opened"


DATA = fits_bytes(ROWS)


@pytest.fixture
def folder(tmp_path):
    """The folder of the heads, which is not there yet."""
    path = tmp_path / "heads"
    with scichunk.options.set(shared_heads=path, retry_wait=0.001):
        yield path


def last_rows(array):
    """Rows behind the head, as a process reads them that has just been started."""
    travelled = pickle.loads(pickle.dumps(array))
    scichunk.clear_caches()
    return travelled[-3:].compute(scheduler="synchronous")


def test_the_head_is_fetched_once(folder):
    with RangeServer({"a.fits": DATA}) as server:
        array = scichunk.from_fits(server.url("a.fits"))
        for _ in range(3):
            np.testing.assert_array_equal(last_rows(array), ROWS[-3:])
        assert server.requests == 1 + 3
        with scichunk.options.set(shared_heads=""):
            last_rows(array)
        assert server.requests == 4 + 2
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert [oct(path.stat().st_mode)[-3:] for path in folder.iterdir()] == ["600"]


def rows_of(array):
    return array[-3:].compute(scheduler="synchronous"), os.getpid()


def test_processes_share_it(folder, monkeypatch):
    monkeypatch.setenv("SCICHUNK_SHARED_HEADS", str(folder))
    with RangeServer({"a.fits": DATA}) as server:
        array = scichunk.from_fits(server.url("a.fits"))
        for _ in range(2):
            with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                rows, pid = pool.submit(rows_of, array).result()
            np.testing.assert_array_equal(rows, ROWS[-3:])
            assert pid != os.getpid()
        assert server.requests == 1 + 2


@pytest.mark.parametrize("validators", ["strong", "weak", "date"])
@pytest.mark.parametrize("content", [fits_bytes(ROWS + 1), DATA + b"\0" * 2880], ids=["same length", "longer"])
def test_a_file_that_has_changed(folder, validators, content):
    with RangeServer({"a.fits": DATA}, validators=validators) as server:
        array = scichunk.from_fits(server.url("a.fits"))
        server.files["a.fits"] = content
        with pytest.raises(SourceError, match=CHANGED):
            last_rows(array)


def test_a_storage_that_names_no_version(folder):
    with RangeServer({"a.fits": DATA}, validators="none") as server:
        array = scichunk.from_fits(server.url("a.fits"))
        assert not folder.exists()
        server.files["a.fits"] = fits_bytes(ROWS[::-1])
        with pytest.raises(SourceError, match=CHANGED):
            last_rows(array)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data + b"x"])
def test_a_head_that_is_not_whole(folder, damage):
    with RangeServer({"a.fits": DATA}) as server:
        array = scichunk.from_fits(server.url("a.fits"))
        (kept,) = folder.iterdir()
        kept.write_bytes(damage(kept.read_bytes()))
        np.testing.assert_array_equal(last_rows(array), ROWS[-3:])
        assert server.requests == 3


def test_other_credentials_have_their_own(folder):
    with RangeServer({"a.fits": DATA}) as server:
        for token in "ab":
            array = scichunk.from_fits(server.url("a.fits"), storage_options={"headers": {"Authorization": token}})
            np.testing.assert_array_equal(last_rows(array), ROWS[-3:])
        assert server.requests == 4
    assert len(list(folder.iterdir())) == 2


class Tagged(fsspec.AbstractFileSystem):
    """A file system that is asked by method, and counts."""

    protocol = "tagged"
    cachable = False
    content = DATA
    fetched = 0

    def info(self, path, **kwargs):
        tag = f"{hash(Tagged.content):x}"
        return {"name": path, "size": len(Tagged.content), "type": "file", "ETag": tag}

    def cat_file(self, path, start=None, end=None, **kwargs):
        Tagged.fetched += 1
        return Tagged.content[start:end]


def test_other_file_systems(folder):
    fsspec.register_implementation("tagged", Tagged, clobber=True)
    Tagged.content, Tagged.fetched = DATA, 0
    array = scichunk.from_fits("tagged://a.fits")
    for _ in range(2):
        np.testing.assert_array_equal(last_rows(array), ROWS[-3:])
    assert Tagged.fetched == 1 + 2
    Tagged.content = fits_bytes(ROWS + 1)
    with pytest.raises(SourceError, match=CHANGED):
        last_rows(array)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_into_which_others_can_write_is_not_used(folder):
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    with RangeServer({"a.fits": DATA}) as server:
        with pytest.warns(PerformanceWarning, match=r"shared_heads=.*others can write into it") as told:
            array = scichunk.from_fits(server.url("a.fits"))
            np.testing.assert_array_equal(last_rows(array), ROWS[-3:])
        assert len(told) == 1
        assert told[0].filename == __file__
        assert server.requests == 3
    assert not list(folder.iterdir())


def test_a_place_where_no_folder_can_be(folder):
    folder.write_text("a file")
    with RangeServer({"a.fits": DATA}) as server:
        with pytest.warns(PerformanceWarning, match="cannot be made"):
            array = scichunk.from_fits(server.url("a.fits"))
        np.testing.assert_array_equal(last_rows(array), ROWS[-3:])


def test_local_files_need_none(folder, tmp_path):
    (tmp_path / "a.fits").write_bytes(DATA)
    np.testing.assert_array_equal(last_rows(scichunk.from_fits(tmp_path / "a.fits")), ROWS[-3:])
    assert not folder.exists()


def test_the_oldest_go_first(tmp_path):
    for n in range(10):
        (tmp_path / f"{n}.head").write_bytes(bytes(1000))
        os.utime(tmp_path / f"{n}.head", (n, n))
    (tmp_path / "of somebody else").write_bytes(bytes(100_000))
    drop_oldest(str(tmp_path), 10_000)
    assert len(list(tmp_path.iterdir())) == 11
    drop_oldest(str(tmp_path), 9_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.head" for n in range(6, 10)] + [
        "of somebody else"
    ]


def test_a_path_only():
    with pytest.raises(OptionError, match="shared_heads = 1: it must be a path"):
        scichunk.options.set(shared_heads=1)
