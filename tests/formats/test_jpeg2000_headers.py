"""Headers of JPEG 2000 that are valid but unusual: what is stronger than what, in any order, and how much of it there may be."""

import dataclasses
import re
import struct
import warnings

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk import options
from scichunk.codecs.jpeg2000 import codec, openjpeg
from scichunk.codecs.jpeg2000.codestream import iterate_segments
from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, tabulate_walk
from scichunk.codecs.jpeg2000.packets import order_packets
from scichunk.codecs.jpeg2000.parameters import Progression
from scichunk.codecs.jpeg2000.tile_packets import Thresholds
from scichunk.core.cache import tiles
from scichunk.core.handles import open_file
from scichunk.core.selection import Span
from scichunk.core.staged import StagedArray
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.jpeg2000.array_ids import ImageId
from scichunk.formats.jpeg2000.boxes import Box
from scichunk.sources import locate
from tests.jpeg2000_files import decode, encode, jp2, reorder, texture

SOT, COD, COC, QCD, QCC, POC = 0xFF90, 0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5F


def main_segments(data):
    """Segments of the main header behind SIZ, with their markers, and where the first tile-part begins."""
    found, at = [], 2
    for marker, _, end in iterate_segments(lambda start, stop: memoryview(data)[start:stop], 2, len(data)):
        if marker == SOT:
            return found[1:], end - 2
        found.append((marker, data[at:end]))
        at = end
    raise AssertionError


def with_main(data, segments):
    """The same codestream with other segments behind SIZ."""
    old, end = main_segments(data)
    return data[: end - sum(len(s) for _, s in old)] + b"".join(segments) + data[end:]


def in_tile(data, segments):
    """The same codestream with segments in the header of its first tile-part."""
    more, at = b"".join(segments), data.index(b"\xff\x90\0\x0a")
    length = int.from_bytes(data[at + 6 : at + 10], "big") + len(more)
    return data[: at + 6] + struct.pack(">I", length) + data[at + 10 : at + 12] + more + data[at + 12 :]


def of_component(marker, component, body):
    return struct.pack(">HHB", marker, len(body) + 3, component) + body


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize("plt", [True, False])
def test_the_coding_of_a_tile_is_stronger_than_that_of_a_component_in_the_main_header(plt):
    """T.800, A.6.1. There COC turns the precincts of one component round: as many packets, of other places."""
    planes = [texture((400, 400), seed=i) for i in range(2)]
    sound = encode(planes, levels=2, plt=plt, precincts=((64, 32),) * 3)
    old, _ = main_segments(sound)
    coding = dict(old)[COD]
    turned = b"\1" + coding[9:14] + bytes((b & 15) << 4 | b >> 4 for b in coding[14:])
    data = in_tile(with_main(sound, [*(s for _, s in old), of_component(COC, 1, turned)]), [coding])
    array = scichunk.from_jpeg2000(data)
    for rows, columns in ((slice(20, 50), slice(30, 60)), (slice(200, 300), slice(30, 60)), (slice(0, 400),) * 2):
        for band in range(2):
            np.testing.assert_array_equal(array[band, rows, columns].compute(), planes[band][rows, columns])


@pytest.mark.parametrize("where", ["main", "tile"])
@pytest.mark.parametrize("what", ["coding", "quantisation"])
@pytest.mark.parametrize("general_first", [True, False])
def test_what_is_said_of_a_component_is_stronger_in_any_order(general_first, what, where):
    planes = [texture((90, 120), seed=i) for i in range(2)]
    sound = encode(planes, irreversible=True)
    general, special = (COD, COC) if what == "coding" else (QCD, QCC)
    old, _ = main_segments(sound)
    right = dict(old)[general]
    if what == "coding":
        wrong = right[:10] + bytes((right[10] + 1, right[11] + 1)) + right[12:]  # larger code-blocks
        each = [of_component(special, c, b"\0" + right[9:]) for c in range(2)]
    else:
        wrong = right[:5] + bytes(b ^ (16 * (i % 2 == 0)) for i, b in enumerate(right[5:]))
        each = [of_component(special, c, right[4:]) for c in range(2)]
    ordered = [wrong, *each] if general_first else [*each, wrong]
    others = [s for m, s in old if m != general]
    data = with_main(sound, [*others, *(ordered if where == "main" else [wrong])])
    data = data if where == "main" else in_tile(data, ordered)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data).compute(), np.stack(decode(sound)))
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data, reduce=1).compute(), np.stack(decode(sound, 1)))


def test_progressions_before_the_coding_style():
    """OpenJPEG cuts the layers of POC to those of the COD that it has seen."""
    planes = [texture((90, 120), seed=i) for i in range(3)]
    volumes = (Progression("RLCP", 0, 0, 1, 2, 3), Progression("CPRL", 0, 0, 3, 4, 3))
    data = reorder(encode(planes, layers=3), volumes)
    segments = sorted(main_segments(data)[0], key=lambda s: s[0] != POC)
    assert segments[0][0] == POC
    np.testing.assert_array_equal(scichunk.from_jpeg2000(with_main(data, [s for _, s in segments])).compute(), planes)


@pytest.mark.parametrize("marker", range(0xFF70, 0xFF7A))
@pytest.mark.parametrize("where", ["main", "tile"])
def test_extensions_that_change_values_are_refused(marker, where):
    """Part 2: a non-linear transform (NLT), in which OpenJPH keeps floats, an offset (DCO), ... OpenJPEG steps over them."""
    sound = encode([texture((20, 30))])
    segment = struct.pack(">HHHBB", marker, 6, 0xFFFF, 7, 3)
    old, _ = main_segments(sound)
    data = with_main(sound, [segment, *(s for _, s in old)]) if where == "main" else in_tile(sound, [segment])
    with pytest.raises(UnsupportedFeature, match=f"{marker:04X}"):
        scichunk.from_jpeg2000(data).compute()


@pytest.mark.parametrize("place, value", [(8, 2), (8, 255), (4, 8), (4, 16), (4, 128)])
def test_transforms_and_styles_of_other_kinds_are_refused(place, value):
    import imagecodecs

    image = np.stack([texture((20, 30), seed=i) for i in range(3)], -1).astype("u1")
    sound = [encode([*np.moveaxis(image, -1, 0)])]
    if hasattr(imagecodecs, "htj2k_encode"):  # the oldest one that serves has none
        sound.append(imagecodecs.htj2k_encode(image, planar=False, reversible=True))
    for data in sound:
        at = data.index(b"\xff\x52")
        changed = bytes(data[: at + place]) + bytes([value]) + bytes(data[at + place + 1 :])
        with pytest.raises(UnsupportedFeature, match="component transform" if place == 8 else "coding style"):
            scichunk.from_jpeg2000(changed).compute()


def test_segments_that_say_nothing_of_the_coding_do_not_go_into_each_tile():
    """13 MB of them took minutes with a few thousand tiles."""
    plane = texture((16, 320))
    sound = encode([plane], tile=(16, 16), levels=1)
    old = [s for _, s in main_segments(sound)[0]]
    data = with_main(sound, [*old, *[b"\xff\x6f\xff\xff" + bytes(65533)] * 20])
    assert len(open_file("jpeg2000", locate(data)).header.kept) < 200
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data)[0].compute(), plane)
    quantisation = struct.pack(">HH", QCD, 0xFFFF) + bytes(65533)
    with pytest.raises(LimitExceeded, match="coding parameters"):
        scichunk.from_jpeg2000(with_main(sound, [*old, quantisation, quantisation]))


@pytest.mark.parametrize("segment", [b"\xff\x6f\0\x0a" + bytes(8), b"\xff\x6f\0\x06\xff\x93\xff\x52", b"\xff\x30"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_unknown_segments_of_a_tile_are_stepped_over(segment, tile):
    """OpenJPEG refuses them."""
    plane = texture((200, 300))
    data = in_tile(encode([plane], tile=tile, levels=2), [segment])
    array = scichunk.from_jpeg2000(data)
    np.testing.assert_array_equal(array[0].compute(), plane)
    np.testing.assert_array_equal(array[0, 3:9, 4:8].compute(), plane[3:9, 4:8])


@pytest.mark.parametrize("parts", [None, "R"])
def test_lengths_of_packets_that_make_no_sense(parts):
    """A PLT that ends within a number: OpenJPEG, which does not need it, refuses the tile."""
    plane = texture((200, 300))
    data = encode([plane], levels=2, plt=True, parts=parts, order="RPCL")
    found = [m.start() + 12 for m in re.finditer(b"(?s)\xff\x90\0\x0a.{8}\xff\x58", data)]
    assert len(found) == (3 if parts else 1)
    for at in found:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        data = data[: end - 1] + bytes([data[end - 1] | 0x80]) + data[end:]
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data)[0].compute(), plane)


def test_a_tlm_of_millions_takes_as_much_memory_as_its_bytes():
    plane = texture((20, 30))
    sound = encode([plane])
    old = [s for _, s in main_segments(sound)[0]]
    table = [struct.pack(">HHBB", 0xFF55, 4 + 65530, i, 0) + b"\0\x0e" * 32765 for i in range(40)]
    few = open_file("jpeg2000", locate(with_main(sound, [*old, *table[:20]])))
    assert few.header.lengths.nbytes == 20 * 32765 * 16
    assert few.cached_bytes > few.header.lengths.nbytes
    many = with_main(sound, [*old, *table])  # more than the tile-parts that are looked for
    assert not len(open_file("jpeg2000", locate(many)).header.lengths)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(many)[0].compute(), plane)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("wide", [0, 4])
def test_forms_of_tlm(index, wide):
    planes = texture((48, 64))
    sound = encode([planes], tile=(16, 16))
    parts = open_file("jpeg2000", locate(sound)).parts.get()
    lengths = (parts.stops - parts.starts).tolist()
    body = b"".join(
        (i if index else 0).to_bytes(index, "big") + n.to_bytes(wide or 2, "big") for i, n in enumerate(lengths)
    )
    segments = [
        struct.pack(">HHBB", 0xFF55, 4 + len(part), number, index << 4 | (wide and 0x40)) + part
        for number, part in enumerate((body[: len(body) // 2], body[len(body) // 2 :]))
    ]
    data = with_main(sound, [s for _, s in main_segments(sound)[0]] + segments[::-1])
    found = open_file("jpeg2000", locate(data))
    np.testing.assert_array_equal(found.header.lengths, np.stack([np.arange(12), lengths], axis=1))
    assert found.parts.get().found == "TLM"
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data)[0].compute(), planes)


def test_boxes_are_not_compared_with_each_other(monkeypatch):
    """Of 16,000 boxes among GeoJP2 and GMLJP2 this took 18 s."""

    def fail(*_):
        raise AssertionError

    geojp2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03") + b"II*\0\x08\0\0\0\0\0"
    boxes = [(b"uuid", geojp2), *[(b"asoc", b"")] * 50, *[(b"free", b"")] * 50]
    data = jp2(encode([texture((20, 30))]), *boxes, size=(20, 30))
    monkeypatch.setattr(Box, "__eq__", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert xr.open_dataset(data, engine="jpeg2000").sizes["x"] == 30


def test_a_mapping_of_more_channels_than_can_be_numbered():
    """16 MB of them took 800 MB."""
    palette = box(b"pclr", struct.pack(">HB", 2, 3) + b"\7\7\7" + bytes(6))
    found = []
    for count in (1 << 16, (1 << 16) + 1):
        header = palette + box(b"cmap", struct.pack(">HBB", 0, 1, 1) * count)
        data = jp2(encode([texture((20, 30))]), header=header, size=(20, 30))
        found.append(open_file("jpeg2000", locate(data)).structure.image.palette)
    assert len(found[0].mapping) == 1 << 16
    assert found[1] is None


@pytest.mark.parametrize("distance", [2, 8, 16, 200])
def test_windows_without_samples_of_a_component_that_must_be_decoded(distance):
    """With a component transform all are decoded, an alpha channel of a lower resolution too."""
    planes = [texture((150, 200), seed=i) for i in range(3)]
    planes.append(texture((-(-150 // distance), -(-200 // distance)), seed=9))
    data = encode(planes, distances=[(1, 1)] * 3 + [(distance, distance)], mct=1, levels=3)
    for reduce in range(4):
        want = decode(data, reduce)
        array = scichunk.from_jpeg2000(data, bands=[0, 1, 2], reduce=reduce)
        _, rows, columns = array.shape
        for y, x in (
            (slice(rows - 1, rows), slice(columns - 1, columns)),
            (slice(3, 5), slice(5, 24, 3)),
            (slice(0, 1),) * 2,
        ):
            np.testing.assert_array_equal(array[:, y, x].compute(), np.stack(want[:3])[:, y, x])


def test_components_that_are_decoded_for_others_count(monkeypatch):
    """One band of 4000 with a component transform took gigabytes, for a file of 16 kB."""
    count, side = 40, 64
    siz = (
        struct.pack(">HHH8IH", 0xFF51, 38 + 3 * count, 0, side, side, 0, 0, side, side, 0, 0, count) + b"\7\1\1" * count
    )
    cod = struct.pack(">HHBBHBBBBBB", COD, 12, 0, 0, 1, 1, 0, 4, 4, 0, 1)
    qcd = struct.pack(">HHBB", QCD, 4, 0x40, 0x40)
    part = struct.pack(">HHHIBB", SOT, 10, 0, 14 + count, 0, 1) + b"\xff\x93" + bytes(count)
    array = scichunk.from_jpeg2000(b"\xff\x4f" + siz + cod + qcd + part + b"\xff\xd9")
    heights = []
    original = openjpeg.decode_codestream

    def note(data, sizes, n, **given):
        heights.append(sizes(0)[0])
        return original(data, sizes, n, **given)

    monkeypatch.setattr(codec.openjpeg, "decode_codestream", note)
    with options.set(max_chunk_bytes=8 * count * side * 16):
        assert (array[0].compute() == 128).all()
    assert heights == [16] * 4
    with (
        options.set(max_chunk_bytes=8 * count * side - 1),
        pytest.raises(LimitExceeded),
    ):
        array[0].compute()


@pytest.mark.parametrize("long_headers", [False, True])
def test_as_many_tile_parts_as_can_be_numbered(long_headers):
    """Each took a round of reading, and there are no more rounds than that."""
    data = encode([texture((300, 300), seed=i) for i in range(3)], layers=4, precincts=((32, 32),) * 4)
    file = open_file("jpeg2000", locate(data))
    packets = order_packets(file.header, file.header.size.tile_bounds(0))
    first, stop = data.index(b"\xff\x93") + 2, len(data) - 2
    walk = PacketWalk(tabulate_walk(packets))
    assert walk.walk_bytes(data[first:stop], 0) == (len(packets), 0, stop - first)
    cuts = [len(packets) * i // 255 for i in range(256)]
    ends = first + np.concatenate([[0], np.cumsum(walk.sizes)])
    comment = struct.pack(">HHH", 0xFF64, 9004, 0) + bytes(9000) if long_headers else b""
    parts = []
    for i in range(255):
        body = comment + b"\xff\x93" + data[ends[cuts[i]] : ends[cuts[i + 1]]]
        parts.append(struct.pack(">HHHIBB", SOT, 10, 0, 12 + len(body), i, 255) + body)
    split = data[: file.header.length] + b"".join(parts) + b"\xff\xd9"
    source = open_file("jpeg2000", locate(split))
    array = source.array(ImageId(reader="indexed"))
    collector = dataclasses.replace(array.collector, thresholds=Thresholds(small_tile=0, large_tile=0))
    tiles.clear()
    array = StagedArray(array.index, source.source, ("test",), collector, array.grid)
    found = array.read((Span(0, 3), Span(0, 150), Span(0, 150)))
    np.testing.assert_array_equal(found, np.stack(decode(data))[:, :150, :150])
    assert tiles.get((collector.key, "packets", 0)) is not None


def test_components_of_several_distances_and_one_size_by_glymur():
    planes = [texture((9, 1), seed=i) for i in range(3)]
    data = encode(planes, distances=[(1, 1), (2, 1), (2, 1)], offset=(64, 33), levels=1)
    for bands in ([0], [1, 2]):
        for reduce in (0, 1):
            want = scichunk.from_jpeg2000(data, bands=bands, reduce=reduce).compute()
            got = scichunk.from_jpeg2000(data, bands=bands, reduce=reduce, reader="reference").compute()
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("refused", [False, True])
def test_components_without_samples_in_most_tiles(refused):
    """OpenJPEG sets up each of thousands in each tile: a file of a megabyte took six hours."""
    count, side = (3000, 64) if refused else (3, 64)
    siz = struct.pack(">HHH8IH", 0xFF51, 38 + 3 * count, 0, side, side, 0, 0, 1, 1, 0, 0, count)
    siz += b"\7\1\1" + b"\7\xff\xff" * (count - 1)
    cod = struct.pack(">HHBBHBBBBBB", COD, 12, 0, 0, 1, 0, 0, 4, 4, 0, 1)
    parts = [
        struct.pack(">HHHIBB", SOT, 10, tile, 14 + len(body), 0, 1) + b"\xff\x93" + body
        for tile, body in enumerate([bytes(count), *[b"\0"] * (side * side - 1)])
    ]
    data = b"".join([b"\xff\x4f", siz, cod, struct.pack(">HHBB", QCD, 4, 0x40, 0x40), *parts, b"\xff\xd9"])
    if refused:
        with pytest.raises(LimitExceeded, match="no samples in most of 4096 tiles"):
            scichunk.from_jpeg2000(data, bands=[0])
    else:
        assert (scichunk.from_jpeg2000(data, bands=[0])[:, :9, :9].compute() == 128).all()


@pytest.mark.parametrize("distances", [[(1, 1), (2, 2)], [(2, 2), (1, 1)], [(2, 1), (1, 2)]])
def test_components_lie_on_one_grid_in_any_order(distances, tmp_path):
    """What places the image places its finest pixels (T.800, I.5.3.1: the image area), also where the first are coarser."""
    planes = [texture((-(-61 // dy), -(-81 // dx)), seed=i) for i, (dx, dy) in enumerate(distances)]
    code = encode(planes, distances=distances, levels=1)
    size = open_file("jpeg2000", locate(code)).header.size
    (tmp_path / "a.jp2").write_bytes(jp2(code, size=(size.y1, size.x1), count=2))
    (tmp_path / "a.wld").write_text("10\n0\n0\n-10\n5005\n8995\n")  # the centre of the first pixel
    for reduce in (0, 1):
        with xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000", reduce=reduce) as found:
            for end, (dx, dy) in zip(("", "_2"), distances, strict=True):
                x, y = found["x" + end].values, found["y" + end].values
                step_x, step_y = 10 * (dx << reduce), 10 * (dy << reduce)
                np.testing.assert_allclose(x, 5000 + (np.arange(x.size) + 0.5) * step_x)
                np.testing.assert_allclose(y, 9000 - (np.arange(y.size) + 0.5) * step_y)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_second_siz_is_refused(bits):
    """Types were made of the first, and samples by the second, whose depth may be another."""
    data = encode([texture((40, 50), 12)], bits=12)
    end = 4 + int.from_bytes(data[4:6], "big")
    second = bytearray(data[2:end])
    second[40] = bits - 1
    with pytest.raises(FormatError, match=f"a second SIZ at byte {end}"):
        scichunk.from_jpeg2000(data[:end] + second + data[end:])


@pytest.mark.parametrize("irreversible", [False, True])
@pytest.mark.parametrize("bits, signed", [(8, False), (12, True), (5, True), (16, False)])
@pytest.mark.parametrize("reduce", [0, 1])
def test_tiles_without_samples_of_a_component_beside_transformed_ones(reduce, bits, signed, irreversible):
    """Red, green and blue are transformed together, and opacity of half their size has no samples in tiles of a column or a row."""
    planes = [texture((33, 33) if i < 3 else (16, 16), bits, signed, i) for i in range(4)]
    tiled = {"offset": (1, 1), "tile": (16, 16), "tile_offset": (1, 1), "distances": [(1, 1)] * 3 + [(2, 2)]}
    data = encode(planes, bits=bits, signed=signed, levels=1, mct=1, irreversible=irreversible, **tiled)
    want = np.stack(decode(data, reduce)[:3])
    array = scichunk.from_jpeg2000(data, bands=[0, 1, 2], reduce=reduce)
    near = 1 if irreversible else 0
    found = array.compute(scheduler="synchronous").astype("i8")
    assert np.abs(found - want).max() <= near
    for key in (
        (slice(1, 2), slice(-3, None), slice(None)),
        (slice(None, None, 2), slice(None, None, 3), slice(-2, None)),
    ):
        assert np.abs(array[key].compute(scheduler="synchronous").astype("i8") - want[key]).max() <= near
    with options.set(max_chunk_bytes=100), pytest.raises(LimitExceeded):
        array.compute(scheduler="synchronous")
