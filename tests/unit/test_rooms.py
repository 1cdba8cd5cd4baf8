"""The house is as CONTRIBUTING.md says: names lead to something, imports point one way, nothing grows beyond its size."""

import ast
import graphlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "scichunk"

FLOORS = (
    ("errors",),
    ("options",),
    ("counters", "lru", "quiet", "warned"),
    ("buffers",),
    ("sources",),
    ("core",),
    ("codecs", "raster", "sky", "tables"),
    ("formats",),
    ("adapters", "cluster"),
    ("training",),
    ("__main__", "grain", "keras", "tensorflow", "torch"),
    ("testing",),
)
"""Rooms from the ground up. A room imports itself and what lies below, and nothing of the rooms beside it."""

MOVED = {
    "scichunk": "chunks collecting handles metadata model reading registry scratch",
    "scichunk.adapters": "arrays datasets frames sky stack stack_dataset tree xarray_engine",
    "scichunk.codecs": "codestream columns decompress jit kernels_base64 kernels_bits kernels_cells kernels_fields kernels_float "
    "kernels_hcompress kernels_numbers kernels_packets kernels_place kernels_plio kernels_rice kernels_rows kernels_scale "
    "kernels_text openjpeg openjph packets tiles tilestream",
    "scichunk.formats": "rasters",
    "scichunk.formats.fits": "index nodes open reference table_columns table_fields table_rows table_sinks table_structure "
    "table_text table_tiles table_writer",
    "scichunk.formats.geotiff": "index open",
    "scichunk.formats.jpeg2000": "collector index open tile_packets tiles",
    "scichunk.formats.votable": "binary cells columns delegated elements findings header held href index markup metadata open "
    "out_fields parquet status strict strings stream structure tabledata writer",
    "scichunk.sources": "cache expanded headers",
    "scichunk.tables": "model",
}
FOLDERS = ("src", "tests", "docs", "benchmarks", "scripts", "test_data/make")
"""Where files speak of each other."""
OLD = [f"{room}.{name}" for room, names in MOVED.items() for name in names.split()]
"""Modules that were moved; see ``git log`` for where."""


def test_the_source_distribution_has_all_that_files_speak_of():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    taken = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {f"/{folder.partition('/')[0]}" for folder in FOLDERS} <= {*taken}


def source_modules():
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = source_modules()


@cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def texts():
    """Everything in the repository that speaks of the code, but for the history in CHANGELOG.md and this file."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml", "Makefile"))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            built = {"_build", "generated", "__pycache__"} & set(path.parts)
            if path.suffix in {".py", ".md", ".toml", ".txt", ".rst"} and path != Path(__file__) and not built:
                yield path


def imported(tree):
    """Yield the full name of everything of scichunk that a module imports, and the statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node) for name in names if name.split(".")[0] == "scichunk")


def module_of(name):
    """The longest beginning of a dotted name that is a module."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


# ---------------------------------------------------------------- names lead to something

NEEDS = {
    "scichunk.adapters.history.cluster": "distributed",
    "scichunk.adapters.intake": "intake",
    **{f"scichunk.{name}": name for name in ("grain", "keras", "tensorflow", "torch")},
}
"""Modules that stand for an optional package."""

ELSEWHERE = {
    "scichunk.LazyArray": "how a reader shows itself",
    "scichunk.nonsense": "a test asks for a name that is not there",
}
"""Dotted names that lead nowhere on purpose."""


def leads_somewhere(name):
    parts = module_of(name).split(".")
    rest = name.split(".")[len(parts) :]
    needs = NEEDS.get(".".join(parts))
    if not rest or (needs and not importlib.util.find_spec(needs)):
        return True
    value = importlib.import_module(".".join(parts))
    for part in rest:
        try:
            value = getattr(value, part)
        except AttributeError:
            # fields of dataclasses with slots have no value on the class
            return part in getattr(value, "__annotations__", {})
    return True


def test_every_dotted_name_leads_somewhere():
    # names of plug-ins, of logs and threads are written otherwise; files and hosts called scichunk have other endings
    pattern = re.compile(r"(?<![\w./:@-])scichunk(?:\.[A-Za-z_]\w*)+(?![\w/-])")
    lost = []
    for path in texts():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            names = set(pattern.findall(line)) - set(ELSEWHERE)
            lost += [f"{path.relative_to(ROOT)}:{number} {name}" for name in names if not leads_somewhere(name)]
    assert not lost, "\n".join(lost)


def test_every_import_of_scichunk_leads_somewhere():
    """Also those inside functions that no test runs, of benchmarks and scripts too."""
    lost = []
    for path in (p for p in texts() if p.suffix == ".py"):
        for name, node in imported(tree_of(path)):
            if not name.endswith(".*") and not leads_somewhere(name):
                lost.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not lost, "\n".join(lost)


def test_every_path_of_a_module_leads_somewhere():
    """``formats/fits/file.py`` in prose: a file below the root, the package, or the tests."""
    pattern = re.compile(r"(?<![\w./<>*-])(?:\w+/)+\w+\.py\b")
    places = (ROOT, SRC, SRC.parent, ROOT / "tests")
    lost = []
    for path in (p for p in texts() if p.suffix in {".md", ".toml"}):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            found = pattern.findall(line)
            lost += [
                f"{path.relative_to(ROOT)}:{number} {m}" for m in found if not any((p / m).exists() for p in places)
            ]
    assert not lost, "\n".join(lost)


def test_no_old_name_is_left():
    """Also in the forms ``from scichunk.sources import cache`` and ``sources/cache.py``."""
    left = []
    for path in texts():
        text = path.read_text("utf-8")
        for old in OLD:
            room, _, name = old.rpartition(".")
            inside = old.removeprefix("scichunk.").replace(".", "/")
            forms = (
                rf"\b{re.escape(old)}\b",
                rf"from {re.escape(room)} import (?:\w+, )*{name}\b",
                rf"scichunk/{inside}\b",
            )
            left += [f"{path.relative_to(ROOT)}: {old}" for form in forms if re.search(form, text)]
    assert not left, "\n".join(left)
    assert not set(OLD) & set(MODULES)


# ---------------------------------------------------------------- imports point one way


def floor_of(module):
    """Room and floor; the functions and the engine of a format stand with the adapters."""
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else ""
    if room == "formats" and parts[-1] in {"api", "engine"}:
        room = "adapters"
    return room, next((i for i, rooms in enumerate(FLOORS) if room in rooms), len(FLOORS))


def arrows():
    """All imports between modules of the package, those for type checkers and within functions included."""
    for module, path in MODULES.items():
        for name, _ in imported(tree_of(path)):
            yield module, module_of(name)


def test_every_room_has_a_floor():
    rooms = {m.split(".")[1] for m in MODULES if m.count(".")}
    assert rooms == {room for floor in FLOORS for room in floor}


def test_imports_point_down():
    up = []
    for module, target in set(arrows()):
        (room, floor), (other, below) = floor_of(module), floor_of(target)
        if module == "scichunk" or target == "scichunk":  # the names of all rooms; its version
            continue
        if below > floor or (below == floor and room != other):
            up.append(f"{module} -> {target}")
    assert not up, "\n".join(sorted(up))


def test_imports_go_in_no_circle():
    """Not even within functions or for type checkers: what two modules need of each other is in the wrong one of them."""
    needs = {module: set() for module in MODULES}
    for module, target in arrows():
        if target not in {module, "scichunk"}:
            needs[module].add(target)
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_format_knows_no_other_format_nor_who_uses_it():
    wrong = []
    for module, target in set(arrows()):
        if not target.startswith("scichunk.formats."):
            continue
        name, where = target.split(".")[2], module.split(".")
        if where[:3] != ["scichunk", "formats", name] and module != "scichunk":
            wrong.append(f"{module} -> {target}")
        if target.split(".")[-1] in {"api", "engine"} and module != "scichunk":
            wrong.append(f"{module} -> {target}")
    assert not wrong, "\n".join(sorted(wrong))


NAMED = {
    ("__init__.py", "*"): "the public functions of the formats",
    ("core/registry.py", "*"): "one line a format",
    ("adapters/xarray/sky.py", "fits_header"): "the attribute that holds the header is public, and of the sky",
    ("adapters/xarray/stacks.py", "fits_header"): "the same attribute",
    ("sky/wcs_objects.py", "fits"): "the module of astropy",
}
"""Where a format is named outside of its folder, with the reason. Codecs are named after algorithms."""


def words_of(path):
    """Names and texts of a module, its documentation left out."""
    tree = tree_of(path)
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, kinds)]
    prose = {id(s.value) for body in bodies for s in body if isinstance(s, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias | ast.FunctionDef | ast.ClassDef):
            yield node.name


def test_a_format_is_named_in_its_folder_only():
    pattern = re.compile(r"(?i)\w*(?:geotiff|jpeg2000|votable)\w*|\bfits(?:_\w+)?\b|\w+_fits\w*|\bFITS\w+")
    found = set()
    for path in MODULES.values():
        where = path.relative_to(SRC).as_posix()
        if where.startswith(("formats/", "codecs/")):
            continue
        for word in words_of(path):
            for hit in pattern.findall(word):
                found.add((where, "*" if (where, "*") in NAMED else hit))
    prose = {(w, h) for w, h in found if h == "FITS"}  # in a message, for people
    assert found - prose == set(NAMED)


def test_core_imports_numpy_only():
    for path in (SRC / "core").glob("*.py"):
        for node in tree_of(path).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                assert top in {"numpy", "scichunk"} or top in sys.stdlib_module_names, f"{path.name} imports {name}"


# ---------------------------------------------------------------- sizes


def definitions(node, path=(), public=True):
    """Yield every function and class of a module with its dotted name, and whether it is public."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            seen = public and not child.name.startswith("_")
            yield ".".join((*path, child.name)), child, seen
            yield from definitions(child, (*path, child.name), seen and isinstance(child, ast.ClassDef))
        elif not isinstance(child, ast.expr):
            yield from definitions(child, path, public)


def code_lines(function):
    """Lines of a function without its docstring: the rule is about what one must read as code; numpydoc is as long as the interface."""
    first = function.body[0]
    described = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if described else 0)


def functions():
    """Every function of the package, with a name for messages."""
    for path in MODULES.values():
        where = path.relative_to(SRC).as_posix()
        for name, node, _ in definitions(tree_of(path)):
            if not isinstance(node, ast.ClassDef):
                yield f"{where}: {name}", node


def test_modules_have_at_most_400_lines():
    lines = {path.relative_to(SRC).as_posix(): len(path.read_text("utf-8").splitlines()) for path in MODULES.values()}
    assert {where: n for where, n in lines.items() if n > 400} == {}


def test_functions_have_at_most_60_lines():
    assert {name: n for name, node in functions() if (n := code_lines(node)) > 60} == {}


@cache
def is_of_kernels(where):
    return "codecs/small/" in str(where) or "from scichunk.codecs._numba import" in (SRC / where).read_text("utf-8")


def test_functions_have_at_most_five_positional_parameters():
    """Kernels aside, which know no keywords."""
    wide = []
    for name, node in functions():
        given = [a for a in node.args.posonlyargs + node.args.args if a.arg not in {"self", "cls"}]
        if len(given) > 5 and not is_of_kernels(name.partition(": ")[0]):
            wide.append(name)
    assert wide == []


def test_public_definitions_have_docstrings():
    bare = []
    for path in MODULES.values():
        if not ast.get_docstring(tree_of(path)):
            bare.append(path.relative_to(SRC).as_posix())
        for name, node, public in definitions(tree_of(path)):
            if public and not ast.get_docstring(node):
                bare.append(f"{path.relative_to(SRC).as_posix()}: {name}")
    assert not bare, "\n".join(bare)


# ---------------------------------------------------------------- the public names


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True, timeout=120
    )


def test_public_names_survive_the_import_of_every_module():
    """A submodule becomes an attribute of its package, and must take no public function's place."""
    names = [m for m in MODULES if m not in NEEDS or importlib.util.find_spec(NEEDS[m])]
    code = f"""
import importlib, types, warnings
import scichunk
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other packages, as they are imported
    for name in {names!r}:
        importlib.import_module(name)
modules = [n for n in scichunk.__all__ if isinstance(getattr(scichunk, n), types.ModuleType)]
print(sorted(modules), [n for n in scichunk.__all__ if n not in modules and n != "__version__" and not callable(getattr(scichunk, n))])
"""
    done = run(code)
    assert done.stdout == "['cluster', 'errors', 'formats', 'history', 'options'] []\n", done.stderr


@pytest.mark.parametrize("before", ["pass", "import scichunk.formats", "import scichunk.formats.fits.file"])
def test_the_old_name_of_list_formats_works_and_says_so(before):
    code = f"""
import warnings, scichunk
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = scichunk.formats()
print(found == scichunk.list_formats(), [(w.category.__name__, "list_formats" in str(w.message)) for w in caught])
"""
    done = run(code)
    assert done.stdout == "True [('DeprecationWarning', True)]\n", done.stderr
