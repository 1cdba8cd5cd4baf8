"""Headers that tables came with are written anew from their tree."""

import xml.etree.ElementTree as ET

import astropy.io.votable
import pytest
import xarray as xr

import scichunk

PREFIXED = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE v:VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">
<!-- <TABLE> in a comment -->
<v:VOTABLE version="v1.1" xmlns:v="http://www.ivoa.net/xml/VOTable/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.1 http://www.ivoa.net/xml/VOTable/v1.1">
 <v:DESCRIPTION>a &lt; b &amp; "c" \u00e9</v:DESCRIPTION>
 <v:RESOURCE name='R"1"' type="results">
  <v:INFO name="QUERY_STATUS" value="OK">fine &gt; good</v:INFO>
  <v:TABLE name="other"><v:FIELD name="z" datatype="int"/>
   <v:DATA><v:TABLEDATA><v:TR><v:TD>1</v:TD></v:TR></v:TABLEDATA></v:DATA></v:TABLE>
  <v:TABLE name="stars" ID="t1" nrows="99">
   <v:DESCRIPTION>of stars</v:DESCRIPTION>
   <v:GROUP name="g"><v:FIELDref ref="a1"/></v:GROUP>
   <v:FIELD name="a" ID="a1" datatype="int" unit="m" ucd="pos"><v:DESCRIPTION>of a</v:DESCRIPTION>
    <v:VALUES null="-1"><v:MIN value="0"/></v:VALUES></v:FIELD>
   <v:FIELD name="b" datatype="double"/>
   <v:PARAM name="p" datatype="char" arraysize="*" value="x &lt; 'y'"/>
   <v:LINK href="http://example.org/?a=1&amp;b=2"/>
   <v:DATA><v:TABLEDATA><v:TR><v:TD>5</v:TD><v:TD>0.5</v:TD></v:TR></v:TABLEDATA></v:DATA>
   <v:INFO name="after" value="the data"/>
  </v:TABLE>
  <v:RESOURCE type="meta"><v:PARAM name="inner" datatype="int" value="7"/></v:RESOURCE>
 </v:RESOURCE>
 <v:INFO name="last" value="of all"/>
</v:VOTABLE>
"""


@pytest.fixture
def written(tmp_path):
    (tmp_path / "in.vot").write_bytes(PREFIXED.encode("latin-1"))
    with xr.open_dataset(tmp_path / "in.vot", engine="votable", group="stars") as ds:
        more = ds.load().assign(c=ds["b"] * 2)
    scichunk.write_votable(more, tmp_path / "out.vot")
    return tmp_path / "out.vot"


def names(element):
    return [(child.tag.rpartition("}")[2], child.get("name")) for child in element]


def test_elements_keep_their_order_their_prefix_and_what_they_say(written):
    root = ET.parse(written).getroot()
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    assert root.tag == space + "VOTABLE"
    assert root.get("version") == "1.4"
    assert names(root) == [("DESCRIPTION", None), ("RESOURCE", 'R"1"'), ("INFO", "last")]
    assert root[0].text == 'a < b & "c" \u00e9'
    resource = root[1]
    assert names(resource) == [("INFO", "QUERY_STATUS"), ("TABLE", "other"), ("TABLE", "stars"), ("RESOURCE", None)]
    assert resource[0].text == "fine > good"
    assert names(resource[1]) == [("FIELD", "z")]  # without its data
    table = resource[2]
    assert table.get("nrows") == "1"
    assert names(table) == [
        ("DESCRIPTION", None),
        ("GROUP", "g"),
        ("FIELD", "a"),
        ("FIELD", "b"),
        ("FIELD", "c"),
        ("PARAM", "p"),
        ("LINK", None),
        ("DATA", None),
        ("INFO", "after"),
    ]
    assert table[5].get("value") == "x < 'y'"
    assert table[6].get("href") == "http://example.org/?a=1&b=2"
    text = written.read_text("utf-8")
    assert "DOCTYPE" not in text
    assert "in a comment" not in text


def test_astropy_reads_it(written):
    found = astropy.io.votable.parse_single_table(written)
    other = astropy.io.votable.parse(written).get_table_by_index(1)
    assert found.name == "other"
    assert other.array["a"].tolist() == [5]
    assert other.array["c"].tolist() == [1.0]
    assert str(other.get_field_by_id("a1").unit) == "m"
    assert other.get_field_by_id("a1").values.null == -1


def test_it_can_be_written_again(written, tmp_path):
    with xr.open_dataset(written, engine="votable", group="stars") as ds:
        scichunk.write_votable(ds.load(), tmp_path / "again.vot")
    assert (tmp_path / "again.vot").read_bytes() == written.read_bytes()


SYSTEMS = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
<COOSYS ID="sys" system="ICRS" epoch="J2015.5"/><COOSYS ID="old" system="eq_FK4" equinox="B1950"/>
<TIMESYS ID="clock" timeorigin="2455197.5" timescale="TCB" refposition="BARYCENTER"/>
<TABLE name="stars">
<PARAM name="limit" datatype="double" unit="mag" value="20.5"/><PARAM name="box" datatype="int" arraysize="3" value="1 2 3" unit="pixel"/>
<PARAM name="weights" datatype="double" arraysize="*" value="0.5 NaN"/><PARAM name="flags" datatype="boolean" arraysize="2" value="T F"/>
<PARAM name="note_units" datatype="char" arraysize="*" value="none"/>
<FIELD name="ra" datatype="double" unit="deg" ref="sys"/><FIELD name="t" datatype="double" unit="d" ref="clock"/>
<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""


def test_frames_keep_systems_units_and_arrays(tmp_path):
    """A frame has no header; what its attributes say of systems and parameters is written as elements, which ``ref`` points to."""
    frame = scichunk.read_votable(SYSTEMS.encode())
    scichunk.write_votable(frame[frame.ra > 0], tmp_path / "out.vot")
    document = astropy.io.votable.parse(tmp_path / "out.vot", verify="exception")
    (resource,) = document.resources
    assert [(s.ID, s.system, s.epoch, s.equinox) for s in resource.coordinate_systems] == [
        ("sys", "ICRS", "J2015.5", None),
        ("old", "eq_FK4", None, "B1950"),
    ]
    assert [(s.ID, s.timeorigin, s.timescale, s.refposition) for s in resource.time_systems] == [
        ("clock", 2455197.5, "TCB", "BARYCENTER")
    ]
    params = {p.name: p for p in document.get_first_table().params}
    assert {name: str(p.unit) for name, p in params.items() if p.unit} == {"limit": "mag", "box": "pix"}
    assert params["limit"].value == 20.5
    assert params["box"].value.tolist() == [1, 2, 3]
    again = scichunk.read_votable(tmp_path / "out.vot")
    assert repr(dict(scichunk.columns(again).attrs)) == repr(dict(scichunk.columns(frame).attrs))


def test_attributes_that_are_no_systems_are_parameters(tmp_path):
    data = xr.Dataset({"a": ("row", [1.0])}, attrs={"coosys_x": "an own text", "mixed": [1, "b"], "empty": []})
    scichunk.write_votable(data, tmp_path / "out.vot")
    params = {p.name: p.value for p in astropy.io.votable.parse(tmp_path / "out.vot").get_first_table().params}
    assert params == {"coosys_x": "an own text", "mixed": "[1, 'b']", "empty": "[]"}


@pytest.mark.parametrize(
    "stream",
    [
        "rights='a > b' href='http://example.org/x.fits?token=hush-hush'",
        "x:href='a' href='http://example.org/x.fits?token=hush-hush'",
        "href='http://user:hush-hush@example.org/x.fits'",
        "href='//user:hush-hush@example.org/x.fits'",
        'href = " //user:hush-hush@example.org/x.fits?a=1"',
    ],
)
def test_secrets_of_references_stay_out_of_headers_and_messages(stream, tmp_path):
    other = '<TABLE><FIELD name="a" datatype="int"/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA></TABLE>'
    text = (
        f'<VOTABLE version="1.4" xmlns:x="x"><RESOURCE>{other}<TABLE><FIELD name="a" datatype="int"/><DATA><FITS><STREAM {stream}/>'
        "</FITS></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    path = tmp_path / "a.vot"
    path.write_text(text)
    header = xr.open_dataset(path, engine="votable").attrs["votable_header"]
    assert "STREAM" in header
    assert "hush-hush" not in header
    for document in (path, text.encode()):
        with pytest.raises(scichunk.errors.UnsupportedFeature) as caught:
            scichunk.read_votable(document, table=1)
        assert "hush-hush" not in str(caught.value)
        assert "example.org" in str(caught.value)


def test_attributes_that_were_changed_win(tmp_path):
    document = PREFIXED.replace("ISO-8859-1", "utf-8").replace(
        "<v:LINK",
        '<v:PARAM name="n" datatype="double" unit="m" value="NaN"/><v:PARAM name="k" datatype="int" unit="s" value="3"/>'
        '<v:COOSYS ID="c" system="FK5"/><v:LINK',
        1,
    )
    ds = xr.open_dataset(document.encode(), engine="votable", table=1).load()
    before = dict(ds.attrs)
    scichunk.write_votable(ds, tmp_path / "same.vot")
    written = (tmp_path / "same.vot").read_text()
    assert written.count("PARAM") == document.count("PARAM")
    changes = {
        "p": "z",
        "k": 4,
        "k_units": "ms",
        "name": "suns",
        "description": "of suns",
        "last": "no",
        "QUERY_STATUS": "ERROR",
    }
    ds.attrs |= changes
    del changes["QUERY_STATUS"], ds.attrs["QUERY_STATUS"]
    scichunk.write_votable(ds, tmp_path / "changed.vot")
    found = xr.open_dataset(tmp_path / "changed.vot", engine="votable", table="suns").attrs
    assert {k: found[k] for k in changes} == changes
    assert {k for k in before if str(found[k]) != str(before[k])} == {*changes, "votable_header", "votable_version"}
    names = [p.name for p in astropy.io.votable.parse(tmp_path / "changed.vot").get_table_by_index(1).params]
    assert sorted(names) == ["k", "last", "n", "p"]
    ds.attrs["coosys_c"] = "system=ICRS"
    with pytest.warns(scichunk.errors.MetadataWarning, match="coosys_c"):
        scichunk.write_votable(ds, tmp_path / "system.vot")
