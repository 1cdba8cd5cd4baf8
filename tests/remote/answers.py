"""What a web server may do to its answers: functions for ``RangeServer(alter=)``, and the file that it serves."""

import gzip
import io

import numpy as np
from astropy.io import fits

PIXELS = np.random.default_rng(1).integers(0, 1000, (400, 400)).astype("i2")


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


DATA = fits_bytes(PIXELS)


def header(**changes):
    """Set headers; None removes one."""

    def alter(request, reply):
        for name, value in changes.items():
            reply.headers.pop(name.replace("_", "-"), None)
            if value is not None:
                reply.headers[name.replace("_", "-")] = value

    return alter


def later(alter):
    """Do so from the second request on: the file has been opened."""
    return lambda request, reply: alter(request, reply) if request.start != 0 else None


def content_range(text):
    """Set Content-Range, made of the start, the last byte and the size that are right."""

    def alter(request, reply):
        if request.start is not None:
            reply.headers["Content-Range"] = text.format(a=request.start, b=request.stop - 1, n=len(DATA), x=request)

    return alter


def moved(by):
    """Give bytes from another place, and say so."""

    def alter(request, reply):
        if reply.status == 206:
            start = max(0, request.start + by)
            reply.body = DATA[start : start + request.stop - request.start]
            reply.headers["Content-Range"] = f"bytes {start}-{start + len(reply.body) - 1}/{len(DATA)}"

    return alter


def whole(request, reply):
    reply.status, reply.body = 200, DATA
    reply.headers.pop("Content-Range", None)


def status(code, **headers):
    def alter(request, reply):
        reply.status, reply.body = code, b""
        reply.headers.pop("Content-Range", None)
        reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    return alter


def how(word):
    def alter(request, reply):
        reply.how = word

    return alter


def raw(data):
    def alter(request, reply):
        reply.raw = data

    return alter


def both(*alters):
    def alter(request, reply):
        for one in alters:
            one(request, reply)

    return alter


def shorter(request, reply):
    if reply.status == 206 and len(reply.body) > 1000:
        reply.body = reply.body[:1000]
        reply.headers["Content-Range"] = f"bytes {request.start}-{request.start + 999}/{len(DATA)}"


def longer(request, reply):
    reply.body += b"more"


def multipart(request, reply):
    reply.headers["Content-Type"] = "multipart/byteranges; boundary=B"
    reply.body = b"--B\r\n\r\n" + reply.body + b"\r\n--B--\r\n"


def gzipped(request, reply):
    reply.body, reply.headers["Content-Encoding"] = gzip.compress(reply.body), "gzip"


def redirect(request, reply):
    if request.path != "real.fits":
        reply.status, reply.body = 302, b""
        reply.headers["Location"] = "/real.fits"


def login(request, reply):
    reply.status, reply.body = 200, b"<html>Who are you?</html>"
    reply.headers = {"Content-Type": "text/html"}


def numbered(form):
    """Another validator with each answer."""
    count = iter(range(1, 1000))

    def alter(request, reply):
        name, value = form.format(next(count)).split(": ", 1)
        reply.headers.pop("ETag", None)
        reply.headers[name] = value

    return alter


OTHER = fits_bytes(PIXELS + 1)


def written(line="HTTP/1.1", form=str, more="", body=lambda data: data):
    """Write the answer by hand: another version of HTTP, other letters in headers, more of them, another body."""

    def alter(request, reply):
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        lines = [f"{line} {reply.status} x", *(f"{form(n)}: {v}" for n, v in headers.items())]
        reply.raw = ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode("latin-1") + body(reply.body)

    return alter


def led(code, location="/real.fits"):
    """Lead to another place; {port} is that of the server."""

    def alter(request, reply):
        if request.path != "real.fits":
            reply.status, reply.body = code, b""
            reply.headers["Location"] = location.format(port=request.headers["host"].rpartition(":")[2])

    return alter


def heads(alter):
    """Do so with HEAD."""
    return lambda request, reply: alter(request, reply) if request.method == "HEAD" else None


def replaced(request, reply):
    """Another file of the same length, that a server without conditions gives."""
    if reply.status == 206:
        reply.body = OTHER[request.start : request.stop]
        reply.headers["ETag"] = '"other"'


def grown(request, reply):
    """A file that grows while it is read, and of which nothing names the version."""
    if reply.status == 206:
        reply.headers["Content-Range"] = f"bytes {request.start}-{request.stop - 1}/{len(DATA) + 2880}"


def after(first):
    """Send another answer before the right one."""

    def alter(request, reply):
        written()(request, reply)
        reply.raw = first + reply.raw

    return alter


def chunked_with_extras(request, reply):
    lines = [f"HTTP/1.1 {reply.status} x", *(f"{n}: {v}" for n, v in reply.headers.items())]
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
    reply.raw = head + b"%x;ext=1\r\n" % len(reply.body) + reply.body + b"\r\n0\r\nX-Trailer: y\r\n\r\n"
