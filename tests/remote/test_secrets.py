"""What is secret in a URL or in storage options is shown nowhere: in no message, name, attribute, warning or pickled error."""

import io
import json
import pickle
import traceback
import urllib.parse
import warnings

import fsspec
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import SourceError
from scichunk.sources import locate
from scichunk.testing import RangeServer

PIXELS = np.arange(300 * 300, dtype="i4").reshape(300, 300)
SECRETS = ("hunter2", "swordfish", "a/b+c==", "FRAG", "p@ss/word")
QUERY = f"token=hunter2&password=swordfish&X-Amz-Signature={urllib.parse.quote('a/b+c==', safe='')}#FRAG"
QUICK = {"retry_wait": 0.001, "retries": 1, "timeout": 2.0}


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


DATA = fits_bytes(PIXELS)


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
    with RangeServer({"a.fits": DATA}) as running:
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
        ("/data/a?b=c#d.tif", "/data/a?b=c#d.tif"),
    ],
)
def test_the_name_of_a_url(url, public):
    assert locate(url).url == public


@pytest.mark.parametrize("url", ["http://h/a.tif#FRAG", "http://h/a.tif?token=hunter2#FRAG", "s3://k:hunter2@b/a.tif"])
def test_the_name_of_a_url_hides_the_rest(url):
    assert not shown(locate(url).url, repr(locate(url)))


def test_nothing_is_shown_of_what_is_read(server):
    url = secret_url(server)
    array = scichunk.from_fits(url)
    np.testing.assert_array_equal(array, PIXELS)
    ds = xr.open_dataset(url, engine="fits", chunks={})
    again = xr.open_dataset(url, engine="scichunk")
    tree = scichunk.open(url)
    texts = [array.name, list(array.dask.keys()), repr(array), repr(ds), ds.attrs, ds.encoding, again.encoding]
    texts += [repr(tree), ds._repr_html_(), json.dumps(scichunk.info(url), default=str)]
    texts += [v.encoding for d in (ds, again) for v in d.variables.values()]
    texts += [v.data.name for v in ds.variables.values() if hasattr(v.data, "dask")]
    assert not shown(*texts)
    assert ds.encoding["source"] == again.encoding["source"]
    assert ds.encoding["source"].startswith(server.url("a.fits") + "?token=...")


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


@pytest.mark.parametrize("url", ["http", "simplecache", "s3", "memory"])
def test_nothing_is_shown_of_storage_options(server, url):
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    address = {
        "http": server.url("none.fits"),
        "simplecache": f"simplecache::{server.url('none.fits')}",
        "s3": "s3://bkt/none.fits",
        "memory": "memory://none.fits",
    }[url]
    given = {"headers": {"Authorization": "Bearer hunter2"}} if url == "http" else {}
    if url == "simplecache":
        given = {"http": {"headers": {"Authorization": "Bearer hunter2"}}}
    if url == "s3":
        given = {"key": "hunter2", "secret": "swordfish", "endpoint_url": "http://127.0.0.1:9"}
        given["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
    with scichunk.options.set(**QUICK), pytest.raises(SourceError) as caught:
        scichunk.from_fits(address, storage_options=given)
    assert not shown(*everything(caught.value), repr(locate(address, given)))


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
