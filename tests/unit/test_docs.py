"""What README and docs say exists: code, keywords, options, selectors, and the list of what plug-ins may import."""

import ast
import configparser
import dataclasses
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import scichunk
from tests.docs_runner import blocks

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "tests" / "plugins" / "envi"
GUIDE = ROOT / "docs" / "guides" / "writing-a-format.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if not {"_build", "generated"} & set(p.parts)),
]


EXAMPLES = [
    pytest.param(page, line, code, id=f"{page.relative_to(ROOT)}:{line}")
    for page in PAGES
    for line, _, code in blocks(page, "python", "code-cell")
]


def dotted(node):
    """The name ``a.b.c`` of an expression; empty if it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def find(name):
    """What a dotted name of scichunk stands for; raises AttributeError or ImportError."""
    value = scichunk
    for part in name.split(".")[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            if not inspect.ismodule(value):
                raise
            value = importlib.import_module(f"{value.__name__}.{part}")
    return value


def keywords_of(function):
    """Keywords that a public function takes, those that it hands on to the format included."""
    parameters = inspect.signature(function).parameters.values()
    known = {p.name for p in parameters}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        known |= {s.name for spec in scichunk.list_formats().values() for s in spec.selectors}
        known |= {"mask_and_scale", "coords", "raster_index"}
        known |= (
            {f.name for f in dataclasses.fields(scichunk.options.Options)}
            if function is scichunk.options.set
            else set()
        )
    return known


@pytest.mark.parametrize(("page", "line", "code"), EXAMPLES)
def test_examples_name_what_exists(page, line, code):
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := dotted(node)).startswith("scichunk."):
            assert find(name) is not None
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scichunk"):
            if node.module == "scichunk.adapters.intake":
                pytest.importorskip("intake")
            for alias in node.names:
                assert find(f"{node.module}.{alias.name}") is not None
        if isinstance(node, ast.Call) and (name := dotted(node.func)).startswith("scichunk."):
            given = {k.arg for k in node.keywords if k.arg}
            assert not given - keywords_of(find(name)), name


def test_the_examples_are_found():
    assert len(EXAMPLES) > 25


def test_options_and_errors_that_pages_name_exist():
    options = {f.name for f in dataclasses.fields(scichunk.options.Options)} | set(scichunk.options.__all__)
    for page in PAGES:
        text = page.read_text("utf-8")
        named = re.findall(r"\boptions\.(?!py\b)([a-z_]+)", text) + [
            v.lower() for v in re.findall(r"\bSCICHUNK_([A-Z_]+)\b", text)
        ]
        assert set(named) <= options | {"corpus", "test_data", "cache_dir"}, page
        assert set(re.findall(r"\berrors\.(?!py\b)([A-Za-z]+)", text)) <= set(scichunk.errors.__all__), page


def test_every_word_of_a_format_is_on_its_pages():
    pages = {"geotiff": "geotiff.md", "jpeg2000": "jpeg2000.md", "fits": "fits.md", "votable": "votable.md"}
    for name, page in pages.items():
        text = (ROOT / "docs" / "formats" / page).read_text("utf-8")
        for selector in scichunk.list_formats()[name].selectors:
            assert re.search(rf"\b{selector.name}\b", text), f"{page} does not say what {selector.name} is"


def test_every_public_function_is_in_the_guides():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = [
        n for n in scichunk.__all__ if not n.startswith("_") and n != "formats" and not re.search(rf"\b{n}\b", text)
    ]
    assert not missing
    assert "scichunk.formats()" in (ROOT / "docs" / "reference.md").read_text("utf-8")


# ---------------------------------------------------------------- writing a format


def allowed():
    """The table of the guide: names by module."""
    text = GUIDE.read_text("utf-8").partition("## What a plug-in may import")[2]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", text, re.MULTILINE)
    return {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}


def test_what_plugins_may_import_exists():
    assert len(allowed()) > 10
    for module, names in allowed().items():
        there = importlib.import_module(module)
        assert names <= set(there.__all__), f"{module} does not offer {names - set(there.__all__)}"


def test_the_plugin_imports_nothing_else():
    imported = set()
    for path in PLUGIN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {(alias.name, "") for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {(node.module, alias.name) for alias in node.names}
    ours = {(module, name) for module, name in imported if module.split(".")[0] == "scichunk"}
    assert len(ours) > 10
    assert not ours - {(module, name) for module, names in allowed().items() for name in names}
    assert {module for module, _ in imported - ours} <= {"re", "numpy"}


def test_the_guide_counts_the_lines_of_the_plugin():
    said = re.search(r"(\d+) lines of\s+code for the format and (\d+) for its engine", GUIDE.read_text("utf-8"))
    texts = [(PLUGIN / name).read_text("utf-8") for name in ("envi_scichunk.py", "envi_scichunk_engine.py")]
    counts = [sum(1 for line in text.splitlines() if line.strip()) for text in texts]
    assert [int(n) for n in said.groups()] == counts
    assert counts[0] <= 100


def test_the_guide_shows_the_entry_points_of_the_plugin():
    (_, _, code), *_ = blocks(GUIDE, "toml")
    shown = tomllib.loads(code)["project"]["entry-points"]
    installed = configparser.ConfigParser()
    installed.read(next(PLUGIN.glob("*.dist-info")) / "entry_points.txt")
    assert shown == {section: dict(installed[section]) for section in installed.sections()}
