"""The first reads of a process: without compiled code where files are small, and with it in any state of its cache."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.codecs.compiling import sole_compiler

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "test_data"
FILES = sorted(f for f in DATA.iterdir() if f.suffix not in {".md", ".tfw", ".xml"} and f.is_file())
TABLES = [f for f in FILES if ".vot" in f.name or f.name in {"catalogue.fits", "compressed_table.fits"}]

READ = """
import sys
import scichunk
for file in sys.argv[1:]:
    if ".vot" in file or "cat" in file or "_table" in file:
        scichunk.read_table(file).compute(scheduler="sync")
    scichunk.open(file).load(scheduler="sync")
"""


def run(program, *arguments, check=True, **environment):
    """Run a program in a process of its own; what it printed, and what it said of errors."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SCICHUNK_", "NUMBA_"))} | environment
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def command(*arguments, check=True, **environment):
    return run(
        "import sys; from scichunk.adapters.cli import main; sys.exit(main(sys.argv[1:]))",
        *arguments,
        check=check,
        **environment,
    )


def contents(tree):
    """All that is in a tree, to the bit."""
    found = {}
    for group in tree.subtree:
        for name, variable in group.ds.variables.items():
            values = variable.values
            exact = repr(values.tolist()) if values.dtype.kind == "O" else values.tobytes()
            found[group.path, name] = variable.dims, values.dtype, exact, repr(variable.attrs)
        found[group.path] = repr(group.ds.attrs)
    return found


def compiled_in(folder):
    return sorted(file for kind in ("*.nb[ic]", "*.kernel") for file in Path(folder).rglob(kind))


def test_bundled_files_need_no_compiled_code():
    program = (
        READ + "assert 'numba' not in sys.modules, sorted(m for m in sys.modules if m.startswith('scichunk.codecs'))"
    )
    run(program, *FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_both_ways_give_the_same(file):
    found = []
    for kernel_bytes in (1 << 40, 0):
        scichunk.clear_caches()
        with scichunk.options.set(kernel_bytes=kernel_bytes), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tree = contents(scichunk.open(file).load(scheduler="sync"))
            frame = scichunk.read_table(file).compute(scheduler="sync").to_dict("tight") if file in TABLES else None
        found.append((tree, repr(frame), [str(w.message) for w in told]))
    assert found[0] == found[1]


BAD_CELLS = [b"<TD>1</TD><TD>x</TD></TR>", b"<TD>1</TD></TR>", b"<TD>1</TD><TD>2</TD>", b"<TD>y</TD><TD>2</TD></TR>", b"<TD>&nix;</TD><TD>2</TD></TR>", b"<TD>\x01</TD><TD>2</TD></TR>"]  # fmt: skip


@pytest.mark.parametrize("cells", BAD_CELLS)
def test_both_ways_refuse_the_same_cells(cells):
    document = (
        b'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="int"/><FIELD name="b" datatype="char" arraysize="*"/><DATA><TABLEDATA>'
        + b"<TR><TD>7</TD><TD>seven</TD></TR>\n" * 3
        + b"<TR>"
        + cells
        + b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    said = []
    for kernel_bytes in (1 << 40, 0):
        scichunk.clear_caches()
        with scichunk.options.set(kernel_bytes=kernel_bytes), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                said.append(scichunk.read_table(document).compute(scheduler="sync").to_dict())
            except scichunk.errors.ScichunkError as error:
                said.append((type(error), str(error)))
        said.append([str(w.message) for w in told])
    assert said[:2] == said[2:]


def outcomes(data, kernel_bytes):
    """What becomes of each variable: its bits, or the error. All at once, which error came first would be left to the scheduler."""
    scichunk.clear_caches()
    found = []
    with scichunk.options.set(kernel_bytes=kernel_bytes), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = scichunk.open(data)
        except scichunk.errors.ScichunkError as error:
            return type(error), str(error)
        for group in tree.subtree:
            for name in group.ds.variables:
                try:
                    values = group.ds[name].load(scheduler="sync").values
                    found.append(repr(values.tolist()) if values.dtype.kind == "O" else values.tobytes())
                except scichunk.errors.ScichunkError as error:
                    found.append((type(error), str(error)))
    return found


@pytest.mark.parametrize("name", ["catalogue.fits", "compressed_table.fits", "compressed.fits", "stars.vot"])
def test_both_ways_refuse_the_same_damage(name):
    whole = (DATA / name).read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(12):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole) // 3, len(whole), 6):
            damaged[at] = int(rng.integers(256))
        assert outcomes(bytes(damaged), 1 << 40) == outcomes(bytes(damaged), 0)


def test_compiled_code_is_kept_where_the_variable_says(tmp_path):
    run(READ, DATA / "catalogue.fits", SCICHUNK_CACHE_DIR=str(tmp_path), SCICHUNK_KERNEL_BYTES="0")
    assert compiled_in(tmp_path)


def test_a_damaged_cache_is_as_good_as_none(tmp_path):
    given = {"SCICHUNK_CACHE_DIR": str(tmp_path), "SCICHUNK_KERNEL_BYTES": "0"}
    program = READ + "print(scichunk.read_table(sys.argv[1]).compute(scheduler='sync').to_json())"
    first = run(program, DATA / "catalogue.fits", **given)
    for content in (b"nonsense", compiled_in(tmp_path)[0].read_bytes()[:70]):
        for file in compiled_in(tmp_path):
            file.write_bytes(content)
        assert run(program, DATA / "catalogue.fits", **given).stdout == first.stdout
    mended = {file.suffix for file in compiled_in(tmp_path) if len(file.read_bytes()) > 70}
    assert mended >= {".nbi", ".kernel"}


def test_one_warning_where_nothing_can_be_kept(tmp_path):
    shutil.copytree(ROOT / "src/scichunk", tmp_path / "scichunk", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "scichunk").rglob("*"):
        if folder.is_dir() and "codecs" in folder.parts:
            (folder / "__pycache__").write_text("a file where a folder is wanted")
    nowhere = str(tmp_path / "scichunk/codecs/__pycache__/x")
    (tmp_path / "mine.py").write_text(
        "import sys, warnings, scichunk\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    scichunk.read_table(sys.argv[1]).compute(scheduler='sync')  # line 4\n"
        "found = [w for w in told if w.category is scichunk.errors.PerformanceWarning]\n"
        "assert len(found) == 1, told\n"
        "assert (found[0].filename, found[0].lineno) == (__file__, 4), found[0]\n"
        "assert 'SCICHUNK_CACHE_DIR' in str(found[0].message)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env |= {
        "PYTHONPATH": str(tmp_path),
        "HOME": nowhere,
        "XDG_CACHE_HOME": nowhere,
        "SCICHUNK_CACHE_DIR": nowhere,
        "SCICHUNK_KERNEL_BYTES": "0",
    }
    subprocess.run([sys.executable, tmp_path / "mine.py", DATA / "catalogue.fits"], env=env, check=True, timeout=180)


HOLD = """
import fcntl, os, sys
for lock in sys.argv[1:]:
    fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    """A child forked while its parent compiles has a copy of the descriptor, and with it the lock."""
    with sole_compiler(tmp_path) as mine:
        assert mine
        with sole_compiler(tmp_path) as another:
            assert not another
        heard, speaks = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.write(speaks, b"!")
            signal.pause()
        os.close(speaks)
        assert os.read(heard, 1) == b"!"
        os.close(heard)
    try:
        with sole_compiler(tmp_path) as again:
            assert again
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_others_go_the_other_way_while_one_process_compiles(tmp_path):
    given = {"SCICHUNK_CACHE_DIR": str(tmp_path / "cache"), "SCICHUNK_KERNEL_BYTES": "0"}
    said = command("doctor", **given).stdout.splitlines()
    locks = [line.partition("compiling: ")[2] for line in said if line.startswith("lock while compiling: ")]
    assert locks
    for lock in locks:
        Path(lock).parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *locks], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            run(READ, DATA / "catalogue.fits", **given)
            assert not compiled_in(tmp_path)
        finally:
            holder.send_signal(signal.SIGKILL)  # a crash frees the lock
        holder.wait(60)
        run(READ, DATA / "catalogue.fits", **given)
        assert compiled_in(tmp_path)


def test_warmup_and_doctor(tmp_path):
    given = {"SCICHUNK_CACHE_DIR": str(tmp_path)}
    said = command("doctor", **given).stdout
    assert str(tmp_path) in said
    assert "(writable)" in said
    assert "tabledata: 0 of" in said
    assert "opened files" in said  # the caches of the process
    assert "float predictor" in command("warmup", "geotiff", **given).stdout
    assert compiled_in(tmp_path)
    wrong = command("warmup", "nonsense", check=False, **given)
    assert wrong.returncode == 1
    assert "there is no format 'nonsense'" in wrong.stderr


def test_warmup_in_python(tmp_path):
    program = "import scichunk; print(scichunk.warmup('geotiff'))"
    assert "float predictor" in run(program, SCICHUNK_CACHE_DIR=str(tmp_path)).stdout
    assert compiled_in(tmp_path)
    with pytest.raises(scichunk.errors.FormatError, match="nonsense"):
        scichunk.warmup("nonsense")


@pytest.mark.slow  # compiles all kernels
def test_after_warmup_nothing_is_compiled(tmp_path):
    given = {"SCICHUNK_CACHE_DIR": str(tmp_path)}
    command("warmup", **given)
    assert " 0 of" not in command("doctor", **given).stdout
    before = compiled_in(tmp_path)
    run(READ, *FILES, SCICHUNK_KERNEL_BYTES="0", **given)
    assert compiled_in(tmp_path) == before


def test_every_kernel_has_signatures_and_a_stand_in():
    """What is renamed in one of the three places is renamed in all."""
    program = """
from importlib import import_module
from scichunk.codecs import signatures, ways

for family, modules in ways.FAMILIES.items():
    for name in modules:
        if name == "float_predictor":
            continue
        module = import_module("scichunk.codecs." + name)
        ours = {n: o for n, o in vars(module).items() if getattr(getattr(o, "py_func", None), "__module__", "") == module.__name__}
        inner = {n for n, o in ours.items() if o.targetoptions.get("no_cpython_wrapper") or o.targetoptions.get("inline") == "always"}
        known = {*signatures.FIRST.get(name, {}), *signatures.LATER.get(name, {})}
        assert set(ours) - inner == known, (name, set(ours) - inner, known)
        if family not in {"scaling", "interleaved", "horizontal predictor"}:  # chosen where they are used
            stand_in = import_module("scichunk.codecs.small." + name.rpartition(".")[2])
            assert set(stand_in.__all__) == set(module.__all__) - {"encode_base64"}, name
"""
    run(program)
