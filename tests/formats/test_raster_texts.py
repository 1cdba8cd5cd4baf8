"""Metadata that lie outside of a file, or make no sense: left out with a warning, never an error, whoever reads."""

import struct

import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.errors import FormatError, MetadataWarning
from tests.formats.test_geotiff_layouts import tiff

PIXELS = np.arange(64, dtype="u1").reshape(8, 8)
PLAIN = {256: 8, 257: 8, 258: 8, 278: 8}
WAYS = {
    "open_dataset": lambda data: xr.open_dataset(data, engine="geotiff").band_data.values,
    "any engine": lambda data: xr.open_dataset(data, engine="scichunk").band_data.values,
    "open": lambda data: scichunk.open(data)["band_data"].values,
    "info": scichunk.info,
}
FAR = 500_000


def lies_outside(code, kind, count):
    """A file with a tag whose values begin beyond its end."""
    data = tiff([PIXELS.tobytes()], {**PLAIN, code: (kind, count, b"\0" * 60)})
    at = data.index(struct.pack("<HHI", code, kind, count)) + 8
    return data[:at] + struct.pack("<I", FAR) + data[at + 4 :]


LOST = {
    269: (2, 20),
    270: (2, 20),
    282: (5, 1),
    305: (2, 20),
    320: (3, 768),
    33550: (12, 3),
    33922: (12, 6),
    34264: (12, 16),
    34675: (7, 50),
    34735: (3, 20),
    34736: (12, 5),
    34737: (2, 30),
    40001: (1, 50),
    42112: (2, 50),
    42113: (2, 12),
    50844: (12, 92),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", LOST)
def test_a_tag_outside_of_the_file_is_left_out(code, way):
    data = lies_outside(code, *LOST[code])
    with pytest.warns(MetadataWarning, match=rf"tag {code}\b.* lies outside"):
        found = WAYS[way](data)
    if way != "info":
        np.testing.assert_array_equal(np.asarray(found).reshape(8, 8), PIXELS)


@pytest.mark.parametrize("reader", ["auto", "indexed", "reference"])
@pytest.mark.parametrize("code", LOST)
def test_pixels_need_no_descriptive_tag(code, reader):
    np.testing.assert_array_equal(
        scichunk.from_geotiff(lies_outside(code, *LOST[code]), reader=reader).compute()[0], PIXELS
    )


def test_stacks_take_files_with_lost_tags(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(lies_outside(34735, *LOST[34735]))
    with pytest.warns(MetadataWarning, match="lies outside"):
        ds = scichunk.open_stack(str(tmp_path / "*.tif"))
    np.testing.assert_array_equal(ds.band_data.values[:, 0], [PIXELS, PIXELS])


def test_tags_of_the_layout_must_be_there():
    data = lies_outside(258, 3, 3)
    with pytest.raises(FormatError):
        scichunk.from_geotiff(data)


def with_tag(code, text):
    return tiff([PIXELS.tobytes()], {**PLAIN, code: (2, len(text) + 1, text + b"\0")})


def item(role, value):
    return f'<GDALMetadata><Item name="X" sample="0" role="{role}">{value}</Item></GDALMetadata>'.encode()


BAD = {
    "unclosed": b"<GDALMetadata><Item name='A'>1</Item>",
    "cut": b"<GDALMetadata><Item name='A'>1</It",
    "no XML": b"hello world",
    "a bare ampersand": b"<GDALMetadata><Item name='A'>a & b</Item></GDALMetadata>",
    "other end": b"<GDALMetadata><Item name='A'>1</Foo></GDALMetadata>",
    "an entity": b"<!DOCTYPE a [<!ENTITY x 'y'>]><GDALMetadata><Item name='A'>&x;</Item></GDALMetadata>",
    "text as scale": item("scale", "abc"),
    "a unit in the scale": item("scale", "0.1 m"),
    "NaN as scale": item("scale", "nan"),
    "0 as scale": item("scale", "0.0"),
    "text as offset": item("offset", "x"),
    "infinite offset": item("offset", "inf"),
}


@pytest.mark.parametrize("kind", BAD)
def test_texts_without_sense_warn(tmp_path, kind):
    path = tmp_path / "bad.tif"
    path.write_bytes(with_tag(42112, BAD[kind]))
    with pytest.warns(MetadataWarning, match=r"no well-formed XML|is no number|no physical values"):
        ds = xr.open_dataset(path, engine="geotiff")
    with rasterio.open(path) as theirs:
        want = PIXELS * theirs.scales[0] + theirs.offsets[0]
    np.testing.assert_allclose(ds.band_data.values[0], want)


@pytest.mark.parametrize("text", [b"abc", b"", b"1.5.2"])
def test_nodata_that_is_no_number_warns(text):
    with pytest.warns(MetadataWarning, match="is no number"):
        xr.open_dataset(with_tag(42113, text), engine="geotiff")


@pytest.mark.parametrize(
    "text", [item("scale", "0.5"), item("offset", "0"), item("scale", " 2 "), item("unittype", "abc"), b""]
)
def test_good_texts_do_not_warn(recwarn, text):
    xr.open_dataset(with_tag(42112, text) if text else with_tag(42113, b"-9999.5"), engine="geotiff").load()
    assert not [w for w in recwarn if issubclass(w.category, MetadataWarning)]


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
@pytest.mark.parametrize(
    "text",
    [
        "<PAMDataset><PAMRasterBand",
        "no XML",
        '<PAMDataset><PAMRasterBand band="1"><Scale>abc</Scale></PAMRasterBand></PAMDataset>',
    ],
)
def test_damaged_pam_files_warn(tmp_path, suffix, text):
    path = tmp_path / f"image.{suffix}"
    driver = {"tif": {"driver": "GTiff"}, "jp2": {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}}[suffix]
    with rasterio.open(path, "w", height=8, width=8, count=1, dtype="uint8", **driver) as ds:
        ds.write(PIXELS[None])
    (tmp_path / f"image.{suffix}.aux.xml").write_text(text)
    with pytest.warns(MetadataWarning, match=r"aux\.xml: "):
        xr.open_dataset(path, engine="scichunk")


def with_beside(tmp_path, name, text):
    """A raster of 8 x 8 pixels with a world file and another file beside it."""
    path = tmp_path / "image.tif"
    path.write_bytes(tiff([PIXELS.tobytes()], PLAIN))
    (tmp_path / "image.tfw").write_text("1\n0\n0\n-1\n70\n80\n")
    (tmp_path / name).write_text(text)
    return path


POINT = '<GCP Id="" Pixel="1" Line="2" X="1" Y="3"/>'
MANY = {
    "items": ("image.tif.aux.xml", "<PAMDataset><Metadata>" + "<MDI key='a'>1</MDI>" * 20_000, "20001 items"),
    "points": ("image.tif.aux.xml", "<PAMDataset><GCPList>" + POINT * 100_001, "100001 control points"),
    "elements": ("image.aux.xml", "<PAMDataset>" + "<a/>" * 1_000_000, "1000001 elements"),
    "bytes": ("image.tif.aux.xml", "<PAMDataset>" + " " * (1 << 24), "16777228 bytes"),
    "a list of another kind": ("image.IMD", "a = 1;\n" * 20_001, "20001 items"),
    "elements of another kind": ("image.xml", "<isd>" + "<a>1</a>" * 20_000, "20001 items"),
}


@pytest.mark.parametrize("kind", MANY)
def test_files_beside_a_raster_with_very_much_are_left_out(tmp_path, kind):
    name, text, told = MANY[kind]
    path = with_beside(tmp_path, name, text)
    with pytest.warns(MetadataWarning, match=f"{name} has {told}"):
        ds = xr.open_dataset(path, engine="geotiff")
    assert float(ds.x[0]) == 70
    np.testing.assert_array_equal(ds.band_data[0], PIXELS)


def test_texts_of_very_many_items_are_left_out():
    def text(count):
        return b"<GDALMetadata>" + b"".join(b'<Item name="k%d">1</Item>' % i for i in range(count)) + b"</GDALMetadata>"

    with pytest.warns(MetadataWarning, match=r"tag 42112 \(GDAL_METADATA\) has 20001 items"):
        assert "k7" not in xr.open_dataset(with_tag(42112, text(20_001)), engine="geotiff").band_data.attrs
    assert xr.open_dataset(with_tag(42112, text(1000)), engine="geotiff").band_data.attrs["k7"] == 1


def test_very_many_control_points_are_left_out():
    def file(points):
        return tiff([PIXELS.tobytes()], {**PLAIN, 33922: (12, 6 * points, struct.pack("<6d", *range(6)) * points)})

    with pytest.warns(MetadataWarning, match=r"tag 33922 \(ModelTiepoint\) has 100001 control points"):
        assert "gcps" not in xr.open_dataset(file(100_001), engine="geotiff").spatial_ref.attrs
    assert "gcps" in xr.open_dataset(file(7), engine="geotiff").spatial_ref.attrs


@pytest.mark.parametrize("code", [50908, 50909])
def test_tags_of_military_profiles(code):
    (text,) = {"TIFF_RSID", "GEO_METADATA"} & {
        *xr.open_dataset(with_tag(code, b"hello"), engine="geotiff").band_data.attrs
    }
    assert text == {50908: "TIFF_RSID", 50909: "GEO_METADATA"}[code]


def jp2_boxes(tmp_path, *boxes):
    """A JP2 file with further boxes, of (type, content)."""
    path = tmp_path / "image.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=8, width=8, count=1, dtype="uint8", QUALITY=100, REVERSIBLE="YES"
    ) as ds:
        ds.write(PIXELS[None])
    more = b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in boxes)
    path.write_bytes(path.read_bytes() + more)
    return path


def test_boxes_of_very_much_text_are_left_out(tmp_path):
    texts = [b"<a>".ljust(6 << 20) for _ in range(5)]
    items = b"<GDALMultiDomainMetadata>" + b"<Item name='a'>1</Item>" * 20_001
    path = jp2_boxes(tmp_path, *((b"xml ", t) for t in texts), (b"xml ", items))
    with pytest.warns(MetadataWarning, match=r"has 20001 items; box xml at \d+ has 6291456 bytes"):
        found = scichunk.open(path)
    np.testing.assert_array_equal(found.band_data[0], PIXELS)
    assert len(found.attrs["xml"]) == 3


def test_world_files_beside_bare_codestreams(tmp_path):
    path = tmp_path / "image.j2k"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=8, width=8, count=1, dtype="uint8", QUALITY=100, REVERSIBLE="YES"
    ) as ds:
        ds.write(PIXELS[None])
    (tmp_path / "image.wld").write_text("1\n0\n0\n-1\n70\n80\n")
    assert float(xr.open_dataset(path, engine="jpeg2000").x[0]) == 70


def jp2_with(tmp_path, **changes):
    """A JP2 file whose box ihdr says something else than its codestream."""
    path = tmp_path / "image.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=8, width=9, count=1, dtype="uint8", QUALITY=100, REVERSIBLE="YES"
    ) as ds:
        ds.write(np.zeros((1, 8, 9), "u1"))
    data = bytearray(path.read_bytes())
    at = data.index(b"ihdr") + 4
    for name, value in changes.items():
        place, form = {"rows": (0, ">I"), "columns": (4, ">I"), "components": (8, ">H")}[name]
        struct.pack_into(form, data, at + place, value)
    return bytes(data)


@pytest.mark.parametrize("changes", [{"rows": 100_000}, {"rows": 4}, {"columns": 10}])
def test_sizes_of_container_and_codestream_that_differ(tmp_path, changes):
    data = jp2_with(tmp_path, **changes)
    for read in (scichunk.from_jpeg2000, scichunk.info, lambda d: xr.open_dataset(d, engine="jpeg2000")):
        with pytest.raises(FormatError, match="ihdr"):
            read(data)


def test_numbers_of_components_that_differ(tmp_path):
    data = jp2_with(tmp_path, components=3)
    with pytest.warns(MetadataWarning, match="3 components, the codestream has 1"):
        array = scichunk.from_jpeg2000(data)
    assert array.shape == (1, 8, 9)
    assert (array.compute() == 0).all()
