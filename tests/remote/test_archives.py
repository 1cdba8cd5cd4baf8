"""Members of zip and tar archives, beside what the libraries read of them."""

import io
import struct
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scichunk
from scichunk.errors import MissingFile, ScichunkError, SourceError
from scichunk.sources import archives, locate
from scichunk.sources.archived import open_url
from scichunk.sources.base import Head
from scichunk.testing import RangeServer
from tests.archive_files import make_tar, make_zip

RANDOM = np.random.default_rng(3)
CONTENT = RANDOM.integers(0, 9, 300_000, "u1").tobytes()
WAYS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def read_all(target):
    source = locate(target).open()
    return bytes(source.read_ranges([0], [source.fingerprint.size])[0])


def read_all_of(kind, data, name):
    source = locate(f"{kind}://{name}", {"fo": io.BytesIO(data)}).open()
    return bytes(source.read_ranges([0], [source.fingerprint.size])[0])


@pytest.mark.parametrize("way", WAYS)
def test_members_of_each_compression(tmp_path, way):
    members = [("a/b.bin", CONTENT), ("a/ü.bin", CONTENT[::-1]), ("empty", b"")]
    (tmp_path / "x.zip").write_bytes(make_zip(members, way))
    for name, data in members:
        source = locate(f"zip://{name}::{tmp_path}/x.zip").open()
        size = source.fingerprint.size
        assert size == len(data)
        starts = [0, size // 3, size // 2, 0]
        stops = [size // 4, size // 2, size // 2, size]
        found = source.read_ranges(starts, stops)
        assert [bytes(f) for f in found] == [data[a:b] for a, b in zip(starts, stops, strict=True)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 250_000), st.integers(0, 60_000)), min_size=1, max_size=6), st.sampled_from(WAYS)
)
def test_ranges_of_members(parts, way):
    source = locate("zip://m", {"fo": io.BytesIO(make_zip([("l", b"123"), ("m", CONTENT)], way))}).open()
    starts, stops = [a for a, _ in parts], [min(a + n, len(CONTENT)) for a, n in parts]
    found = [bytes(f) for f in source.read_ranges(starts, stops)]
    assert found == [CONTENT[a:b] for a, b in zip(starts, stops, strict=True)]


@pytest.mark.parametrize("how", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_of_tar_archives(tmp_path, how):
    path = tmp_path / f"x.tar{how[1:].replace(':', '.')}"
    path.write_bytes(make_tar([("a//b", b"old"), ("c", CONTENT), ("a//b", b"the last one counts")], how))
    assert read_all(f"tar://c::{path}") == CONTENT
    assert read_all(f"tar://a/b::{path}") == b"the last one counts"


def test_links_and_sparse_members_of_tar_archives(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("c")
        info.size = len(CONTENT)
        archive.addfile(info, io.BytesIO(CONTENT))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"link{kind.decode()}")
            info.type, info.linkname = kind, "c"
            archive.addfile(info)
        # A GNU sparse member of 2000 bytes, of which five at 1000 are written.
        info = tarfile.TarInfo("sparse")
        info.size, info.type = 5, tarfile.GNUTYPE_SPARSE
        head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        head[386:410] = b"%011o\0%011o\0" % (1000, 5)
        head[483:495] = b"%011o\0" % 2000
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        archive.fileobj.write(bytes(head) + b"12345" + bytes(507))
        archive.offset += 1024
    path = tmp_path / "x.tar"
    path.write_bytes(out.getvalue())
    assert read_all(f"tar://link2::{path}") == read_all(f"tar://link1::{path}") == CONTENT
    with tarfile.open(path) as archive:
        assert archive.extractfile("sparse").read() == bytes(1000) + b"12345" + bytes(995)
    assert read_all(f"tar://sparse::{path}") == bytes(1000) + b"12345" + bytes(995)


@pytest.mark.parametrize("way", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("harm", ["name", "signature", "place", "checksum", "encrypted"])
def test_members_that_zipfile_refuses(tmp_path, way, harm):
    data = bytearray(make_zip([("first", CONTENT[:999]), ("m.bin", CONTENT), ("last", b"abc")], way))
    local, central = data.index(b"m.bin") - 30, data.rindex(b"m.bin") - 46
    if harm == "name":
        data[local + 30] ^= 1
    elif harm == "signature":
        data[local] ^= 1
    elif harm == "place":
        data[central + 42 : central + 46] = struct.pack("<I", len(data) - 10)
    elif harm == "checksum":
        data[central + 16] ^= 1
    else:
        data[central + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    refused = zipfile.BadZipFile, RuntimeError, EOFError
    with zipfile.ZipFile(tmp_path / "x.zip") as archive, pytest.raises(refused):
        archive.read("m.bin")
    with scichunk.options.set(retries=0), pytest.raises(SourceError):
        read_all(f"zip://m.bin::{tmp_path}/x.zip")


def test_a_member_within_another(tmp_path):
    """A stored member whose data would reach into the next one, which zipfile takes for a bomb."""
    data = bytearray(make_zip([("a", CONTENT), ("b", CONTENT)]))
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x01\x02"))
    data[central + 20 : central + 28] = struct.pack("<II", len(CONTENT) + 999, len(CONTENT) + 999)
    (tmp_path / "x.zip").write_bytes(data)
    with scichunk.options.set(retries=0), pytest.raises(SourceError):
        read_all(f"zip://a::{tmp_path}/x.zip")


def test_what_is_no_member(tmp_path):
    (tmp_path / "x.zip").write_bytes(make_zip([("a/b", b"1"), ("c/", b"")]))
    for name in ("a", "c", ""):
        with pytest.raises(SourceError, match="is a directory"):
            locate(f"zip://{name}::{tmp_path}/x.zip").open()
    with pytest.raises(MissingFile):
        locate(f"zip://d::{tmp_path}/x.zip").open()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_the_headers_of_an_archive_are_read_once(make, monkeypatch):
    """Each member is opened by itself; to read the headers of all others each time would take quadratic time."""
    scichunk.clear_caches()
    listed = []

    def count(real):
        return lambda *args, **kwargs: listed.append(1) or real(*args, **kwargs)

    for name in ("list_zip", "list_tar"):
        monkeypatch.setattr(archives, name, count(getattr(archives, name)))
    members = [(f"{i}.bin", RANDOM.bytes(70_000)) for i in range(40)]
    kind = "zip" if make is make_zip else "tar"
    with RangeServer({"x": make(members)}) as server:
        for name, data in members:
            assert read_all(f"{kind}://{name}::{server.url('x')}") == data
    assert len(listed) == 1


def test_a_compressed_archive_is_decompressed_once(tmp_path, monkeypatch):
    scichunk.clear_caches()
    expanded = []

    def expand(*args, real=archives.expand_source, **kwargs):
        expanded.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(archives, "expand_source", expand)
    members = [(f"{i}.bin", RANDOM.bytes(70_000)) for i in range(9)]
    (tmp_path / "x.tar.gz").write_bytes(make_tar(members, "w:gz"))
    for name, data in members:
        assert read_all(f"tar://{name}::{tmp_path}/x.tar.gz") == data
    assert len(expanded) == 1


def test_another_archive_under_the_same_name(tmp_path):
    path = tmp_path / "x.zip"
    for content in (b"first", b"second", b"third"):
        (tmp_path / "new").write_bytes(make_zip([("pad", CONTENT[: len(content)]), ("m", content)]))
        (tmp_path / "new").replace(path)
        assert read_all(f"zip://m::{path}") == content


def test_a_head_of_another_version_is_noticed_at_each_read(tmp_path):
    """Another process may have kept the head of what the archive held before."""
    (tmp_path / "x.zip").write_bytes(make_zip([("m", CONTENT)]))
    known = Head(b"old", len(CONTENT), "the version before")
    source = open_url(f"zip://m::{tmp_path}/x.zip", {}, lambda place: locate(place[1]).open(), known)
    for _ in range(3):
        with pytest.raises(SourceError, match="changed since it was opened"):
            source.read_ranges([1000], [2000])


def test_an_archive_whose_server_names_no_version():
    """Its head does not tell the archives apart: the place of the member may have changed behind it."""
    scichunk.clear_caches()
    with RangeServer({"x": b""}, validators="none") as server:
        for members in (
            [("pad", CONTENT), ("n", b"1"), ("m", b"first")],
            [("pad", CONTENT), ("m", b"secnd"), ("n", b"1")],
        ):
            server.files["x"] = make_zip(members)
            assert read_all(f"zip://m::{server.url('x')}") == members[1 if members[1][0] == "m" else 2][1]


def test_threads_read_members_of_one_archive(tmp_path):
    members = [(f"{i}.bin", RANDOM.bytes(200_000)) for i in range(8)]
    for way in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (tmp_path / "x.zip").write_bytes(make_zip(members, way))
        sources = [locate(f"zip://{name}::{tmp_path}/x.zip").open() for name, _ in members]
        wrong = []

        def read(seed, sources=sources, wrong=wrong):
            rng = np.random.default_rng(seed)
            for _ in range(60):
                i, start = int(rng.integers(8)), int(rng.integers(190_000))
                stop = start + int(rng.integers(10_000))
                if bytes(sources[i].read_ranges([start], [stop])[0]) != members[i][1][start:stop]:
                    wrong.append((i, start, stop))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def damage(data, rng):
    """Change, drop or add a few bytes, every other time near a header."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(data)))
        if rng.random() < 0.5 and (mark := data.find(b"PK", at)) >= 0:
            at = min(mark + int(rng.integers(50)), len(data) - 1)
        kind = rng.integers(4)
        if kind == 0:
            data[at] = int(rng.choice([0, 1, 8, 0x7F, 0x80, 0xFF]))
        elif kind == 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 8))]
        else:
            data[at:at] = bytes(int(rng.integers(1, 5)))
    return bytes(data)


def read_by_library(kind, data, name):
    try:
        if kind == "zip":
            return zipfile.ZipFile(io.BytesIO(data)).read(name)
        return tarfile.open(fileobj=io.BytesIO(data)).extractfile(name).read()
    except Exception as error:
        return error


@pytest.mark.parametrize("seed", range(4))
def test_damaged_archives(seed):
    """What is read of a damaged archive is what the libraries read of it, or nothing."""
    rng = np.random.default_rng(seed)
    members = [("a.bin", b"0123456789" * 30), ("b/c.bin", rng.bytes(500)), ("d.bin", b"x" * 700)]
    sound = [("zip", make_zip(members, way)) for way in WAYS] + [
        ("tar", make_tar(members, f"w{s}")) for s in ("", ":gz", ":xz")
    ]
    read = 0
    with scichunk.options.set(retries=0):
        for number in range(140):
            kind, data = sound[number % len(sound)]
            data, (name, _) = damage(data, rng), members[number % 3]
            try:
                found = read_all_of(kind, data, name)
            except ScichunkError:
                continue
            assert found == read_by_library(kind, data, name)
            read += 1
    assert read > 20


def test_an_archive_that_is_cut(tmp_path):
    data = make_zip([("a", CONTENT)])
    for stop in (10, 1000, len(data) - 30, len(data) - 1):
        (tmp_path / "x.zip").write_bytes(data[:stop])
        with scichunk.options.set(retries=0), pytest.raises(ScichunkError):
            read_all(f"zip://a::{tmp_path}/x.zip")
