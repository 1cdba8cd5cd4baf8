"""What web servers and proxies do, one by one: the values are right, or the error says what the server did."""

import email.utils
import time

import numpy as np
import pytest

import scichunk
from scichunk.errors import FormatError, MissingFile, SourceError
from scichunk.testing import RangeServer
from tests.remote.answers import (
    DATA,
    PIXELS,
    both,
    content_range,
    fits_bytes,
    gzipped,
    header,
    how,
    later,
    login,
    longer,
    moved,
    multipart,
    numbered,
    raw,
    redirect,
    shorter,
    status,
    whole,
)

QUICK = {"retry_wait": 0.001, "retries": 2, "timeout": 0.3}
CHANGED = (SourceError, "changed since it was opened; open it again")


OTHER = fits_bytes(PIXELS + 1)

RIGHT = {
    "ranges": {},
    "no ranges": {"ignore_ranges": True},
    "no ranges, no length": {"ignore_ranges": True, "fault": "no-length"},
    "no ranges any more after the opening": {"alter": later(whole)},
    "ranges without a length of the body": {"fault": "no-length"},
    "a weak ETag": {"validators": "weak"},
    "a date instead of an ETag": {"validators": "date"},
    "no validators": {"validators": "none"},
    "an ETag without quotes": {"alter": header(ETag="abc")},
    "one redirect": {"alter": redirect},
    "Content-Encoding: identity": {"alter": header(Content_Encoding="identity")},
    "Content-Range in other letters and with spaces": {"alter": content_range("Bytes {a}-{b}/{n} ")},
    "no Accept-Ranges": {"alter": header(Accept_Ranges=None)},
    "Accept-Ranges: none beside ranges": {"alter": header(Accept_Ranges="none")},
    "Retry-After beside an answer that is right": {"alter": header(Retry_After="100")},
    "503 twice": {"faults": ["503", "503"]},
    "503 with seconds to wait, capped by the time-out": {"faults": ["503"], "retry_after": "3600"},
    "503 with a date to wait for, long ago": {"faults": ["503"], "retry_after": email.utils.formatdate(0, usegmt=True)},
    "503 with nonsense in Retry-After": {"faults": ["503"], "retry_after": "soon"},
    "429, then 500": {"faults": ["429", "500"]},
    "408": {"faults": ["408"]},
    "425": {"faults": ["", "425"]},
    "502 and 504 after the opening": {"faults": ["", "502", "504"]},
    "no answer once": {"faults": ["drop"]},
    "no answer once after the opening": {"faults": ["", "drop"]},
    "half a body once": {"faults": ["short"]},
    "half a body once after the opening": {"faults": ["", "short"]},
    "silence once": {"faults": ["stall"]},
    "silence once after the opening": {"faults": ["", "stall"]},
    "a trickle once": {"faults": ["", "drip"]},
    "another range once": {"faults": ["", "wrong-range"]},
    "a body without an end once": {"faults": ["", "endless"]},
}

WRONG = {
    "another range, further on": ({"alter": later(moved(64))}, SourceError, "bytes .* came instead of"),
    "another range, before": ({"alter": later(moved(-64))}, SourceError, "bytes .* came instead of"),
    "the first bytes whatever is asked": ({"alter": later(moved(-(10**9)))}, SourceError, "bytes 0 to .* instead of"),
    "another range at the opening": ({"alter": moved(64)}, SourceError, "opened: bytes 64 to .* instead of 0"),
    "shorter ranges than asked": ({"alter": later(shorter)}, SourceError, "instead of"),
    "shorter ranges at the opening": ({"alter": shorter}, SourceError, "bytes 0 to 1000 .* instead of 0 to 65536"),
    "more bytes than the range": ({"alter": longer}, SourceError, "more than 65536 bytes came"),
    "a range that ends before it starts": (
        {"alter": later(content_range("bytes {b}-{a}/{n}"))},
        SourceError,
        "instead of",
    ),
    "206 without Content-Range": (
        {"alter": header(Content_Range=None)},
        SourceError,
        "does not say which bytes it sends",
    ),
    "206 without Content-Range after the opening": (
        {"alter": later(header(Content_Range=None))},
        SourceError,
        "does not say which bytes it sends .*bytes \\d+ to \\d+",
    ),
    "206 without the length of the file": (
        {"alter": content_range("bytes {a}-{b}/*")},
        SourceError,
        "does not say how long the file is",
    ),
    "Content-Range in other units": ({"alter": content_range("lines {a}-{b}/{n}")}, SourceError, "which bytes"),
    "Content-Range that is none": ({"alter": content_range("bytes ?")}, SourceError, "which bytes"),
    "a length beyond all files": (
        {"alter": content_range("bytes {a}-{b}/99999999999999999999999")},
        SourceError,
        "has 99999999999999999999999 bytes",
    ),
    "several ranges": ({"alter": multipart}, SourceError, "multipart/byteranges"),
    "gzip": ({"fault": "gzip"}, SourceError, "encoded \\(gzip\\)"),
    "gzip after the opening": ({"alter": later(gzipped)}, SourceError, "encoded \\(gzip\\)"),
    "gzip of the whole": ({"ignore_ranges": True, "fault": "gzip"}, SourceError, "encoded \\(gzip\\)"),
    "br": ({"alter": header(Content_Encoding="br")}, SourceError, "br"),
    "an encoding that nobody knows": ({"alter": header(Content_Encoding="own")}, SourceError, "encoded \\(own\\)"),
    "a range without an end": ({"fault": "endless"}, SourceError, "more than 65536 bytes came"),
    "a whole without an end": (
        {"ignore_ranges": True, "fault": "endless", "options": {"max_header_bytes": 1 << 20}},
        SourceError,
        "does not serve ranges",
    ),
    "a whole that is too large": (
        {"ignore_ranges": True, "options": {"max_header_bytes": 1 << 18}},
        SourceError,
        "does not serve ranges",
    ),
    "no ranges any more, and a large file": (
        {"alter": later(whole), "options": {"max_header_bytes": 1 << 18}},
        SourceError,
        "does not serve ranges",
    ),
    "404": ({"alter": status(404)}, MissingFile, "404"),
    "410": ({"alter": status(410)}, MissingFile, "410"),
    "404 after the opening": ({"alter": later(status(404))}, MissingFile, "404.*bytes"),
    "400": ({"alter": status(400)}, SourceError, "400"),
    "401": ({"alter": status(401, WWW_Authenticate="Basic")}, SourceError, "401"),
    "403": ({"alter": status(403)}, SourceError, "403"),
    "403 after the opening: a signature that has ended": ({"alter": later(status(403))}, SourceError, "403"),
    "418": ({"alter": status(418)}, SourceError, "418"),
    "204": ({"alter": status(204)}, SourceError, "204"),
    "304": ({"alter": status(304)}, SourceError, "304"),
    "412": ({"alter": later(status(412))}, *CHANGED),
    "416 at the opening of a file that is not empty": (
        {"alter": status(416, Content_Range="bytes */9")},
        SourceError,
        "refuses",
    ),
    "416 after the opening": (
        {"alter": later(status(416, Content_Range=f"bytes */{len(DATA)}"))},
        SourceError,
        "refuses",
    ),
    "416 after the opening, of a file that was cut": (
        {"alter": later(status(416, Content_Range="bytes */9"))},
        *CHANGED,
    ),
    "503 for ever": ({"fault": "503"}, SourceError, "opened: HTTP status 503.*tried: 3 times"),
    "503 for ever after the opening": ({"alter": later(status(503))}, SourceError, "read: HTTP status 503.*tried: 3"),
    "silence for ever": (
        {"fault": "stall", "options": {"retries": 1, "timeout": 0.1}},
        SourceError,
        "no answer within",
    ),
    "silence after the opening": (
        {"alter": later(how("stall")), "options": {"retries": 1, "timeout": 0.1}},
        SourceError,
        "no answer within 0.1 s.*bytes",
    ),
    "a trickle for ever": (
        {"fault": "drip", "options": {"retries": 1, "timeout": 0.1}},
        SourceError,
        "no answer within",
    ),
    "no answer for ever": ({"fault": "drop"}, SourceError, "tried: 3 times"),
    "half a body for ever": ({"fault": "short"}, SourceError, "tried: 3 times"),
    "a status line that is none": ({"alter": raw(b"\x00\x01garbage\r\n\r\n")}, SourceError, "opened"),
    "headers that are none": ({"alter": raw(b"HTTP/1.1 206 x\r\nBad Header: 1\r\n\r\n")}, SourceError, "opened"),
    "a Content-Length that is none": ({"alter": header(Content_Length="many")}, SourceError, "opened"),
    "an empty file": ({"alter": both(whole, lambda q, r: setattr(r, "body", b""))}, FormatError, "FITS"),
    "a page to log in": ({"alter": login}, FormatError, "FITS"),
    "redirects in a circle": ({"alter": status(302, Location="/a.fits")}, SourceError, "TooManyRedirects"),
    "a redirect to a file": ({"alter": status(302, Location="file:///etc/passwd")}, SourceError, "opened"),
    "a redirect to nowhere": ({"alter": status(302)}, SourceError, "302"),
    "another ETag with each answer": ({"alter": numbered('ETag: "{}"')}, *CHANGED),
    "another weak ETag with each answer": ({"alter": numbered('ETag: W/"{}"')}, *CHANGED),
    "another date with each answer": ({"alter": numbered("Last-Modified: Mon, {:02} Jan 2024 00:00:00 GMT")}, *CHANGED),
    "no ETag any more": ({"alter": later(header(ETag=None))}, *CHANGED),
    "another length without validators": (
        {"validators": "none", "alter": later(content_range(f"bytes {{a}}-{{b}}/{len(DATA) + 1}"))},
        *CHANGED,
    ),
    "no ranges any more, and another length": (
        {"validators": "none", "alter": later(both(whole, longer))},
        *CHANGED,
    ),
    "no ranges any more, another length, none said": (
        {"validators": "none", "alter": later(both(whole, longer, how("chunked")))},
        *CHANGED,
    ),
}


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
        with scichunk.options.set(retry_wait=0.05, retries=2, timeout=0.3):
            server.fail("503", "503")
            scichunk.from_fits(server.url("a.fits"))
        began = [r.began for r in server.log]
        assert began[1] - began[0] > 0.03
        assert began[2] - began[1] > 0.07
    with RangeServer({"a.fits": DATA}, retry_after=email.utils.formatdate(time.time() + 3600, usegmt=True)) as server:
        with scichunk.options.set(retry_wait=0.001, retries=1, timeout=0.2):
            server.fail("503")
            scichunk.from_fits(server.url("a.fits"))
        assert server.log[1].began - server.log[0].began > 0.19


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
