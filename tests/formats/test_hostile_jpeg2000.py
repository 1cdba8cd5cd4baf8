"""JPEG 2000 files whose boxes and markers lie: listed and read within bounds."""

import struct
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.errors import FormatError, LimitExceeded
from tests.children import outcomes

DATA = (Path(__file__).parents[2] / "test_data" / "bgr.jp2").read_bytes()
GEOJP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")


def with_box(body, kind=b"uuid"):
    """The file with a box before its codestream."""
    at = DATA.index(b"jp2c") - 4
    return DATA[:at] + struct.pack(">I4s", 8 + len(body), kind) + body + DATA[at:]


def test_a_degenerate_tiff_in_a_box_is_not_walked():
    entries = b"".join(struct.pack("<HHII", 33922 + i % 9, 12, 0xFFFFFFFF, 8) for i in range(12))
    data = with_box(GEOJP2 + b"II*\0" + struct.pack("<IH", 8, 12) + entries + bytes(4))
    text = outcomes(f"print(scichunk.info({data!r}).arrays[0].notes['boxes'])")[0]
    assert "uuid GeoJP2 at" in text


def test_names_of_boxes_are_fit_to_be_shown():
    listed = scichunk.info(with_box(b"x", b"\x1b[2J")).arrays[0].notes["boxes"]
    assert "?[2J at" in listed
    assert listed.isprintable()


def test_a_coding_style_of_no_layers():
    at = DATA.index(b"\xff\x52") + 6
    with pytest.raises(FormatError, match="0 layers"):
        scichunk.from_jpeg2000(DATA[:at] + b"\0\0" + DATA[at + 2 :])


def test_the_reference_reader_decodes_no_image_beyond_the_limit():
    with scichunk.options.set(max_chunk_bytes=1000), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.from_jpeg2000(DATA, reader="reference").compute()


def test_a_box_whose_extended_length_is_0_does_not_hang_the_reference_reader():
    at = DATA.index(b"jp2c")
    data = DATA[: at - 4] + struct.pack(">I4sQ", 1, b"jp2c", 0) + DATA[at + 4 :]
    want = scichunk.from_jpeg2000(DATA).compute()
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data).compute(), want)
    read = f"scichunk.from_jpeg2000({data!r}, reader='reference')"
    assert outcomes(f"print({read}.compute().sum())") == [str(want.sum())]
