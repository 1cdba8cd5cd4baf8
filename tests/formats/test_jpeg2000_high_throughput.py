"""HTJ2K whose values OpenJPH alone would give wrong without a word: what overshoots its samples, and segments that it steps over."""

import struct
import subprocess
import sys

import numpy as np
import pytest

import scichunk
from scichunk.errors import FormatError, ScichunkError
from tests.differential.test_jpeg2000_matrix import WITHOUT

imagecodecs = pytest.importorskip("imagecodecs")
if not hasattr(imagecodecs, "htj2k_encode"):
    pytest.skip("this imagecodecs writes no HTJ2K", allow_module_level=True)

RNG = np.random.default_rng(5)
QCD, SOT, SOD = 0xFF5C, b"\xff\x90", b"\xff\x93"


def of_depth(data, bits, *, signed):
    """The codestream with another depth in SIZ: coefficients stay, so that they go beyond what the samples hold."""
    copy = bytearray(data)
    for component in range(struct.unpack(">H", data[40:42])[0]):
        copy[42 + 3 * component] = (0x80 if signed else 0) | (bits - 1)
    return bytes(copy)


def limits(bits, *, signed):
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 7, 8, 9, 12, 15, 16, 17, 24, 25, 31])
def test_what_overshoots_is_clamped(bits, signed):
    """As ISO/IEC 15444-1, G.1.2, wants it; beyond 16 bits nothing overshoots here, and the values are exact."""
    most = min((1 << 15) - 1, 3 << (bits - 1))
    image = RNG.integers(-most, most, (150, 50)).astype("i2")
    data = of_depth(imagecodecs.htj2k_encode(image, reversible=True), bits, signed=signed)
    want = np.clip(image.astype("i8") + (0 if signed else 1 << (bits - 1)), *limits(bits, signed=signed))
    found = scichunk.from_jpeg2000(data)
    np.testing.assert_array_equal(found[0].compute(), want)
    np.testing.assert_array_equal(found[0, 10:149:3, 7:20].compute(), want[10:149:3, 7:20])


def test_components_and_their_transform():
    image = RNG.integers(-300, 300, (70, 40, 3)).astype("i2")
    data = of_depth(imagecodecs.htj2k_encode(image, reversible=True, rgb=True), 8, signed=False)
    want = np.moveaxis(np.clip(image + 128, 0, 255), -1, 0)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data).compute(), want)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data, bands=[2, 0, 2]).compute(), want[[2, 0, 2]])


@pytest.mark.parametrize("bits", [1, 8, 31])
def test_more_bit_planes_than_integers_have(bits):
    """Right, or refused: nothing wraps around."""
    image = RNG.integers(-(1 << 30), 1 << 30, (40, 50)).astype("i4")
    data = of_depth(imagecodecs.htj2k_encode(image, reversible=True), bits, signed=True)
    try:
        found = scichunk.from_jpeg2000(data)[0].compute()
    except ScichunkError:
        return
    np.testing.assert_array_equal(found, np.clip(image, *limits(bits, signed=True)))


def test_blocks_say_what_they_are():
    """Decoders go by the style of code-blocks, whatever CAP says: windows are not decoded to grey."""
    image = RNG.integers(0, 256, (150, 170)).astype("u1")
    data = bytearray(imagecodecs.htj2k_encode(image, reversible=True, tile=(64, 64)))
    at = data.index(b"\xff\x50")
    assert data[at + 5] & 2  # Pcap15, of four bytes
    data[at + 5] &= ~2
    found = scichunk.from_jpeg2000(bytes(data))
    np.testing.assert_array_equal(found[0, :48, :96].compute(), image[:48, :96])
    np.testing.assert_array_equal(found[0].compute(), image)


def test_tiles_that_tlm_speaks_of_are_not_empty():
    """A tile-part whose head is an end of codestream ends nothing: what lies behind is lost or read, never zero."""
    image = RNG.integers(1, 256, (64, 192)).astype("u1")
    data = bytearray(imagecodecs.htj2k_encode(image, reversible=True, tile=(64, 64), tlm=True))
    heads = [at for at in range(len(data)) if data[at : at + 4] == b"\xff\x90\0\x0a"]
    data[heads[1] : heads[1] + 2] = b"\xff\xd9"
    array = scichunk.from_jpeg2000(bytes(data))
    np.testing.assert_array_equal(array[0, :, 128:].compute(), image[:, 128:])
    with pytest.raises(FormatError, match="tile 1"):
        array.compute()


def test_a_tile_alone_has_such_blocks():
    """The main header says that blocks are plain, and a tile says otherwise."""
    image, data = sound()
    at = data.index(b"\xff\x52")
    coding = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    plain = bytearray(coding)
    assert plain[12] & 0x40
    plain[12] &= ~0x40
    capable = bytearray(data)
    capable[data.index(b"\xff\x50") + 5] &= ~2
    head = data.index(SOT)
    length = int.from_bytes(data[head + 6 : head + 10], "big")
    capable[head + 6 : head + 10] = struct.pack(">I", length + len(coding) if length else 0)
    changed = (
        bytes(capable[:at]) + bytes(plain) + bytes(capable[at + len(coding) : head + 12]) + coding + data[head + 12 :]
    )
    array = scichunk.from_jpeg2000(changed)
    np.testing.assert_array_equal(array[0, 5:40, 3:30].compute(), image[5:40, 3:30])
    np.testing.assert_array_equal(array[0].compute(), image)


def sound():
    image = RNG.integers(0, 256, (64, 64)).astype("u1")
    return image, imagecodecs.htj2k_encode(image, reversible=True, resolutions=2)


def in_tile(data, segment):
    """A marker segment between SOT and SOD."""
    at = data.index(SOT)
    length = int.from_bytes(data[at + 6 : at + 10], "big")
    length = (length or len(data) - 2 - at) + len(segment)
    return data[: at + 6] + struct.pack(">I", length) + data[at + 10 : at + 12] + segment + data[at + 12 :]


def in_main(data, segment):
    at = data.index(SOT)
    return data[:at] + segment + data[at:]


@pytest.mark.parametrize("where", [in_main, in_tile])
@pytest.mark.parametrize("segment", ["RGN", "QCD", "COD"])
def test_segments_that_change_the_values(segment, where):
    """A region of interest, and other exponents: OpenJPEG reads or refuses them, OpenJPH steps over them."""
    image, data = sound()
    at = data.index(struct.pack(">H", QCD))
    quantisation = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    more = quantisation[:5] + bytes(b + 8 for b in quantisation[5:])  # one bit plane more, so twice the coefficients
    at = data.index(b"\xff\x52")
    coding = bytearray(data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")])
    coding[9] -= 1  # a level less
    changed = where(
        data, {"RGN": struct.pack(">HHBBB", 0xFF5E, 5, 0, 0, 3), "QCD": more, "COD": bytes(coding)}[segment]
    )
    try:
        found = scichunk.from_jpeg2000(changed)[0].compute()
        want = scichunk.from_jpeg2000(changed, reader="reference")[0].compute()
    except FormatError:  # versions of OpenJPEG differ in what they refuse
        return
    assert (found != image).any()
    np.testing.assert_array_equal(found, want)


LOSSY = (
    WITHOUT.partition("data, plane")[0]
    + """
data, plane = open(sys.argv[1], "rb").read(), np.load(sys.argv[2])
found = scichunk.from_jpeg2000(data).compute()[0]
assert found.dtype == plane.dtype
most = 1 if plane.itemsize == 1 else 4  # both compute in floats of 24 bits
assert np.abs(found.astype("i8") - plane).max() <= most, np.abs(found.astype("i8") - plane).max()
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_irreversible_values_without_openjpeg(dtype, tmp_path):
    """Steep edges overshoot; both decoders agree on what they are clamped to."""
    info = np.iinfo(dtype)
    image = np.where(RNG.random((64, 90)) < 0.5, info.min, info.max).astype(dtype)
    data = imagecodecs.htj2k_encode(image, 0.05, reversible=False)
    want = scichunk.from_jpeg2000(data)[0].compute()
    assert {info.min, info.max} <= set(np.unique(want).tolist())
    (tmp_path / "a.j2k").write_bytes(data)
    np.save(tmp_path / "a.npy", want)
    subprocess.run([sys.executable, "-c", LOSSY, tmp_path / "a.j2k", tmp_path / "a.npy"], check=True, timeout=120)
