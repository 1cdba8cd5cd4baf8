"""Sphinx: `make docs`."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path

import scichunk

project = "scichunk"
author = "scichunk developers"
copyright = "2026, scichunk developers"
version = release = scichunk.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]  # links of included files (README, CHANGELOG) that only GitHub resolves

html_theme = "pydata_sphinx_theme"
html_title = "scichunk"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

autodoc_typehints = "none"  # the docstrings say it better
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

GROUPS = [
    ("Arrays", lambda name: name.startswith("from_")),
    ("Tables", lambda name: name.startswith("read_")),
    ("Anything else", lambda _: True),
]
MODULES = {"errors": "scichunk.errors", "history": "scichunk.adapters.history", "options": "scichunk.options"}


def _importable(name: str) -> bool:
    try:
        return callable(getattr(scichunk, name))
    except (AttributeError, ImportError):
        return False


def _entries(module: str, names: list[str]) -> list[str]:
    text = []
    for name in names:
        value = getattr(importlib.import_module(module), name)
        if not inspect.isclass(value) and not inspect.isroutine(value):
            continue  # names of types for annotations
        kind = "function" if not inspect.isclass(value) else "exception" if issubclass(value, Exception) else "class"
        text += [f".. auto{kind}:: {module}.{name}"]
        text += ["   :members:", ""] if kind == "class" else [""]
    return text


def _public() -> str:
    """List what scichunk offers in this build; a format that is added appears by itself."""
    names = [n for n in scichunk.__all__ if not n.startswith("_") and n not in MODULES and _importable(n)]
    text = ["Python", "======", ""]
    for title, belongs in GROUPS:
        members = [n for n in names if belongs(n)]
        names = [n for n in names if n not in members]
        if members:
            text += [title, "-" * len(title), "", *_entries("scichunk", members)]
    for name, module in MODULES.items():
        title = f"scichunk.{name}"
        text += [title, "-" * len(title), "", f".. automodule:: {module}", "   :no-members:", ""]
        text += _entries(module, importlib.import_module(module).__all__)
    return "\n".join(text)


_generated = Path(__file__).parent / "generated"
_generated.mkdir(exist_ok=True)
(_generated / "public.rst").write_text(_public())
