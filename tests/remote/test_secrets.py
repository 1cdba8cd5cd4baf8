"""What is secret in a URL or in storage options is shown nowhere: in no message, name, attribute, warning or pickled error."""

import contextlib
import io
import json
import pathlib
import pickle
import traceback
import urllib.parse
import warnings
import zipfile

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits
from fsspec.implementations.memory import MemoryFileSystem

import scichunk
from scichunk.adapters.cli import main
from scichunk.adapters.dask.native import readers_of
from scichunk.errors import ScichunkError, SourceError
from scichunk.sources import locate
from scichunk.sources.base import without_secrets
from scichunk.testing import RangeServer
from tests.votable_docs import doc

PIXELS = np.arange(300 * 300, dtype="i4").reshape(300, 300)
SECRETS = ("hunter2", "swordfish", "a/b+c==", "FRAG", "p@ss/word")
QUERY = f"token=hunter2&password=swordfish&X-Amz-Signature={urllib.parse.quote('a/b+c==', safe='')}#FRAG"
QUICK = {"retry_wait": 0.001, "retries": 1, "timeout": 2.0}


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(pixels), fits.ImageHDU(np.ones((9, 9)), name="B")]).writeto(out)
    return out.getvalue()


def zip_bytes(data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.fits", data)
    return out.getvalue()


DATA = fits_bytes(PIXELS)
TABLE = pa.table({"a": [1]})


def shown(*texts):
    """The secrets, quoted or not, that one of the texts shows."""
    text = "\n".join(str(t) for t in texts)
    both = [s for secret in SECRETS for s in {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret)}]
    return [s for s in both if s in text]


def everything(error):
    """All that an error and what stands behind it can show."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(error.args), repr(vars(error)), repr(pickle.dumps(error))]
        error = error.__cause__ or error.__context__
    return texts


@pytest.fixture
def server():
    with RangeServer({"a.fits": DATA, "a.zip": zip_bytes(DATA)}) as running:
        yield running


def secret_url(server, user=False):
    address = f"{server.url('a.fits')}?{QUERY}"
    return address.replace("http://", f"http://me:{urllib.parse.quote('p@ss/word', safe='')}@") if user else address


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://h/a.tif?token=hunter2&b=1", "http://h/a.tif?token=...&b=..."),
        ("http://h/a.tif?hunter2", "http://h/a.tif?..."),
        ("http://h/a.tif?a=1;b=2", "http://h/a.tif?a=...;b=..."),
        ("http://me:pw@h:80/a@b.tif", "http://h:80/a@b.tif"),
        ("http://me:p@w@h/a.tif", "http://h/a.tif"),
        ("http://me:p/w@h/a.tif", "http://h/a.tif"),
        ("https://h/a.tif?u=https://x.y/z::w", "https://h/a.tif?u=..."),
        ("zip://a.tif::simplecache::https://me:pw@h/a.zip?k=v", "zip://a.tif::simplecache::https://h/a.zip?k=..."),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
        ("http://[::1]:80/a.tif", "http://[::1]:80/a.tif"),
        ("http://me:hunter2#x@h/f", "http://h/f"),
        ("http://me:hunter2?x@h/f?token=y", "http://h/f?token=..."),
        ("http://me:hunter2%23x@h/f#y", "http://h/f#..."),
        ("http://hunter2#x@h/f", "http://..."),
        ("http://h?a=b@c", "http://..."),
        ("http://h:80?a=b@c", "http://..."),
        ("http://h:80/?a=b@c", "http://h:80/?a=..."),
        ("s3://key:hunter2#x@bucket/a", "s3://bucket/a"),
        ("zip://x::https://u:p#w@h/f?token=hunter2", "zip://x::https://h/f?token=..."),
        ("simplecache::http://h/f::g.fits?token=hunter2", "simplecache::http://h/f::g.fits?token=..."),
        ("simplecache::http://h/f::g.fits#hunter2::x", "simplecache::http://h/f::g.fits#...::..."),
        ("/data/a?b=c#d.tif", "/data/a?b=c#d.tif"),
    ],
)
def test_the_name_of_a_url(url, public):
    assert locate(url).url == public


@pytest.mark.parametrize("url", ["http://h/a.tif#FRAG", "http://h/a.tif?token=hunter2#FRAG", "s3://k:hunter2@b/a.tif"])
def test_the_name_of_a_url_hides_the_rest(url):
    assert not shown(locate(url).url, repr(locate(url)))


@pytest.mark.parametrize("url", ["http://me:hunter2#x@h/f", "http://me:hunter2?x@h/f", "ftp://me:hunter2%3Fx@h/f"])
@pytest.mark.parametrize("chain", ["", "simplecache::"])
def test_a_password_with_a_sign_in_it_is_not_repeated(url, chain):
    with scichunk.options.set(retries=0, timeout=1.0), pytest.raises(SourceError) as caught:
        scichunk.from_fits(chain + url.replace("@h", "@127.0.0.1:9"))
    assert not shown(*everything(caught.value))
    assert not shown(without_secrets("of 'hunter2' and me:hunter2, hunter2x", chain + url))


def test_the_name_of_a_file_object_that_is_a_url():
    class Named(io.BufferedIOBase):
        name = "https://me:hunter2@h/a.fits?sig=hunter2"

        def __init__(self):
            self.inner = io.BytesIO(DATA)
            self.read, self.seek, self.tell = self.inner.read, self.inner.seek, self.inner.tell

    file = Named()
    assert locate(file).url == "https://h/a.fits?sig=..."
    assert locate(file).name == "a.fits"
    assert not shown(scichunk.info(file), repr(scichunk.reader(file)), xr.open_dataset(file, engine="fits").encoding)


FORMS = {
    "query and fragment": "{http}?{query}",
    "user": "http://me:{password}@{host}/a.fits",
    "user, query and fragment": "http://me:{password}@{host}/a.fits?{query}",
    "simplecache": "simplecache::{http}?{query}",
    "archive": "zip://a.fits::http://{host}/a.zip?{query}",
    "archive in a cache": "zip://a.fits::simplecache::http://{host}/a.zip?{query}",
}


def tree_texts(url):
    tree = scichunk.open(url)
    assert len(list(tree.subtree)) > 2
    for node in tree.subtree:
        yield from (
            node.name,
            node.path,
            node.encoding,
            node.attrs,
            node.to_dataset().encoding,
            repr(node.to_dataset()),
        )
        assert "source" not in node.encoding or node.encoding["source"] == locate(url).url
    yield from (repr(tree), tree._repr_html_(), tree.encoding)
    yield from (n.encoding for n in scichunk.open(url, chunks=None).subtree)
    yield from (n.encoding for n in xr.open_datatree(url, engine="fits").subtree)


def dataset_texts(url):
    for ds in (
        xr.open_dataset(url, engine="fits", chunks={}),
        xr.open_dataset(url, engine="scichunk"),
        scichunk.open_stack([url, url + "&b=1"] if "?" in url else [url, url]),
    ):
        assert ds.encoding.get("source", "").startswith(("", locate(url).url))
        yield from (repr(ds), ds._repr_html_(), ds.attrs, ds.encoding, ds.to_dict(data=False))
        for v in ds.variables.values():
            yield from (v.attrs, v.encoding, repr(v), repr(v._data))
            if hasattr(v.data, "dask"):
                yield from (v.data.name, list(v.data.dask.keys()), repr(dict(v.data.dask)), v.data._repr_html_())


def array_texts(url):
    array = scichunk.from_fits(url)
    np.testing.assert_array_equal(array, PIXELS)
    yield from (array.name, list(array.dask.keys()), repr(array), repr(dict(array.dask)), array.dask._repr_html_())


def info_texts(url):
    found = scichunk.info(url)
    yield from (str(found), repr(found), found._repr_html_(), json.dumps(found.to_dict(), default=str))


def source_texts(url):
    where = locate(url)
    yield from (repr(where), str(where), where.url, where.name, repr(where.open()), where.__dask_tokenize__())


def command_texts(url):
    for name in (url, url.replace("a.fits", "none.fits").replace("a.zip", "none.zip")):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            main(["info", name])
        yield out.getvalue()


def error_texts(url):
    other = url.replace("a.fits", "none.fits").replace("a.zip", "none.zip")
    for read in (
        lambda: scichunk.from_fits(other),
        lambda: scichunk.from_fits(url, hdu=9),
        lambda: xr.open_dataset(url, engine="fits", group="/none"),
        lambda: scichunk.from_geotiff(url),
        lambda: scichunk.from_geotiff(url, reader="reference"),
        lambda: scichunk.from_jpeg2000(url),
        lambda: scichunk.read_table(url),
        lambda: scichunk.read_votable(url),
        lambda: scichunk.from_files(other.replace("none", "*none"), storage_options={"nonsense": 1}),
        lambda: scichunk.open_stack(other.replace("none", "none*")),
        lambda: scichunk.write_votable(TABLE, other),
        lambda: scichunk.write_fits_table(TABLE, other),
    ):
        with pytest.raises(ScichunkError) as caught:
            read()
        yield from everything(caught.value)


def catalog_texts(url):
    readers = pytest.importorskip("scichunk.adapters.intake", reason="intake is not installed")
    data = readers.FITS(url, storage_options={"headers": {"Authorization": "Bearer hunter2"}})
    yield from (repr(data), str(data), repr(readers.Dataset(data)), repr(readers.FITSArray(data)))
    assert readers.FITS(url + "1").token != data.token
    assert readers.Dataset(readers.FITS(url + "1")).token != readers.Dataset(data).token


PLACES = {
    "trees": tree_texts,
    "datasets": dataset_texts,
    "arrays": array_texts,
    "info": info_texts,
    "sources": source_texts,
    "the command": command_texts,
    "errors": error_texts,
    "catalogs": catalog_texts,
}


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_shown(server, place, form, caplog):
    host, password = f"127.0.0.1:{server.port}", urllib.parse.quote("p@ss/word", safe="")
    url = FORMS[form].format(http=server.url("a.fits"), host=host, password=password, query=QUERY)
    with warnings.catch_warnings(record=True) as said, caplog.at_level("DEBUG"), scichunk.options.set(**QUICK):
        warnings.simplefilter("always")
        texts = list(PLACES[place](url))
    assert texts
    assert not shown(*texts)
    assert not shown(*(str(w.message) for w in said))
    # fsspec writes down what it is asked for; a plain URL of a web server is read past its file system
    theirs = ("fsspec", "asyncio") if "::" in url or place in {"errors", "the command"} else ("asyncio",)
    assert not shown(*(r.getMessage() for r in caplog.records if not r.name.startswith(theirs)))


TARGETS = (
    "http://127.0.0.1:9/x?token=hunter2", "/a.fits?token=hunter2", "//?token=hunter2", "?token=hunter2", "foo:bar?token=hunter2",
    "http://me:hunter2@127.0.0.1:9/", "http:///x?token=hunter2", "http://h:x/?hunter2", "ftp://h/?token=hunter2", "data:,hunter2",
    "mailto:hunter2@b", "http://[bad/?token=hunter2", "http://127.0.0.1:9/%3Ftoken%3Dhunter2",
)  # fmt: skip


@pytest.mark.parametrize("form", ["user, query and fragment", "simplecache", "archive"])
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_shown_of_where_a_server_leads(server, target, form):
    def alter(request, reply):
        reply.status, reply.body = 302, b""
        reply.headers["Location"] = target

    server.alter = alter
    host = f"127.0.0.1:{server.port}"
    url = FORMS[form].format(http=server.url("a.fits"), host=host, password="swordfish", query=QUERY)
    with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
        scichunk.from_fits(url)
    assert not shown(*everything(caught.value))


WORDS = (
    b"HTTP/1.1 418 no for ?X-Amz-Signature=hunter2&b=1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 403 hunter2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 206 x\r\nContent-Range: hunter2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 x\r\nContent-Encoding: hunter2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 x\r\nA B?hunter2: hunter2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 x\r\nContent-Length: hunter2\r\n\r\n",
    b"hunter2 ?X-Amz-Signature=hunter2\r\n\r\n",
)


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("form", ["query and fragment", "simplecache", "archive"])
def test_nothing_is_shown_that_a_server_says_again(server, form, words):
    server.alter = lambda request, reply: setattr(reply, "raw", words)
    url = FORMS[form].format(http=server.url("a.fits"), host=f"127.0.0.1:{server.port}", query=QUERY)
    with scichunk.options.set(**QUICK), pytest.raises(ScichunkError) as caught:
        scichunk.from_fits(url)
    assert not shown(*everything(caught.value))


HREFS = (
    "b.bin?token=hunter2", "?token=hunter2", "#FRAG", "../../b?token=hunter2#FRAG", "x:?token=hunter2", "http://[::1/?token=hunter2",
    "http://h.invalid/b?token=hunter2", "http://me:hunter2@h.invalid/b", "file:///none/b?token=hunter2",
    "simplecache::http://h.invalid/?hunter2",
)  # fmt: skip


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("by", ["URL", "path", "bytes", "file object"])
@pytest.mark.parametrize("href", HREFS)
def test_nothing_is_shown_of_hrefs(server, tmp_path, href, by, follow):
    body = f'<BINARY><STREAM href="{href}"/></BINARY>'
    text = doc(body=body, fields='<FIELD name="a" datatype="int"/>')
    server.files["a.vot"] = text.encode()
    (tmp_path / "a.vot").write_text(text)
    target = {
        "URL": server.url("a.vot") + "?k=swordfish",
        "path": tmp_path / "a.vot",
        "bytes": text.encode(),
        "file object": fsspec.filesystem("http").open(server.url("a.vot")),
    }[by]
    quick = QUICK | {"timeout": 5.0, "retries": 0}
    for read in (scichunk.read_votable, scichunk.open, scichunk.info):
        with scichunk.options.set(**quick, follow_hrefs=follow):
            try:
                found = read(target)
                texts = [repr(found), *(n.attrs for n in getattr(found, "subtree", ()))]
                texts += [getattr(found, "attrs", "")]
            except ScichunkError as error:
                texts = everything(error)
        assert not shown(*texts)


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize(
    "fault",
    ["404", "403", "503", "drop", "short", "stall", "wrong-range", "gzip", "endless", "circle", "elsewhere", "412"],
)
@pytest.mark.parametrize("when", ["opened", "read"])
def test_nothing_is_shown_of_what_fails(server, fault, user, when):
    url = secret_url(server, user)
    with scichunk.options.set(**QUICK | ({"timeout": 0.1} if fault == "stall" else {})):
        array = scichunk.from_fits(url) if when == "read" else None
        if fault in {"circle", "elsewhere"}:
            target = "http://127.0.0.1:9/x?token=hunter2" if fault == "elsewhere" else f"/a.fits?{QUERY}"
            server.alter = lambda request, reply: (
                setattr(reply, "status", 302),
                setattr(reply, "body", b""),
                reply.headers.update(Location=target),
            )
        else:
            server.fault = fault
        with pytest.raises(SourceError, match=r"a\.fits") as caught:
            array.compute(scheduler="synchronous") if when == "read" else scichunk.from_fits(url)
    assert not shown(*everything(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("chain", ["simplecache::", "blockcache::", "zip://a.fits::", "zip://a.fits::simplecache::"])
@pytest.mark.parametrize("fault", ["404", "403", "503", "drop", "gone"])
def test_nothing_is_shown_by_chained_file_systems(server, chain, fault):
    server.fault = fault
    url = secret_url(server)
    if fault == "gone":
        url = url.replace(f":{server.port}/", ":9/")
    with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
        scichunk.from_fits(chain + url)
    assert not shown(*everything(caught.value))


@pytest.mark.parametrize("port", ["99999", "x", "-1"])
def test_nothing_is_shown_of_urls_that_are_none(port):
    url = f"http://me:{SECRETS[1]}@127.0.0.1:{port}/a.fits?{QUERY}"  # the line of the call is part of the traceback
    with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
        scichunk.from_fits(url)
    assert not shown(*everything(caught.value))


S3 = {
    "endpoint_url": "http://127.0.0.1:9",
    "config_kwargs": {"retries": {"total_max_attempts": 1}},
    "skip_instance_cache": True,
}
GIVEN = {
    "a header": ("http://{host}/none.fits", {"headers": {"Authorization": "Bearer hunter2"}}),
    "a header that is none": ("http://{host}/none.fits", {"headers": {"X": "hunter2\n"}}),
    "a header that cannot be sent": ("http://{host}/none.fits", {"headers": {"X": "hunter2\udc80"}}),
    "a proxy": ("http://{host}/a.fits", {"proxy": "http://me:swordfish@127.0.0.1:9/?hunter2"}),
    "a proxy that is none": ("http://{host}/a.fits", {"proxy": "hunter2"}),
    "the name of a proxy": ("http://{host}/a.fits", {"proxy": "swordfish.invalid"}),
    "an option that is none": ("http://{host}/a.fits", {"token": "hunter2"}),
    "auth that is none": ("http://{host}/a.fits", {"client_kwargs": {"auth": "hunter2"}}),
    "a header of a cache": ("simplecache::http://{host}/none.fits", {"http": {"headers": {"X": "hunter2\n"}}}),
    "keys of S3": ("s3://bkt/none.fits", {"key": "hunter2", "secret": "swordfish", **S3}),
    "a token of S3": ("s3://bkt/none.fits", {"token": "hunter2", "key": 3, "secret": "swordfish", **S3}),
    "an endpoint": ("s3://bkt/none.fits", {"key": "a", "secret": "b", **S3, "endpoint_url": "http://me:hunter2@h:x/?swordfish"}),
    "memory": ("memory://none.fits", {"password": "hunter2"}),
    "FTP": ("ftp://me:hunter2@127.0.0.1:9/a.fits", {}),
    "GitHub": ("github://o:r@/a.fits", {"token": "hunter2"}),
    "references": ("reference://a.fits", {"fo": "hunter2"}),
}  # fmt: skip


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("how", ["open", "pattern", "write"])
def test_nothing_is_shown_of_storage_options(server, given, how):
    url, options = GIVEN[given]
    url = url.format(host=f"127.0.0.1:{server.port}")
    if url.startswith("s3"):
        pytest.importorskip("s3fs", reason="s3fs is not installed")
    if url.startswith("memory") and how == "write":
        pytest.skip("it can be written")
    work = {
        "open": lambda: scichunk.from_fits(url, storage_options=options),
        "pattern": lambda: scichunk.from_files(url.replace(".fits", "*.fits"), storage_options=options),
        "write": lambda: scichunk.write_votable(TABLE, url, storage_options=options, overwrite=True),
    }[how]
    with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
        work()
    assert not shown(*everything(caught.value), repr(locate(url, options)))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_nothing_is_shown_by_warnings(server):
    broken = fits.HDUList([fits.PrimaryHDU(PIXELS), fits.ImageHDU(PIXELS, name="B")])
    out = io.BytesIO()
    broken.writeto(out)
    data = out.getvalue()
    server.files["a.fits"] = data[: -300 * 300 * 4 - 2880]  # the second header begins, and ends in the middle
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scichunk.open(secret_url(server))
    assert not shown(*(str(w.message) for w in said))


def test_an_open_file_of_a_url_shows_nothing(server):
    url = secret_url(server)
    with fsspec.open(url) as file:
        array = scichunk.from_fits(file)
        server.fault = "403"
        with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
            array.compute(scheduler="synchronous")
    assert not shown(*everything(caught.value), array.name)


@pytest.mark.parametrize("path", ["s3://me:hunter2@bucket/i", f"https://127.0.0.1:9/i.parquet?{QUERY}"])
def test_a_wrong_name_of_an_index(path):
    with pytest.raises(ValueError, match="an index ends with") as caught:
        scichunk.save_index([DATA], path)
    assert not shown(*everything(caught.value))


def test_the_names_of_a_stack_show_nothing(server, tmp_path):
    options = {"headers": {"X-Key": "hunter2"}}
    url = secret_url(server, user=True)
    scichunk.save_index([url], tmp_path / "i.parquet", storage_options=options)
    for names in ([url, url], tmp_path / "i.parquet"):
        stack = scichunk.from_files(names, storage_options=options)
        reader = next(iter(readers_of(stack)))[1]
        assert not shown(repr(reader), repr(reader.files), repr(reader.rules), repr(reader.files.unpack()))


@pytest.mark.parametrize("prefix", ["", "/data/"])
def test_a_url_of_which_pathlib_has_made_a_path(prefix, tmp_path, monkeypatch):
    """It loses a slash, and would be looked for on this machine by a name that shows all of it."""
    path = pathlib.Path(prefix + f"https://me:hunter2@h/a.fits?{QUERY}")
    for read in (
        scichunk.reader,
        scichunk.from_fits,
        scichunk.read_table,
        lambda target: xr.open_dataset(target, engine="fits"),
        lambda target: scichunk.open_stack([target]),
        lambda target: scichunk.from_files(str(target).replace("a.fits", "*.fits")),
        lambda target: scichunk.write_votable(TABLE, target),
        lambda target: scichunk.write_fits_table(TABLE, target),
    ):
        with pytest.raises(SourceError, match="lost a slash") as caught:
            read(path)
        assert not shown(*everything(caught.value))
        assert "https://h/" in str(caught.value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:").mkdir()  # a folder of that name is one
    (tmp_path / "https:" / "a.fits").write_bytes(DATA)
    np.testing.assert_array_equal(scichunk.from_fits("https:/a.fits"), PIXELS)


def test_the_label_of_a_url_without_a_path(server):
    server.files[""] = DATA
    url = f"http://me:hunter2@127.0.0.1:{server.port}?a=swordfish"
    ds = scichunk.open_stack([url, url + "2"])
    assert ds.file.values.tolist() == ["", ""]
    assert not shown(repr(ds), locate(url).name)


def test_what_is_made_of_a_name_on_the_way_shows_nothing():
    from scichunk.adapters.xarray.datasets import Which
    from scichunk.sources.retrying import RetriedRequest

    url, options = "https://me:hunter2@h/a.fits", {"headers": {"Authorization": "Bearer swordfish"}}
    assert not shown(repr(RetriedRequest(url, locate(url).url, None, "read", ["swordfish"])))
    assert not shown(repr(Which("fits", url, options)))


def test_nothing_is_shown_of_the_options_of_a_file_system_below_another():
    class Telling(MemoryFileSystem):
        def info(self, path, **kwargs):
            msg = "no access for swordfish"
            raise PermissionError(msg)

    below = Telling(secret="swordfish")
    target = fsspec.core.OpenFile(fsspec.filesystem("dir", path="/a", fs=below), "a.fits")
    with pytest.raises(SourceError, match="access denied") as caught:
        scichunk.from_fits(target)
    assert not shown(*everything(caught.value))
