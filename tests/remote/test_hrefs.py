"""What a document on a server refers to: on its host, wherever the server leads; never a file of this machine."""

import io

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

import scichunk
from scichunk.errors import FormatError, MissingFile, SourceError, UnsupportedFeature
from scichunk.testing import RangeServer
from tests.votable_docs import doc

FIELD = '<FIELD name="a" datatype="int"/>'
QUICK = {"retry_wait": 0.001, "retries": 1, "timeout": 2.0}


def fits_bytes():
    out = io.BytesIO()
    Table({"a": np.arange(3, dtype="i4")}).write(out, format="fits")
    return out.getvalue()


def parquet_bytes():
    out = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(3, dtype="i4")}), out)
    return out.getvalue()


KINDS = {
    "BINARY": ('<BINARY><STREAM href="{href}"/></BINARY>', np.arange(3, dtype=">i4").tobytes()),
    "FITS": ('<FITS extnum="1"><STREAM href="{href}"/></FITS>', fits_bytes()),
    "PARQUET": ('<PARQUET type="VOTable-remote-file"><STREAM href="{href}"/></PARQUET>', parquet_bytes()),
}


def document(kind, href="data"):
    return doc(body=KINDS[kind][0].format(href=href), fields=FIELD).encode()


def leading(request, reply, to, code=302):
    """Let the server lead to another place when it is asked for the data."""
    if request.path == "data":
        reply.status, reply.body = code, b""
        reply.headers.pop("Content-Range", None)
        reply.headers["Location"] = to


def targets(server):
    yield server.url("t.vot")
    yield fsspec.filesystem("http", skip_instance_cache=True).open(server.url("t.vot"))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_on_the_host_is_followed(kind, code):
    with RangeServer({"t.vot": document(kind), "there/data": KINDS[kind][1]}) as server, scichunk.options.set(**QUICK):
        server.alter = lambda request, reply: leading(request, reply, "/there/data", code)
        for target in targets(server):
            assert scichunk.read_votable(target).compute().a.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "to",
    [
        "http://{other}/data?sig=hunter2",
        "//{other}/data",
        "http://localhost:{port}/data",
        "https://127.0.0.1:{port}/data",
        "file:///etc/hostname",
    ],
)
def test_a_redirect_to_another_host_is_refused(kind, to):
    files = {"t.vot": document(kind), "data": KINDS[kind][1]}
    with RangeServer(files) as server, RangeServer(files) as other, scichunk.options.set(**QUICK):
        where = to.format(other=f"127.0.0.1:{other.port}", port=server.port)
        server.alter = lambda request, reply: leading(request, reply, where)
        for target in targets(server):
            with pytest.raises(SourceError, match="another host") as caught:
                scichunk.read_votable(target).compute()
            assert "hunter2" not in str(caught.value)
        assert other.requests == 0  # it is not asked at all


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_to_another_host_is_followed_on_demand(kind):
    files = {"t.vot": document(kind), "data": KINDS[kind][1]}
    with RangeServer(files) as server, RangeServer(files) as other, scichunk.options.set(**QUICK, follow_hrefs=True):
        server.alter = lambda request, reply: leading(request, reply, other.url("data"))
        assert len(scichunk.read_votable(server.url("t.vot"))) == 3
        assert other.requests > 0


def test_a_redirect_that_begins_after_the_opening_is_refused():
    files = {"t.vot": document("BINARY"), "data": np.arange(100_000, dtype=">i4").tobytes()}
    with RangeServer(files) as server, RangeServer(files) as other, scichunk.options.set(**QUICK):
        df = scichunk.read_votable(server.url("t.vot"))
        server.alter = lambda request, reply: leading(request, reply, other.url("data"))
        with pytest.raises(SourceError, match="another host"):
            df.compute(scheduler="synchronous")
        assert other.requests == 0


def test_redirects_in_a_circle_end():
    with RangeServer({"t.vot": document("BINARY")}) as server, scichunk.options.set(**QUICK):
        server.alter = lambda request, reply: leading(request, reply, "/data")
        with pytest.raises(SourceError, match="redirects"):
            scichunk.read_votable(server.url("t.vot"))
        assert server.requests < 20


def test_who_the_user_is_goes_along_on_the_host():
    seen = []

    def alter(request, reply):
        seen.append(request.headers.get("authorization"))
        leading(request, reply, "/there")

    with RangeServer({"t.vot": document("BINARY"), "there": KINDS["BINARY"][1]}) as server:
        server.alter = alter
        url = server.url("t.vot").replace("http://", "http://me:hunter2@")
        assert len(scichunk.read_votable(url)) == 3
    assert len(set(seen)) == 1
    assert seen[0].startswith("Basic ")


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/hostname",
        "local:///etc/hostname",
        "simplecache::file:///etc/hostname",
        "x:/etc/hostname",
        "generic://file:///etc/hostname",
        "memory://data",
        "/etc/hostname::file://",
        "zip://a::file:///b.zip",
    ],
)
@pytest.mark.parametrize("follow", [False, True])
def test_files_of_this_machine_are_no_data_of_a_document_from_elsewhere(href, follow):
    with RangeServer({"t.vot": document("BINARY", href)}) as server, scichunk.options.set(**QUICK, follow_hrefs=follow):
        for target in (*targets(server), document("BINARY", href)):
            with pytest.raises((UnsupportedFeature, MissingFile)):
                scichunk.read_votable(target)


def test_a_document_that_was_saved_finds_its_data_without_the_query(tmp_path):
    (tmp_path / "t.vot").write_bytes(document("BINARY", "data?token=hunter2#x"))
    (tmp_path / "data").write_bytes(KINDS["BINARY"][1])
    df = scichunk.read_votable(tmp_path / "t.vot")
    assert len(df) == 3
    (tmp_path / "data?token=hunter2#x").write_bytes(KINDS["BINARY"][1][:4])
    scichunk.clear_caches()
    assert len(scichunk.read_votable(tmp_path / "t.vot")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_is_read_without_its_data(kind):
    with RangeServer({"data": KINDS[kind][1]}) as other, scichunk.options.set(**QUICK):
        header = scichunk.votable_header(document(kind, other.url("data")))
        assert [field.name for field in header.get_first_table().fields] == ["a"]
        assert other.requests == 0


@pytest.mark.parametrize(
    "href", ["data", "./data", "file:data", "file://{folder}/data", "http://127.0.0.1:1/data?token=x"]
)
def test_a_header_does_not_ask_whether_its_data_are_there(tmp_path, href):
    (tmp_path / "data").write_bytes(KINDS["BINARY"][1])
    (tmp_path / "t.vot").write_bytes(document("BINARY", href.format(folder=tmp_path)))
    assert len(scichunk.votable_header(tmp_path / "t.vot").get_first_table().array) == 0


def test_a_header_is_read_without_what_its_document_type_refers_to():
    hidden = '<!DOCTYPE VOTABLE [<!ATTLIST STREAM href CDATA "{}">]>'
    with RangeServer({"data": KINDS["BINARY"][1]}) as other, scichunk.options.set(**QUICK):
        text = doc(body="<BINARY><STREAM/></BINARY>", fields=FIELD, before=hidden.format(other.url("data")))
        scichunk.votable_header(text.encode())
        assert other.requests == 0


def test_a_name_that_is_only_a_prefix_hides_no_table_from_the_reader():
    with RangeServer({"data": KINDS["BINARY"][1]}) as other, scichunk.options.set(**QUICK):
        hidden = document("BINARY", other.url("data")).decode().partition("<RESOURCE>")[2].partition("</RESOURCE>")[0]
        text = doc(fields=FIELD).replace("<RESOURCE>", f"<RESOURCE><a:><![CDATA[{hidden}]]></a:>")
        with pytest.raises(FormatError, match="astropy cannot read"):
            scichunk.votable_header(text.encode())
        assert other.requests == 0
