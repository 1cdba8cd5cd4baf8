"""Where the tile-parts of a codestream end, and what follows them: lengths that lie are refused, as OpenJPEG refuses them."""

import re
import struct

import glymur
import numpy as np
import pytest

import scichunk
from scichunk.errors import FormatError
from tests.jpeg2000_files import encode, jp2, texture

PLANE = texture((64, 48)).astype(np.int32)
ENDS = "neither a tile-part nor the end of the codestream"


def parts_of(data):
    """Where the SOT segments of a raw codestream lie."""
    return [m.start() for m in re.finditer(rb"\xff\x90\0\x0a", data)]


def refused_by_openjpeg(data, tmp_path):
    path = tmp_path / "a.j2k"
    path.write_bytes(data)
    with pytest.raises(glymur.lib.openjp2.OpenJPEGLibraryError):
        glymur.Jp2k(path)[:]
    return True


@pytest.mark.parametrize("tlm", [False, True])
@pytest.mark.parametrize("change", [-40, -2, -1, 1, 2, 40])
@pytest.mark.parametrize("tiled", [False, True])
def test_bytes_that_are_lost_or_came_in(change, tiled, tlm, tmp_path):
    """All codes behind the place are read out of step, and nothing but the end of the codestream shows it."""
    data = encode([PLANE], tile=(32, 48) if tiled else None, tlm=tlm)
    at = parts_of(data)[-1] + 120
    damaged = data[:at] + (b"\x11" * change + data[at:] if change > 0 else data[at - change :])
    assert refused_by_openjpeg(damaged, tmp_path)
    with pytest.raises(FormatError, match=f"{ENDS}|beyond the end of the file|no tile-part where one should be"):
        scichunk.reader(damaged)[...]
    if tiled:  # the other tile is sound
        np.testing.assert_array_equal(scichunk.reader(damaged)[0, :32], PLANE[:32])


@pytest.mark.parametrize("wrapped", [False, True])
def test_bytes_behind_the_last_tile_part(wrapped, tmp_path):
    data = encode([PLANE])
    longer = data[:-2] + b"\0" * 9 + data[-2:]
    assert refused_by_openjpeg(longer, tmp_path)
    with pytest.raises(FormatError, match=ENDS):
        scichunk.reader(jp2(longer, size=PLANE.shape) if wrapped else longer)[...]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_bytes_that_came_in_where_a_box_says_how_long_the_codestream_is(count):
    """Its end is then within EOC, or before it."""
    data = encode([PLANE])
    at = parts_of(data)[0] + 120
    box = jp2(data, size=PLANE.shape)
    place = box.index(data) + at
    with pytest.raises(FormatError, match=ENDS):
        scichunk.reader(box[:place] + b"\x11" * count + box[place:])[...]


def test_a_box_behind_a_codestream_without_an_end():
    """Where the last tile-part ends as its box does, nothing contradicts it."""
    box = jp2(encode([PLANE])[:-2], size=PLANE.shape)
    np.testing.assert_array_equal(scichunk.reader(box + b"\0\0\0\x10free12345678")[0], PLANE)


@pytest.mark.parametrize("change", [9, -1])
def test_windows_and_halved_images_of_such_a_file_are_refused_too(change):
    """Of tiles of which packets are looked for one by one."""
    large = texture((512, 512)).astype(np.int32)
    data = encode([large], plt=True)
    at = parts_of(data)[0] + len(data) // 2
    damaged = data[:at] + (b"\x11" * change + data[at:] if change > 0 else data[at - change :])
    for read in (lambda: scichunk.reader(damaged)[0, :20, :20], lambda: scichunk.reader(damaged, reduce=2)[...]):
        with pytest.raises(FormatError, match=ENDS):
            read()


@pytest.mark.parametrize("missing", [1, 2])
def test_a_codestream_that_lacks_nothing_but_its_end(missing):
    """Its packets are all there; OpenJPEG refuses it unless it is told to be less strict."""
    for data in (encode([PLANE]), encode([PLANE], tile=(32, 48))):
        np.testing.assert_array_equal(scichunk.reader(data[:-missing])[0], PLANE)


def test_what_follows_the_end_is_of_no_matter():
    data = encode([PLANE])
    np.testing.assert_array_equal(scichunk.reader(data + b"\0" * 100)[0], PLANE)
    np.testing.assert_array_equal(scichunk.reader(jp2(data, size=PLANE.shape) + b"\0\0\0\x10free12345678")[0], PLANE)


@pytest.mark.parametrize(("part", "number"), [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_tile_parts_that_are_not_numbered_one_by_one(part, number, tmp_path):
    data = bytearray(encode([PLANE], parts="R"))
    places = parts_of(bytes(data))
    assert len(places) > 2
    data[places[part] + 10] = number
    assert refused_by_openjpeg(bytes(data), tmp_path)
    with pytest.raises(FormatError, match=r"numbered .* not one by one"):
        scichunk.reader(bytes(data))[...]


def test_a_tile_part_of_which_tlm_and_its_sot_say_other_tiles(tmp_path):
    data = bytearray(encode([PLANE], tile=(32, 48), parts="R", tlm=True))
    number = {place: data[place + 5] for place in parts_of(bytes(data))}
    last = max(place for place, tile in number.items() if tile == 1)
    data[last + 5] = 0
    assert refused_by_openjpeg(bytes(data), tmp_path)
    with pytest.raises(FormatError, match=r"1 of \d tile-parts are missing"):
        scichunk.reader(bytes(data))[0, 32:]


def test_a_tile_part_that_calls_itself_one_of_another_tile(tmp_path):
    """Before, one tile had the parts of two, and the other was 0."""
    data = bytearray(encode([PLANE], tile=(32, 48)))
    places = parts_of(bytes(data))
    data[places[1] + 5] = 0
    assert refused_by_openjpeg(bytes(data), tmp_path)
    with pytest.raises(FormatError, match="numbered 0, 0"):
        scichunk.reader(bytes(data))[0, :32]


def test_an_sod_that_comes_again_behind_an_empty_tile_part():
    """OpenJPEG goes on behind it to the last tile-part, although only SOT or EOC may come there (A.4.2)."""
    data = encode([PLANE], levels=2, parts="R")
    for at in parts_of(data):
        data = data[: at + 11] + b"\0" + data[at + 12 :]  # how many tile-parts there are is not said
    last, number = data[at:], data[at + 10]
    empty = struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14, number, 0, 0xFF93)
    behind = last[:10] + bytes([number + 1]) + last[11:]
    np.testing.assert_array_equal(scichunk.reader(data[:at] + empty + behind)[0], PLANE)
    with pytest.raises(FormatError, match=ENDS):
        scichunk.reader(data[:at] + empty + b"\xff\x93" + behind)[...]
