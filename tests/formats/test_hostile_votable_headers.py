"""VOTables whose headers are made to be multiplied: what is said once, or of many tables, costs what it weighs."""

import warnings

import pytest

import scichunk
from scichunk.errors import DataWarning, LimitExceeded
from tests.votable_docs import FIELDS, ROW, doc

TABLE = f"<TABLE>{FIELDS}<DATA><TABLEDATA>{ROW}</TABLEDATA></DATA></TABLE>"


def tables(count, inside="", resource=""):
    return f'<VOTABLE version="1.4">{inside}<RESOURCE>{resource}{TABLE * count}</RESOURCE></VOTABLE>'.encode()


def attributes(inside, **more):
    return scichunk.open(doc(ROW, before="", **more).replace("<RESOURCE>", f"{inside}<RESOURCE>").encode()).attrs


# ---- PARAM elements


@pytest.mark.parametrize("datatype", ["int", "bit", "boolean", "doubleComplex", "double"])
@pytest.mark.parametrize("size", ["100000", "1000x100", "100000x*"])
def test_params_that_are_declared_far_longer_than_they_are_keep_their_text(datatype, size):
    found = attributes(f'<PARAM name="p" datatype="{datatype}" arraysize="{size}" value="1"/>')
    assert found["p"] == "1"


def test_params_of_many_texts_that_are_not_there_keep_their_text():
    assert attributes('<PARAM name="p" datatype="char" arraysize="1x100000" value="ab"/>')["p"] == "ab"


def test_params_that_are_a_little_too_short_are_filled_and_the_warning_says_where():
    with pytest.warns(DataWarning, match="array length|another length") as caught:
        found = attributes('<PARAM name="p" datatype="int" arraysize="3" value="1 2"/>')
    assert found["p"] == "[1, 2, null]"
    assert len(caught) == 1
    assert "bytes" in str(caught[0].message)
    assert "PARAM 'p', first: column 'p'" in str(caught[0].message)


# ---- many tables


def test_tables_share_the_text_of_the_header():
    with scichunk.options.set(cached_tile_bytes=0):
        tree = scichunk.open(tables(3))
    texts = [node.attrs["votable_header"] for node in tree.children.values()]
    assert len(texts) == 3
    assert all(text is texts[0] for text in texts)


@pytest.mark.parametrize("place", ["inside", "resource"])
def test_what_is_said_of_all_tables_is_read_once(place):
    param = '<PARAM name="p" datatype="int" arraysize="3" value="1 2"/>'
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = scichunk.open(tables(3, **{place: param}))
    assert [node.attrs["p"] for node in tree.children.values()] == ["[1, 2, null]"] * 3
    assert len([w for w in caught if "PARAM" in str(w.message)]) == 1


@pytest.mark.parametrize("place", ["inside", "resource"])
def test_attributes_of_very_many_tables_at_once_are_limited(place):
    infos = "".join(f'<INFO name="n{i}" value="v{i}"/>' for i in range(100))
    data = tables(100, **{place: infos})
    assert len(scichunk.open(data).children) == 100
    with scichunk.options.set(max_elements=5000):
        scichunk.clear_caches()
        with pytest.raises(LimitExceeded, match=r"attributes in 100 tables.*max_elements"):
            scichunk.open(data)
        assert scichunk.read_votable(data, table=7).compute().a.tolist() == [1]


def test_informations_of_one_name_are_joined():
    infos = "".join(f'<INFO name="n" value="v{i}">more {i}</INFO>' for i in range(3))
    found = attributes(infos)
    assert (found["n"], found["n_text"]) == ("v0; v1; v2", "more 0; more 1; more 2")


# ---- VALUES that refer to each other


def chain(count, end):
    inner = "".join(f'<VALUES ID="v{i}" ref="v{i + 1}"/>' for i in range(count))
    return doc("<TR><TD>7</TD></TR>", f'<FIELD name="a" datatype="int">{inner}{end}</FIELD>').encode()


def test_domains_at_the_end_of_many_references(monkeypatch):
    from scichunk.codecs.text.xml_tree import Element

    asked = []
    get = Element.get
    monkeypatch.setattr(
        Element, "get", lambda self, name, default="": (asked.append(name), get(self, name, default))[1]
    )
    data = chain(500, '<VALUES ID="v500" null="7"/>')
    assert scichunk.read_votable(data).compute().a.isna().tolist() == [True]
    assert asked.count("ref") < 2000


@pytest.mark.parametrize("end", ["", '<VALUES ID="v500" ref="v250"/>'])
def test_references_that_end_nowhere_are_one_note(end):
    notes = scichunk.open(chain(500, end)).attrs["votable_warnings"]
    assert len(notes) == 1
    assert "which is not there" in notes[0]
    assert len(notes[0]) < 200


def with_options(fields, options):
    texts = "".join(f'<OPTION value="{i}" name="n{i}"/>' for i in range(options))
    head = f'<FIELD name="x" datatype="int"><VALUES ID="v">{texts}</VALUES></FIELD>'
    others = "".join(f'<FIELD name="a{i}" datatype="int"><VALUES ref="v"/></FIELD>' for i in range(fields))
    return doc("", head + others).encode()


def test_options_that_many_fields_refer_to_are_made_once_and_counted():
    data = with_options(20, 30)
    ds = scichunk.open(data)
    assert ds.a7.attrs["options"] == [f"{i}=n{i}" for i in range(30)]
    assert all(a is b for a, b in zip(ds.a7.attrs["options"], ds.x.attrs["options"], strict=True))
    with scichunk.options.set(max_elements=500):
        scichunk.clear_caches()
        with pytest.raises(LimitExceeded, match=r"options of all fields.*max_elements"):
            scichunk.read_votable(data)


def test_options_that_a_field_refers_to_twice_count_once():
    field = (
        '<FIELD name="a" datatype="int"><VALUES ID="v"><OPTION value="1"/></VALUES>'
        '<VALUES type="actual" ref="v"/><VALUES type="actual" ref="v"/></FIELD>'
    )
    assert scichunk.open(doc("<TR><TD>7</TD></TR>", field).encode()).a.attrs["options"] == ["1"]
