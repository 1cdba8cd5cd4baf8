"""PLT and the headers of packets: where they contradict, parts of a tile are what OpenJPEG makes of all of it, which follows the headers."""

import numpy as np
import pytest

import scichunk
from scichunk.codecs import ways
from scichunk.codecs.jpeg2000 import packet_walk
from scichunk.codecs.jpeg2000.packets import decode_lengths
from scichunk.codecs.small import packet_headers as by_python
from scichunk.errors import FormatError
from tests.jpeg2000_files import decode, encode, texture

# order, layers, and sizes of precincts: of the low resolutions alone, or of each packet, the lengths are asked for
KINDS = [
    ("RPCL", 2, ()),
    ("LRCP", 1, ()),
    ("RPCL", 1, ((64, 64),)),
    ("LRCP", 3, ((64, 64),)),
    ("PCRL", 2, ((128, 64),)),
    ("CPRL", 1, ()),
]
WINDOWS = (np.s_[:, :40, :40], np.s_[:, 150:200, 90:260])


@pytest.fixture(params=["kernel", "Python"])
def way(request, monkeypatch):
    """Through the kernel, and through what serves where there is no compiled code."""
    module = ways.load_kernels("jpeg2000.packet_headers") if request.param == "kernel" else by_python
    monkeypatch.setattr(ways, "choose", lambda _: module)


def make(order, layers, precincts, **more):
    planes = [texture((300, 280), 12, seed=i) for i in range(2)]
    return encode(planes, bits=12, order=order, layers=layers, precincts=precincts, plt=True, **more)


def lengths_of(data):
    """Where the lengths lie, and they."""
    at = data.index(b"\xff\x58") + 5
    size = int.from_bytes(data[at - 3 : at - 1], "big") - 3
    return at, data[at : at + size], decode_lengths([data[at : at + size]])


def with_lengths(data, lengths):
    """PLT of other lengths, as many bytes as before."""
    at, old, _ = lengths_of(data)
    new = b""
    for value in lengths:
        groups = [value & 127]
        while value := value >> 7:
            groups.append(128 | value & 127)
        new += bytes(groups[::-1])
    assert len(new) == len(old)
    return data[:at] + new + data[at + len(old) :]


def compare_parts(data):
    """Compare windows and reduced images with what OpenJPEG makes of all."""
    whole = np.stack(decode(data))
    for window in WINDOWS:
        scichunk.clear_caches()
        np.testing.assert_array_equal(scichunk.from_jpeg2000(data)[window].compute(), whole[window])
    for reduce in (1, 2, 3):
        scichunk.clear_caches()
        found = scichunk.from_jpeg2000(data, reduce=reduce).compute()
        np.testing.assert_array_equal(found, np.stack(decode(data, reduce)))


@pytest.mark.parametrize("order, layers, precincts", KINDS)
@pytest.mark.parametrize("marks", [{}, {"sop": True, "eph": True}], ids=["", "marks"])
def test_lengths_that_add_up_and_are_wrong(order, layers, precincts, marks, way):
    """The codestream is sound: each part is right, whatever PLT says."""
    data = make(order, layers, precincts, **marks)
    compare_parts(data)
    lengths = lengths_of(data)[2].tolist()
    for first, second in ((0, 1), (1, 2), (0, len(lengths) - 1)):
        changed = list(lengths)
        if changed[first] == changed[second]:
            changed[first] += 1
            changed[second] -= 1
        else:
            changed[first], changed[second] = changed[second], changed[first]
        compare_parts(with_lengths(data, changed))


@pytest.mark.parametrize("order, layers, precincts", KINDS)
def test_the_first_header_is_damaged(order, layers, precincts, way):
    """OpenJPEG reads what follows out of step, and mostly says nothing; so is each part that needs the first packet."""
    data = make(order, layers, precincts)
    first = data.index(b"\xff\x93") + 2
    sound, different = np.stack(decode(data)), 0
    for place in range(first, first + 8):
        for bit in (1, 16, 128):
            damaged = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            try:
                whole = np.stack(decode(damaged))
            except FormatError:
                continue
            different += not np.array_equal(whole, sound)
            for window in WINDOWS:
                scichunk.clear_caches()
                found = scichunk.from_jpeg2000(damaged)[window].compute()
                # A window that does not need the damaged packet is right, unlike what OpenJPEG makes of all.
                apart = bool(precincts) and window is WINDOWS[1] and np.array_equal(found, sound[window])
                assert apart or np.array_equal(found, whole[window])
    assert different > 3


def test_many_code_blocks_are_not_looked_at_without_a_kernel(monkeypatch):
    """However few bytes were announced, and whoever compiles it: in Python a million takes ten seconds."""
    data, asked = make("RPCL", 1, ()), []
    load = ways.load_kernels
    monkeypatch.setattr(packet_walk, "_FEW_VISITS", 10)
    monkeypatch.setattr(ways, "choose", lambda _: by_python)
    monkeypatch.setattr(ways, "load_kernels", lambda name: asked.append(name) or load(name))
    compare_parts(data)
    assert asked
