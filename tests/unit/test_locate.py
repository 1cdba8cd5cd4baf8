"""What a user gives, as a location: its identity, its neighbours, and how it opens."""

import io
import os
import pickle
from pathlib import Path

import fsspec
import pytest

from scichunk.errors import SourceError
from scichunk.sources import Location, locate
from scichunk.sources.output import open_output


def content(location):
    source = location.open()
    return bytes(source.read_ranges([0], [source.fingerprint.size])[0])


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"hello")
    return tmp_path / "a.bin"


def test_names_of_local_files_are_one_location(path):
    names = [
        path,
        str(path),
        f"file://{path}",
        f"file://localhost{path}",
        f"local://{path}",
        f"{path.parent}/./x/../a.bin",
        locate(path),
        os.path.relpath(path),
    ]
    for name in names:
        assert locate(name).target == str(path), name
        assert locate(name).local_path == str(path)
        assert locate(name).key == locate(path).key
        assert content(locate(name)) == b"hello"


@pytest.mark.parametrize("url", ["file://other/a.bin", "file://me:hunter2@other/a.bin", "local://other/a.bin"])
def test_files_of_other_machines(url):
    for use in (locate, lambda name: open_output(name).__enter__()):
        with pytest.raises(SourceError, match="file of the host 'other'") as caught:
            use(url)
        assert "hunter2" not in str(caught.value)


def test_the_home_folder():
    assert locate("~/a.bin").target == str(Path.home() / "a.bin")


@pytest.mark.parametrize("url", ["http://host/a.tif", "s3://bucket/a.tif", "memory://a", "zip://a.tif::file:///b.zip"])
def test_urls_stay_as_they_are(url):
    found = locate(url)
    assert (found.target, found.local_path) == (url, None)


@pytest.mark.parametrize("given", [b"hello", bytearray(b"hello"), memoryview(b"hello"), io.BytesIO(b"hello")])
def test_content_in_memory(given):
    found = locate(given)
    assert content(found) == b"hello"
    assert found.local_path is None
    assert found.key == locate(b"hello").key
    assert found.key != locate(b"hellO").key
    assert found.url == "<5 bytes>"


def test_content_is_copied_from_what_can_change():
    data = bytearray(b"hello")
    found = locate(data)
    data[0] = 0
    assert content(found) == b"hello"


def test_open_files(path):
    with open(path, "rb") as file:
        found = locate(file)
        assert content(found) == b"hello"
        assert found.local_path == str(path)
    with fsspec.open(path, "rb") as file:
        assert content(locate(file)) == b"hello"
    assert content(found) == b"hello", "an open file of this machine is its path, whether it is still open or not"


def test_objects_without_a_name():
    class Reader(io.RawIOBase):
        def __init__(self, data):
            self.inner = io.BytesIO(data)

        def readinto(self, buffer):
            return self.inner.readinto(buffer)

        def seek(self, *where):
            return self.inner.seek(*where)

        def tell(self):
            return self.inner.tell()

    one, other = Reader(b"hello"), Reader(b"other")
    assert (content(locate(one)), content(locate(other))) == (b"hello", b"other")
    assert locate(one).key != locate(other).key
    assert locate(one).key == locate(one).key
    assert locate(one).url == "<Reader>"
    assert content(pickle.loads(pickle.dumps(locate(one)))) == b"hello"


@pytest.mark.parametrize("wrong", [3, None, ["a"], object(), {"a": 1}, 1.5])
def test_what_names_no_file(wrong):
    with pytest.raises(
        TypeError, match=f"expected a path, URL, bytes or binary file object, got {type(wrong).__name__}"
    ):
        locate(wrong)


def test_several_files_are_sent_to_the_function_for_them():
    with pytest.raises(TypeError, match=r"got list; scichunk\.from_files makes one array of several files"):
        locate(["a.tif", "b.tif"])


@pytest.mark.parametrize("one", [{"anon": True}, {"key": "a"}, None])
@pytest.mark.parametrize("other", [{"anon": False}, {"key": "b"}])
def test_other_credentials_are_another_file(one, other):
    assert locate("s3://bucket/a.tif", one).key != locate("s3://bucket/a.tif", other).key
    assert locate("s3://bucket/a.tif", other).key == locate("s3://bucket/a.tif", dict(other)).key


@pytest.mark.parametrize("hidden", ["user:pw@", "x@"])
def test_names_for_messages_hold_no_user(hidden):
    assert locate(f"https://{hidden}host/a.tif").url == "https://host/a.tif"


def test_locations_are_small_and_equal_after_travelling(path):
    for given in (path, "s3://bucket/a.tif", b"hello"):
        found = locate(given)
        again = pickle.loads(pickle.dumps(found))
        assert isinstance(again, Location)
        assert (again, again.key) == (found, found.key)
        assert len(pickle.dumps(found)) < 200 + len(str(path))


def test_names_that_are_bytes(path):
    [entry] = [e for e in os.scandir(os.fsencode(path.parent)) if os.fsdecode(e.name) == path.name]
    assert locate(entry) == locate(path)


@pytest.mark.parametrize("caches", ["", "simplecache::", "blockcache::simplecache::"])
@pytest.mark.parametrize("rest", ["https://h/d/{}?sig=1", "zip://d/{}::s3://bucket/x.zip", "memory://d/{}"])
def test_caches_stand_before_the_name(caches, rest):
    location = Location(caches + rest.format("a.tif"))
    assert location.name == "a.tif"
    assert location.sibling("b.tif").target == caches + rest.format("b.tif")
