"""Kernels as object code: called without numba, and only where the code is whole, of these sources and for these arguments."""

import ast
import dataclasses
import hashlib
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import scichunk
from scichunk.codecs import object_code, object_files
from scichunk.codecs._linking import link
from scichunk.codecs.object_code import ObjectKernel, ObjectModule, objects_of
from scichunk.codecs.object_files import list_objects, object_folders, read_object, stamp_sources, write_object
from scichunk.codecs.signatures import FIRST, LATER

ROOT = Path(__file__).resolve().parents[2]
CODECS = ROOT / "src/scichunk/codecs"
MODULES = tuple(dict.fromkeys((*FIRST, *LATER)))
WORDS = "h1r f f h L f1"


pytestmark = pytest.mark.skipif(not object_files.HAS_OBJECTS, reason="there is no object code on this system")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    scichunk.warmup()


def fresh(module, otherwise=None):
    """The kernels of a module as a process gets them that has none yet."""
    return ObjectModule(module, otherwise or (lambda: pytest.fail("it is called otherwise")))


def kernel_modules():
    """Modules with functions that numba compiles, by their names within codecs, with the names of those functions."""
    for path in sorted(CODECS.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            and any(isinstance(d, ast.Name) and d.id == "kernel" for d in node.decorator_list)
        }
        if names:
            yield ".".join(path.relative_to(CODECS).with_suffix("").parts), names, tree


def test_every_kernel_has_object_code():
    for module in MODULES:
        assert {reason for _, reason in list_objects(module)} == {""}, dict(list_objects(module))


def test_every_kernel_is_listed_with_its_types_of_arguments():
    found = {module: names for module, names, _ in kernel_modules()}
    assert found.keys() == set(MODULES)
    for module, names in found.items():
        assert names == {*FIRST.get(module, {}), *LATER.get(module, {})}, module


def test_the_stamp_is_of_all_modules_that_kernels_are_made_from():
    stamped = {*MODULES, *object_files._HELPERS}
    for module, _, tree in kernel_modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("scichunk.codecs."):
                assert node.module.removeprefix("scichunk.codecs.") in stamped, (module, node.module)


def test_files_are_read_without_numba_once_kernels_are_compiled():
    program = """
import sys, warnings
from pathlib import Path
import scichunk
warnings.simplefilter("ignore")
for file in sys.argv[1:]:
    for content in (file, Path(file).read_bytes()):  # in memory that can be written, and that cannot
        scichunk.open(content).load(scheduler="sync")
        if ".vot" in file or "catalogue" in file or "_table" in file:
            scichunk.read_table(content).compute(scheduler="sync")
from scichunk.codecs.object_code import _modules
assert {"rice", "hcompress", "text.cells", "text.votable_rows", "bands", "float_predictor"} <= _modules.keys(), _modules
assert "numba" not in sys.modules
"""
    files = [
        f for f in sorted((ROOT / "test_data").iterdir()) if f.is_file() and f.suffix not in {".md", ".tfw", ".xml"}
    ]
    env = os.environ | {"SCICHUNK_KERNEL_BYTES": "0"}
    subprocess.run([sys.executable, "-c", program, *map(str, files)], env=env, check=True, timeout=120)


def test_the_process_that_compiles_goes_on_with_object_code(tmp_path):
    program = """
import numpy as np
from scichunk.codecs import object_code, ways
import scichunk
scichunk.options.set(kernel_bytes=0).__enter__()
ways.announce("fits image", 1)
assert ways.find_kernels("plio").decode_plio.__class__ is object_code.ObjectKernel
from scichunk.codecs import plio
assert len(plio.decode_plio.overloads) == 1
data, zero, status = np.frombuffer(bytes(9), np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)
for content in (data, data.copy()):
    ways.find_kernels("plio").decode_plio(content, zero, zero + 9, zero, zero + 4, np.zeros(4, np.int32), status)
    assert status[0] == 1
assert len(plio.decode_plio.overloads) == 1  # nothing was compiled for memory of the other kind
"""
    env = os.environ | {"SCICHUNK_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True, timeout=120)


def test_numbers_truth_values_and_tuples_come_back_as_numba_gives_them():
    base64, rows = fresh("text.base64"), fresh("text.votable_rows")
    numba = importlib.import_module("scichunk.codecs.text.base64")
    letters = np.frombuffer(b"QUJD\nREVG\n", np.uint8)
    for name, arguments in (("count_letters", ()), ("find_irregular", (4, 1)), ("skip_letters", (6,))):
        got, want = getattr(base64, name)(letters, *arguments), getattr(numba, name)(letters, *arguments)
        assert got == want
        assert repr(got) == repr(want)
    out = np.zeros(6, np.uint8)
    data, starts, sizes = np.arange(9, dtype=np.uint8), np.array([1, 5]), np.array([2, 4])
    assert rows.gather_ranges(data, starts, sizes, out) is True
    assert out.tolist() == [1, 2, 5, 6, 7, 8]
    assert rows.gather_ranges(data, starts, sizes + 3, out) is False


def test_scaling_is_exact():
    stored, out = np.array([1, 2, 7], ">i2"), np.zeros(3, np.float32)
    blank = np.array([7], ">i2").view("=i2")[0]
    done = fresh("integer_scaling").scale_integers(stored.view("=i2"), np.float32(0.5), 3.0, blank, np.True_, out)
    assert done is None
    np.testing.assert_array_equal(out, np.float32([3.5, 4, np.nan]))


STORED = np.arange(6, dtype=np.int16)
READ_ONLY = np.zeros(6, np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    "change",
    [
        {0: STORED.astype(np.int64)},
        {0: STORED.reshape(2, 3)},
        {0: np.arange(12, dtype=np.int16)[::2]},
        {0: STORED.astype(">i2")},
        {0: STORED.tolist()},
        {0: np.zeros(13, np.uint8)[1:].view(np.int16)},
        {3: 1 << 15},
        {3: -(1 << 63) - 1},
        {5: READ_ONLY},
        {5: np.zeros(6, np.float64)},
    ],
    ids=["type", "dimensions", "apart", "order", "list", "unaligned", "large", "small", "read-only", "result"],
)
def test_other_arguments_are_for_another_function(change):
    """Numba compiles for them; object code would read and write what is not theirs."""
    called = []
    other = SimpleNamespace(scale_integers=lambda *arguments: called.append(arguments))
    kernel = fresh("integer_scaling", lambda: other).scale_integers
    assert isinstance(kernel, ObjectKernel)
    arguments = [STORED, 0.5, 3.0, 0, False, np.zeros(6, np.float32)]
    kernel(*arguments)
    assert not called
    for place, value in change.items():
        arguments[place] = value
    kernel(*arguments)
    assert len(called) == 1


def test_a_wrong_number_of_arguments_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        fresh("integer_scaling").scale_integers(STORED)


def test_what_is_no_kernel_comes_from_the_other_module():
    found = fresh("text.numbers", lambda: SimpleNamespace(VALUE=17))
    assert found.VALUE == 17
    with pytest.raises(AttributeError):
        found.__path__


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder with the object code of one kernel, which is the only one that is looked at."""
    head, code = read_object("integer_scaling", "scale_integers", WORDS)
    monkeypatch.setenv("SCICHUNK_CACHE_DIR", str(tmp_path / "cache"))
    assert write_object("integer_scaling", "scale_integers", head, code)
    assert read_object("integer_scaling", "scale_integers", WORDS) == (head, code)
    yield tmp_path / "cache"


def signed(first, line, code):
    """A file whose digest is right, whatever is in it."""
    rest = line + b"\n" + code
    return b"\n".join((first, hashlib.sha256(rest).hexdigest().encode(), rest))


def damages(content):
    first, _, line, code = content.split(b"\n", 3)
    head = json.loads(line)
    yield b""
    yield b"nonsense"
    yield content[:-1]
    yield content[: len(first) + 20]
    for at in (len(first) + 5, content.index(b'"start": ') + 9, content.index(b'"returns": "') + 12, len(content) - 9):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    for changed in (
        {"stamp": "0" * 32},
        {"arguments": "i"},
        {"machine": "0"},
        {"linked": not head["linked"]},
        {"more": 1},
    ):
        yield signed(first, json.dumps(head | changed).encode(), code)
    yield signed(b"scichunk object code 0", line, code)
    yield signed(first, b"[]", code)


def test_damaged_object_code_is_none(own_folder):
    (file,) = own_folder.iterdir()
    content = file.read_bytes()
    assert signed(*content.split(b"\n", 3)[::2], content.split(b"\n", 3)[3]) == content
    for changed in damages(content):
        file.write_bytes(changed)
        assert read_object("integer_scaling", "scale_integers", WORDS) is None, changed[:200]
    file.write_bytes(content)
    assert read_object("integer_scaling", "scale_integers", WORDS) is not None


@pytest.mark.skipif(not object_files.IS_LINKED, reason="code is linked on Linux with x86-64 alone")
@pytest.mark.parametrize("start", [-1, 1 << 40])
def test_code_that_begins_outside_of_itself_is_none(own_folder, monkeypatch, start):
    head, code = read_object("integer_scaling", "scale_integers", WORDS)
    assert write_object("integer_scaling", "scale_integers", dataclasses.replace(head, start=start), code)
    assert fresh("integer_scaling", lambda: SimpleNamespace(scale_integers="another")).scale_integers == "another"


def test_others_can_read_what_one_user_has_compiled(own_folder):
    (file,) = own_folder.iterdir()
    plain = own_folder / "plain"
    plain.write_text("")
    assert file.stat().st_mode == plain.stat().st_mode


def test_what_finds_no_place_is_kept_in_the_process(tmp_path, monkeypatch):
    head, code = read_object("integer_scaling", "scale_integers", WORDS)
    monkeypatch.setattr(object_files, "object_folders", lambda: iter([Path("/dev/null/folder")]))
    monkeypatch.setattr(object_files, "_unkept", {})
    assert read_object("integer_scaling", "scale_integers", WORDS) is None
    assert not write_object("integer_scaling", "scale_integers", head, code)
    assert read_object("integer_scaling", "scale_integers", WORDS) == (head, code)


COMPETE = """
import sys, time
import numpy as np
import scichunk
from scichunk.codecs import _numba, ways
scichunk.options.set(kernel_bytes=1 << 16).__enter__()
ways.announce("fits image", 8)
assert ways.find_kernels("plio") is None  # nothing is compiled yet
prepared = []
prepare = _numba.prepare
_numba.prepare = lambda *arguments: prepared.append(1) or prepare(*arguments)
print("ready", flush=True)
sys.stdin.readline()
ways.announce("fits image", 1 << 17)
end = time.monotonic() + 100
while ways.find_kernels("plio") is None and time.monotonic() < end:
    time.sleep(0.02)
print(len(prepared), ways.find_kernels("plio").__class__.__name__)
"""


@pytest.mark.skipif(not object_files.HAS_OBJECTS, reason="there is no object code on this system")
def test_of_several_processes_one_compiles(tmp_path):
    env = os.environ | {"SCICHUNK_CACHE_DIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    processes = [subprocess.Popen([sys.executable, "-c", COMPETE], **pipes) for _ in range(3)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        found = sorted(process.communicate(timeout=120)[0] for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert found == ["0 ObjectModule\n", "0 ObjectModule\n", "1 ObjectModule\n"]


def test_what_there_is_no_object_code_of_does_not_load_numba_early():
    program = """
import sys
import numpy as np
from scichunk.codecs.object_files import read_object
from scichunk.codecs import object_code, object_files, ways
from scichunk.codecs.interleaved import place_bands
from scichunk.codecs.predictors import undo_float, undo_horizontal
from scichunk.codecs.scaling import choose_scaling
kept = object_files.read_object
def read(module, kernel, letters):  # one list of types of each kernel
    return kept(module, kernel, letters) if letters == object_files.signatures_of(module, kernel)[-1] else None
object_files.read_object = object_code.read_object = read
for family in ("scaling", "interleaved", "horizontal predictor", "float predictor"):
    ways.announce(family, 1 << 24)
for bitpix, kind in ((8, "u1"), (16, ">i2"), (32, ">i4"), (64, ">i8")):
    for scale, zero in ((0.5, 3), (1, {8: -128}.get(bitpix, 2.0 ** (bitpix - 1)))):
        scaling = choose_scaling(bitpix, scale, zero, None)
        stored = np.arange(100).astype(kind)
        out = np.zeros(100, scaling.dtype)
        scaling.apply(stored, out)
        assert (out == stored.astype(float) * scale + zero).all(), (bitpix, scale)
for kind in ("u1", "u2", "u4"):
    values = np.arange(60).astype(kind).reshape(2, 30, 1)
    out = np.zeros_like(values)
    undo_horizontal(values, out)
    assert (out == values.cumsum(1, dtype=kind)).all()
for kind in ("u1", "u2"):
    pixels = np.arange(60).astype(kind).reshape(4, 5, 3)
    out = np.zeros((3, 4, 5), kind)
    place_bands(pixels, out)
    assert (out == pixels.transpose(2, 0, 1)).all()
pixels = np.zeros(121, "u1")[1:].view("u2").reshape(4, 5, 3)  # not aligned
place_bands(pixels, np.zeros((3, 4, 5), "u2"))
for kind in ("f4", "f8"):
    undo_float(np.zeros((3, 8 * int(kind[1])), "u1"), np.zeros((3, 8, 1), kind))
assert "numba" not in sys.modules
assert object_code._modules["integer_scaling"] and object_code._modules["bands"]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_many_threads_look_again_and_find():
    """Compiling makes the process look again while others ask."""
    wrong, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                if objects_of("plio", lambda: None) is None:
                    wrong.append("nothing")
                objects_of("plio", lambda: None).decode_plio
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        object_code.look_again("plio")
        object_code._modules.pop("plio", None)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_object_code_of_another_processor_is_none(own_folder, monkeypatch):
    found = dict(list_objects("integer_scaling"))
    assert found[f"integer_scaling.scale_integers ({WORDS})"] == ""
    monkeypatch.setattr(object_files, "machine_key", lambda: "0" * 64)
    assert set(dict(list_objects("integer_scaling")).values()) == {None}


def test_code_for_any_processor_is_of_all_of_them(monkeypatch):
    """``NUMBA_CPU_NAME=generic`` is for caches that nodes of several kinds share."""
    for given, shared in (({}, False), ({"NUMBA_CPU_NAME": "generic"}, True), ({"NUMBA_CPU_NAME": "haswell"}, False),
                          ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2"}, True)):  # fmt: skip
        for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        found = set()
        for processor in ("one", "another"):
            monkeypatch.setattr(object_files, "_linux_processor", lambda processor=processor: [processor])
            monkeypatch.setattr(object_files, "_any_processor", lambda processor=processor: [processor])
            found.add(object_files.machine_key.__wrapped__())
        assert (len(found) == 1) == shared, given


def test_settings_of_numba_that_change_code_are_told_apart(monkeypatch):
    found = set()
    for name, value in (("NUMBA_OPT", "3"), ("NUMBA_OPT", "1"), ("NUMBA_BOUNDSCHECK", "1")):
        monkeypatch.setenv(name, value)
        found.add(object_files.machine_key.__wrapped__())
    assert len(found) == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    assert object_files.machine_key.__wrapped__() in found


def test_a_change_of_sources_changes_the_stamp(tmp_path, monkeypatch):
    before = stamp_sources()
    for module in (*MODULES, *object_files._HELPERS):
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    monkeypatch.setattr(object_files, "_HERE", tmp_path)
    stamp_sources.cache_clear()
    try:
        one = stamp_sources()
        (tmp_path / "instructions.py").write_text("x = 12\n")
        stamp_sources.cache_clear()
        assert len({before, one, stamp_sources()}) == 3
    finally:
        monkeypatch.undo()
        stamp_sources.cache_clear()
    assert stamp_sources() == before


def test_where_sources_are_no_files_there_is_no_object_code(tmp_path, monkeypatch):
    """In an archive, say: nothing would tell that they have changed."""
    monkeypatch.setattr(object_files, "_HERE", tmp_path)
    assert stamp_sources.__wrapped__() == ""
    monkeypatch.setattr(object_files, "stamp_sources", lambda: "")
    assert set(dict(list_objects("rice")).values()) == {None}


def test_a_folder_that_cannot_be_made_is_not_the_only_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCICHUNK_CACHE_DIR", str(tmp_path / "file/cache"))
    assert len(list(object_folders())) > 1
    monkeypatch.setenv("SCICHUNK_CACHE_DIR", str(tmp_path / "cache"))
    assert list(object_folders()) == [tmp_path / "cache"]


def test_without_object_code_there_is_no_module_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SCICHUNK_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(object_code, "_modules", {})
    assert objects_of("rice", lambda: None) is None


def test_many_threads_load_and_call_at_once():
    module = fresh("bands")
    pixels = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    want = pixels.transpose(2, 0, 1)
    barrier, wrong, done = threading.Barrier(12), [], []

    def work():
        barrier.wait()
        for _ in range(200):
            out = np.zeros(want.shape, np.uint8)
            module.split_bands(pixels, out)
            if not np.array_equal(out, want):
                wrong.append(out)
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(done) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_calls_what_its_parent_has_loaded_and_loads_more():
    program = """
import os, sys
import numpy as np
from scichunk.codecs.ways import load_kernels
data, starts, sizes, out = np.arange(9, dtype=np.uint8), np.array([1]), np.array([2]), np.zeros(2, np.uint8)
rows = load_kernels("text.votable_rows")
assert rows.gather_ranges(data, starts, sizes, out)
child = os.fork()
out[:] = 0
assert rows.gather_ranges(data, starts, sizes, out) and out.tolist() == [1, 2]
assert load_kernels("text.base64").count_letters(np.frombuffer(b"QUJD", np.uint8))[0] == 4
assert "numba" not in sys.modules
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("both")
os._exit(0) if not child else None
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "both\n", done.stderr


def test_a_kernel_that_calls_what_there_is_not_has_a_reason():
    """One that allocates calls numba's allocator, which is not there without numba."""
    import numba

    from scichunk.codecs import _emitting

    @numba.njit
    def allocate(n):
        return np.zeros(n, np.int64).sum()

    allocate(3)
    ((_, compiled),) = allocate.overloads.items()
    returns, types = _emitting._check_convention(compiled, "i")
    assert (returns, types[2:]) == ("i", ["i64"])
    with pytest.raises(NotImplementedError, match="it calls NRT_"):
        _emitting._emit(compiled, _emitting._entry("mine", compiled.fndesc.llvm_func_name, types), "mine")
    with pytest.raises(NotImplementedError, match="numba calls it as"):
        _emitting._check_convention(compiled, "i i")


LLVM_ALONE = """
import sys
import numpy as np
from scichunk.codecs import object_files
object_files.IS_LINKED = False  # as on other systems and processors
from scichunk.codecs import ways
from scichunk.codecs.compiling import prepare_module
if sys.argv[1] == "compile":
    assert prepare_module("plio") and prepare_module("text.votable_rows")
assert set(dict(object_files.list_objects("plio")).values()) == {""}
assert not object_files.read_object("plio", *sys.argv[2:])[0].linked
data, starts, sizes, out = np.arange(9, dtype=np.uint8), np.array([1]), np.array([2]), np.zeros(2, np.uint8)
assert ways.load_kernels("text.votable_rows").gather_ranges(data, starts, sizes, out) is True and out.tolist() == [1, 2]
zero, status = np.zeros(1, np.int64), np.zeros(1, np.int64)
ways.load_kernels("plio").decode_plio(data, zero, zero + 9, zero, zero + 4, np.zeros(4, np.int32), status)
assert status[0] == 1
assert ("numba" in sys.modules) == (sys.argv[1] == "compile") and "llvmlite" in sys.modules
"""


def test_where_code_is_not_linked_llvm_does_it(tmp_path):
    env = os.environ | {"SCICHUNK_CACHE_DIR": str(tmp_path)}
    for step in ("compile", "load"):
        arguments = [step, "decode_plio", FIRST["plio"]["decode_plio"][0]]
        subprocess.run([sys.executable, "-c", LLVM_ALONE, *arguments], env=env, check=True, timeout=120)


@pytest.mark.skipif(not object_files.IS_LINKED, reason="code is linked on Linux with x86-64 alone")
def test_memory_that_may_not_be_called_is_as_no_code(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(13, "no memory may be called")

    monkeypatch.setattr(object_code, "_copy_image", refuse)
    assert fresh("rice", lambda: SimpleNamespace(decode_rice="another")).decode_rice == "another"


@pytest.mark.skipif(not object_files.IS_LINKED, reason="code is linked on Linux with x86-64 alone")
def test_code_cannot_be_written():
    """Memory is either written or called."""
    fresh("rice").decode_rice
    assert object_code._images
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = {int(line[0].split("-")[0], 16): line[1] for line in maps}
    for image in object_code._images:
        address = object_code._address_of(object_code._first_byte(image))
        assert spans[max(start for start in spans if start <= address)] == "r-xp"


class TestLinking:
    """Only what this project's own compiler writes is linked; all else is refused."""

    @staticmethod
    def compile(text):
        import llvmlite.binding as llvm

        module = llvm.parse_assembly(text)
        target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
        return target.create_target_machine(opt=3, reloc="pic", codemodel="small").emit_object(module)

    def test_sections_are_laid_out_one_behind_the_other(self):
        text = """
        @table = internal constant [4 x i64] [i64 5, i64 7, i64 11, i64 13]
        define i64 @"my.function"(i64 %i) {
          %at = getelementptr [4 x i64], [4 x i64]* @table, i64 0, i64 %i
          %v = load i64, i64* %at
          ret i64 %v
        }"""
        image, start = link(self.compile(text), "my.function")
        assert image.count(np.array([5, 7, 11, 13], np.int64).tobytes()) == 1
        assert 0 <= start < len(image)
        with pytest.raises(NotImplementedError, match="there is no b'other'"):
            link(self.compile(text), "other")

    def test_functions_from_elsewhere_are_refused(self):
        text = """
        declare i64 @puts(i64)
        define i64 @"my.function"(i64 %i) {
          %v = call i64 @puts(i64 %i)
          %w = add i64 %v, 1
          ret i64 %w
        }"""
        with pytest.raises(NotImplementedError, match="relocation"):
            link(self.compile(text), "my.function")

    def test_memory_to_write_to_and_addresses_are_refused(self):
        text = """
        @value = internal global i64 3
        @place = internal global i64* @value
        define i64* @"my.function"(i64 %i) {
          %at = load volatile i64*, i64** @place
          ret i64* %at
        }"""
        with pytest.raises(NotImplementedError, match="with the flags 3"):
            link(self.compile(text), "my.function")

    @pytest.mark.parametrize(
        "data", [b"MZ".ljust(64, b"\0"), b"\x7fELF\x02\x01".ljust(64, b"\0"), b"\x7fELF\x01\x01".ljust(64, b"\0")]
    )
    def test_other_files_are_refused(self, data):
        with pytest.raises(NotImplementedError, match="an object file that begins with"):
            link(data, "my.function")
