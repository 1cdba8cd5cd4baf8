"""The fuzzer itself: it makes the same mutants everywhere, finds nothing in sound files, and finds what is planted."""

import hashlib
import struct
from collections import Counter
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from scichunk.codecs.jpeg2000.packets import decode_lengths
from tests.formats.test_hostile_geotiff import BASE, tiff
from tests.fuzz import differences, ordered, packed, plants, references
from tests.fuzz.finds import Find, Finds, minimised
from tests.fuzz.kernels import run_kernels
from tests.fuzz.mutate import MUTATORS, mutant
from tests.fuzz.processes import Worker
from tests.fuzz.run import Pair, Round, run
from tests.fuzz.seeds import KINDS, seeds
from tests.jpeg2000_files import encode, jp2, texture

QUICK = 150

SAME = {
    "fits": "01054bb3e3a97cec",
    "geotiff": "a2911d2d8c6dbaf3",
    "jpeg2000": "297df11896539e88",
    "votable": "b039cfd242211c4e",
}
"""Digests of the first mutants of seed 0."""


def test_every_format_has_a_mutator_and_sound_files():
    assert set(MUTATORS) == set(KINDS)
    assert all(len(seeds(kind)) > 30 for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_the_same_everywhere(kind):
    made = [mutant(kind, seeds(kind), 0, number) for number in range(300)]
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in made)).hexdigest()
    assert digest[:16] == SAME[kind]
    assert mutant(kind, seeds(kind), 1, 0) != made[0]


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_damaged_and_not_only_noise(kind):
    """Most differ from their sound file, and most differ in little."""
    pairs = [(seeds(kind)[name], data) for name, data in (mutant(kind, seeds(kind), 2, n) for n in range(300))]
    assert sum(sound != data for sound, data in pairs) > 270
    assert sum(abs(len(sound) - len(data)) < 100 for sound, data in pairs) > 150


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read(kind):
    """Else a run would find nothing because nothing is read."""
    way = "rows" if kind == "votable" else "pixels"
    read = 0
    with Worker("ours") as worker:
        for number, (name, data) in enumerate(sorted(seeds(kind).items())):
            found = worker.read(kind, data, number)
            assert not found["find"], f"{name}: {found['find']}"
            read += bool({way, "rows"} & found["values"].keys())
    assert read > 0.9 * len(seeds(kind))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_quick_round(kind, tmp_path):
    finds = Finds(tmp_path)
    counts = run(Round(kind, seed=1, count=QUICK), finds)
    assert not finds.counts, [p.read_text() for p in tmp_path.glob("*.json")]
    assert counts["mutants"] == QUICK
    assert counts["reads"] > QUICK // 4
    assert counts["compared"] > QUICK // 20


PLANTED = tiff(BASE, bytes([plants.TRIGGER, *range(63)]))
KIND_OF = {
    "crash": "crash",
    "hang": "time-out",
    "memory": "memory",
    **({"overflow": "crash"} if find_library("c_malloc_debug") else {}),
    "parser_error": "parser error",
    "refused_memory": "memory",
    "untyped_error": "untyped error",
    "wrong_value": "difference",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", sorted(KIND_OF))
def test_what_is_planted_is_found(plant, tmp_path, capsys):
    count, cpu = (4, 4) if plant == "hang" else (40, 60) if plant == "wrong_value" else (4, 60)
    given = Round("geotiff", seed=3, count=count, sound={"planted.tif": PLANTED}, cpu=cpu, env={"FUZZ_PLANT": plant})
    pair = Pair(given)
    try:
        assert pair.look(tiff(BASE), 0, Counter()) is None
        assert pair.look(PLANTED, 0, Counter())[0] == KIND_OF[plant]
    finally:
        pair.close()
    finds = Finds(tmp_path)
    assert run(given, finds)["finds"]
    assert finds.counts[f"geotiff: {KIND_OF[plant]}"]
    saved = [p for p in tmp_path.iterdir() if not p.suffix]
    assert all(p.with_suffix(".json").exists() for p in saved)
    assert f"--repeat {saved[0]}" in capsys.readouterr().out


def test_finds_of_one_cause_are_saved_once(tmp_path):
    finds = Finds(tmp_path)
    one = Find("fits", "untyped error", "rows: KeyError in a.py:b: 17", "x.fits", 0, 1)
    assert finds.is_new(one)
    assert not finds.is_new(Find("fits", "untyped error", "rows: KeyError in a.py:b: 18", "y.fits", 0, 2))
    assert finds.is_new(Find("fits", "untyped error", "rows: KeyError in a.py:c: 17", "x.fits", 0, 3))
    assert finds.counts == {"fits: untyped error": 3}


def test_what_is_not_needed_is_undone():
    sound = bytes(100)
    mutant = bytearray(sound)
    mutant[10:12], mutant[50], mutant[70:74] = b"ab", 7, b"wxyz"
    assert minimised(bytes(mutant), sound, lambda data: data[50:51] == b"\7") == bytes(50) + b"\7" + bytes(15)


def test_reasons_for_differences_are_written_down():
    text = Path(differences.__file__).read_text()
    assert all(text.count(f'found = "{name}"') == 1 or name == "undecided" for name in differences.NO_FINDS)


def test_kernels(capfd):
    assert not run_kernels(5, seed=1)
    assert "0 finds" in capfd.readouterr().out


STEPS = """
import numpy as np, random, sys
from tests.fuzz.kernels.guard import Guarded

class End(random.Random):
    def random(self):
        return float(sys.argv[2])

room = Guarded(800)
buffer = room.take(800, End()).view("i8")
buffer[:] = range(100)
from scichunk.codecs._numba import kernel

@kernel
def step(data, at):
    return data[at]

print(step(buffer, 99), flush=True)
print(step(buffer, int(sys.argv[1])))
"""


@pytest.mark.parametrize(("place", "end"), [(100, 0), (-101, 1), (600, 0)])
def test_a_step_outside_of_a_guarded_buffer_is_a_crash(place, end, tmp_path):
    import subprocess
    import sys

    program = tmp_path / "steps.py"
    program.write_text(STEPS)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, program, str(place), str(end)],
        capture_output=True,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root}/src"},
        check=False,
    )
    assert done.stdout == b"99\n", done.stderr
    assert done.returncode < 0


def test_differences_are_excused_only_where_the_file_is_as_the_reason_says():
    """The sound files of each format are no excuse for anything that is told from bytes alone."""
    one = np.zeros((1, 4, 4), "u1")
    for kind, theirs in (("jpeg2000", {}), ("votable", {}), ("geotiff", {}), ("fits", {})):
        given = ({-1: np.zeros(2)}, {-1: np.ones(2)}) if kind == "votable" else (one, one + 1)
        excused = {name: differences.excuse(kind, data, theirs, *given) for name, data in seeds(kind).items()}
        allowed = {"votable": {"bits"}}.get(kind, set())
        assert {reason for reason in excused.values() if reason} <= allowed, excused


def test_every_kernel_is_among_those_that_are_tried():
    """A kernel is a function of codecs that numba compiles with a way in from Python."""
    import ast

    source = Path(__file__).parents[2] / "src"
    kernels = set()
    for path in (source / "scichunk" / "codecs").rglob("*.py"):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            names = {d.id for d in getattr(node, "decorator_list", ()) if isinstance(d, ast.Name)}
            if "kernel" in names:
                kernels.add((module, node.name.removeprefix("_")))
    assert len(kernels) > 30
    tried = set()
    for path in Path(__file__).with_name("kernels").glob("*.py"):
        tree = ast.parse(path.read_text())
        for function in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
            modules = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("scichunk.codecs"):
                    modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                ):
                    tried.add((modules.get(node.func.value.id, ""), node.func.attr))
    assert not kernels - tried


def test_packed_headers_that_are_moved_to_their_tile_parts_say_the_same():
    import scichunk

    data = seeds("jpeg2000")["ppm.j2k"]
    moved = packed.unpacked(data)
    assert packed.is_packed(data)
    assert not packed.is_packed(moved)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(moved).compute(), scichunk.from_jpeg2000(data).compute())
    at = data.index(b"\xff\x60")
    assert packed.unpacked(data[: at + 5] + b"\xff" + data[at + 6 :]) is None


def test_packed_headers_that_run_on_into_the_next_tile():
    data = seeds("jpeg2000")["ppm.j2k"]
    array = np.zeros((1, 40, 40), "u1")
    behind, within = array.copy(), array.copy()
    behind[0, 0, 36] = within[0, 0, 31] = 1  # tiles of 32 x 32
    assert differences.excuse("jpeg2000", data, {}, array, behind) == "packed"
    assert differences.excuse("jpeg2000", data, {}, array, within) is None
    assert differences.excuse("jpeg2000", packed.unpacked(data), {}, array, behind) is None
    halved = data[:43] + b"\2" + data[44:]  # one column for two of the image: the first tile has 16
    assert differences.excuse("jpeg2000", halved, {}, array[..., 20:], behind[..., 20:]) == "packed"
    assert differences.excuse("jpeg2000", halved, {}, array[..., 21:], behind[..., 21:]) is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_headers_that_are_put_in_order_say_the_same(wrapped):
    """QCC before QCD, and a segment that nobody knows, in which OpenJPEG finds another QCD."""
    import scichunk

    def whole(code):
        return jp2(code, size=(40, 40)) if wrapped else code

    sound = encode([texture((40, 40))], levels=2)
    assert ordered.ordered(whole(sound)) == whole(sound)
    at = sound.index(b"\xff\x5c")
    stop = at + 2 + int.from_bytes(sound[at + 2 : at + 4], "big")
    right, wrong = sound[at + 4 : stop], sound[at : at + 5] + bytes(b ^ 8 for b in sound[at + 5 : stop])
    special = struct.pack(">HHB", 0xFF5D, len(right) + 3, 0) + right
    unknown = struct.pack(">HH", 0xFF6F, 2 + len(wrong)) + wrong
    data = whole(sound[:at] + special + wrong + unknown + sound[stop:])
    moved = ordered.ordered(data)
    assert len(moved) == len(data)
    assert ordered.ordered(moved) == moved
    want = scichunk.from_jpeg2000(sound).compute()
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data).compute(), want)
    np.testing.assert_array_equal(references.read("jpeg2000", data)["pixels"], want)


def test_lengths_of_tile_parts_that_contradict_each_other():
    data = seeds("jpeg2000")["markers.j2k"]
    array = np.zeros((1, 4, 4), "u1")
    assert b"\xff\x55" in data
    assert differences.excuse("jpeg2000", data, {}, array, array + 1) is None
    at = data.index(b"\xff\x90")
    shorter = data[: at + 9] + bytes([data[at + 9] - 1]) + data[at + 10 :]
    assert differences.excuse("jpeg2000", shorter, {}, array, array + 1) == "lengths"


def test_packets_behind_a_damaged_header_that_plt_leads_to():
    """The corner does not need the damaged packet: it is right, while OpenJPEG reads all of the image out of step."""
    import scichunk

    data = encode([texture((300, 280), 12)], bits=12, precincts=((64, 64),), plt=True)
    sound, found = scichunk.from_jpeg2000(data)[:, :70, :70].compute(), 0
    at = data.index(b"\xff\x58") + 5
    starts = data.index(b"\xff\x93") + 2 + np.cumsum(decode_lengths([data[at : data.index(b"\xff\x93", at)]]))
    for place in starts[:12].tolist():
        damaged = data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]
        theirs = references.read("jpeg2000", damaged)["pixels"]
        ours = scichunk.from_jpeg2000(damaged)[:, :70, :70].compute()
        if np.array_equal(ours, sound) and not np.array_equal(ours, theirs):
            found += 1
            assert differences.excuse("jpeg2000", damaged, {}, ours, theirs) == "followed"
            assert differences.excuse("jpeg2000", damaged, {}, ours, theirs + 1) is None
            assert differences.excuse("jpeg2000", data, {}, ours, theirs) is None
    assert found


def test_a_tile_that_inflates_to_more_than_it_has():
    """Its descriptor takes in the next one's bytes: astropy shuffles those of both."""
    import scichunk

    data = seeds("fits")["tiles_GZIP_2_u2.fits"]
    longer = data[:5763] + bytes([2 * data[5763]]) + data[5764:]
    ours, theirs = scichunk.from_fits(longer).compute(), references.read("fits", longer)["pixels"]
    np.testing.assert_array_equal(ours, scichunk.from_fits(data).compute())
    assert (ours != theirs).any()
    assert differences.excuse("fits", longer, {}, ours, theirs) == "longer"
    assert differences.excuse("fits", data, {}, ours, theirs) is None


def test_damaged_blocks_of_which_two_libraries_make_other_values():
    import scichunk

    data = seeds("jpeg2000")["high_throughput.jph"]
    damaged = data[:5757] + b"\x30" + data[5758:]
    ours, theirs = (
        scichunk.from_jpeg2000(damaged)[:, :70, :70].compute(),
        references.read("jpeg2000", damaged)["pixels"],
    )
    assert (ours != theirs).any()
    assert differences.excuse("jpeg2000", damaged, {}, ours, theirs) == "blocks"
    assert differences.excuse("jpeg2000", damaged, {}, ours ^ 1, theirs) is None
