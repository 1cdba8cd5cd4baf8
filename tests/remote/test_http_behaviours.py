"""What web servers and proxies do, one by one: the values are right, or the error says what the server did."""

import email.utils
import time
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.errors import ScichunkError, SourceError
from scichunk.testing import RangeServer
from tests.remote.answers import DATA, OTHER, PIXELS, gzipped, multipart, redirect, status
from tests.remote.behaviours import CACHED, CHANGED, OBSTORE, RIGHT, WRONG, wanted

QUICK = {"retry_wait": 0.001, "retries": 2, "timeout": 10.0}
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "servers.md"


def read(server):
    return scichunk.from_fits(server.url("a.fits")).compute(scheduler="synchronous")


def serving(given):
    given = {k: v for k, v in given.items() if k not in {"faults", "options"}}
    return RangeServer({"a.fits": DATA, "real.fits": DATA}, **given)


@pytest.mark.parametrize("name", RIGHT)
def test_values_are_right(name):
    with serving(RIGHT[name]) as server, scichunk.options.set(**QUICK):
        server.fail(*RIGHT[name].get("faults", ()))
        np.testing.assert_array_equal(read(server), PIXELS)


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_the_server_did(name):
    given, kind, match = WRONG[name]
    with serving(given) as server, scichunk.options.set(**(QUICK | given.get("options", {}))):
        with pytest.raises(kind, match=match) as caught:
            read(server)
        assert type(caught.value) is kind
        assert "a.fits" in str(caught.value)


@pytest.mark.parametrize("same", [False, True])
def test_two_headers_that_say_which_bytes_come(same):
    def say_twice(request, reply):
        if request.start:
            told = reply.headers["Content-Range"]
            size = request.stop - request.start
            reply.headers["content-range"] = told if same else f"bytes 0-{size - 1}/{len(DATA)}"
            reply.body = reply.body if same else DATA[:size]

    with RangeServer({"a.fits": DATA}, alter=say_twice) as server, scichunk.options.set(**QUICK):
        if same:
            np.testing.assert_array_equal(read(server), PIXELS)
        else:
            with pytest.raises(SourceError, match="contradicts itself"):
                read(server)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
@pytest.mark.parametrize("by", ["obstore", "simplecache"])
def test_other_ways_to_a_server(by, name):
    """The values are right or the error is one of ours, whichever library asks the server."""
    given = RIGHT[name] if name in RIGHT else WRONG[name][0]
    with serving(given) as server, scichunk.options.set(**(QUICK | given.get("options", {}))):
        server.fail(*given.get("faults", ()))
        url, options = f"simplecache::{server.url('a.fits')}", None
        if by == "obstore":
            store = pytest.importorskip("obstore.store", reason="obstore is not installed").HTTPStore
            quick = {"client_options": {"allow_http": True, "timeout": "2s"}, "retry_config": {"max_retries": 0}}
            url, options = "a.fits", {"store": store.from_url(server.url("").rstrip("/"), **quick)}
        try:
            pixels = scichunk.from_fits(url, storage_options=options).compute(scheduler="synchronous")
        except ScichunkError as error:
            found = type(error).__name__
        else:
            np.testing.assert_array_equal(pixels, PIXELS)
            found = "right"
    assert found == (OBSTORE if by == "obstore" else CACHED).get(name, wanted(name))


def rows():
    """The table of the page, as it has to be."""
    for name in (*RIGHT, *WRONG):
        words = [wanted(name), OBSTORE.get(name, wanted(name)), CACHED.get(name, wanted(name))]
        yield f"| {name} | {' | '.join('right values' if word == 'right' else f'`{word}`' for word in words)} |"


def test_the_page_shows_the_table():
    behind = PAGE.read_text().partition("|---|---|---|---|\n")[2]
    shown = behind.partition("\n\n")[0].splitlines()
    assert len(shown) > 140
    assert shown == list(rows())


def test_a_body_without_an_end_is_left_soon():
    with RangeServer({"a.fits": DATA}, ignore_ranges=True, fault="endless") as server:
        with scichunk.options.set(**QUICK, max_header_bytes=1 << 20), pytest.raises(SourceError):
            read(server)
        assert server.requests == 1


@pytest.mark.parametrize(("alter", "asked"), [(status(403), 1), (redirect, 2), (gzipped, 1), (multipart, 1)])
def test_what_will_not_change_is_asked_for_once(alter, asked):
    with RangeServer({"a.fits": DATA}, alter=alter) as server, scichunk.options.set(**QUICK):
        with pytest.raises(SourceError):
            read(server)
        assert server.requests == asked


def test_tries_are_spread_and_a_server_that_asks_for_patience_gets_it():
    with RangeServer({"a.fits": DATA}, retry_after="0") as server:
        with scichunk.options.set(retry_wait=0.05, retries=2):
            server.fail("503", "503")
            scichunk.from_fits(server.url("a.fits"))
        began = [r.began for r in server.log]
        assert began[1] - began[0] > 0.03
        assert began[2] - began[1] > 0.07
    with RangeServer({"a.fits": DATA}, retry_after=email.utils.formatdate(time.time() + 3600, usegmt=True)) as server:
        with scichunk.options.set(retry_wait=0.001, retries=1, timeout=1):
            server.fail("503")
            scichunk.from_fits(server.url("a.fits"))
        assert server.log[1].began - server.log[0].began > 0.9


@pytest.mark.parametrize("validators", ["strong", "weak", "date"])
@pytest.mark.parametrize("content", [OTHER, DATA + b"\0" * 2880], ids=["same length", "longer"])
def test_a_file_that_is_replaced_at_once(validators, content):
    with RangeServer({"a.fits": DATA}, validators=validators) as server:
        array = scichunk.from_fits(server.url("a.fits"))
        server.files["a.fits"] = content
        with pytest.raises(CHANGED[0], match=CHANGED[1]):
            array.compute(scheduler="synchronous")


@pytest.mark.parametrize("ranges", [True, False])
def test_opened_again_a_replaced_file_is_another_version_without_validators_too(ranges):
    with RangeServer({"a.fits": DATA}, validators="none", ignore_ranges=not ranges) as server:
        first = scichunk.from_fits(server.url("a.fits"))
        np.testing.assert_array_equal(first, PIXELS)
        server.files["a.fits"] = OTHER
        second = scichunk.from_fits(server.url("a.fits"))
        np.testing.assert_array_equal(second, PIXELS + 1)
        assert first.name != second.name


def test_conditions_are_sent_and_own_headers_stay():
    with RangeServer({"a.fits": DATA}) as server:
        given = {"headers": {"X-Own": "1", "range": "bytes=5-6", "accept-encoding": "gzip"}}
        array = scichunk.from_fits(server.url("a.fits"), storage_options=given)
        np.testing.assert_array_equal(array, PIXELS)
        assert all(r.headers["x-own"] == "1" and r.headers["accept-encoding"] == "identity" for r in server.log)
        assert "if-match" not in server.log[0].headers
        assert all(r.headers["if-match"].startswith('"') for r in server.log[1:])
        assert server.log[0].start == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/a.fits", "http://127.0.0.1:x/a.fits", "http:///a.fits", "http://[::1/a"]
)
def test_urls_that_are_none(url):
    with scichunk.options.set(**QUICK), pytest.raises(SourceError, match="cannot be opened"):
        scichunk.from_fits(url)


@pytest.mark.parametrize("given", [{"nonsense": 1}, {"client_kwargs": {"nonsense": 1}}, {"headers": 3}])
def test_storage_options_that_are_none(given):
    with (
        RangeServer({"a.fits": DATA}) as server,
        scichunk.options.set(**QUICK),
        pytest.raises(SourceError, match="cannot be opened"),
    ):
        scichunk.from_fits(server.url("a.fits"), storage_options=given)
