"""Regular expressions take time in proportion to the text: files and servers give texts of any length."""

import importlib
import pkgutil
import re
import time
from pathlib import Path

import pytest

import scichunk

LENGTH = 20_000
MOST_SECONDS = 1.0
"""Linear expressions take less than a thousandth of it, those of quadratic time several seconds."""


def modules():
    """Those whose text compiles expressions: the others are not imported, as numba is by some, and stays for other tests."""
    for module in pkgutil.walk_packages(scichunk.__path__, "scichunk.", onerror=lambda _: None):
        source = module.module_finder.find_spec(module.name).origin
        if "re.compile(" in Path(source).read_text("utf-8"):
            yield module.name


def texts(pattern):
    """A sign, a word or two of the expression again and again, and what does not fit at the end."""
    text = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    plain = re.sub(r"\\[a-zA-Z]|\(\?(?:P?<\w+>|<?[:=!])|[*+?]", " ", text).replace("\\", "")
    words = sorted({*re.findall(r"[A-Za-z]{2,}|[^\sA-Za-z()|*+.]{2,}", plain)}, key=len)[:12]
    for word in sorted(
        {*plain, *"1aA .-='\"<\n", *words, *(a + b for a in words for b in (*words, *(f"a{w}" for w in words)))}
    ):
        for before in ("", "1", "'"):
            made = before + word * (LENGTH // len(word)) + "\0"
            yield made.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else made


@pytest.mark.parametrize("module", list(modules()))
def test_expressions_take_linear_time(module):
    """Where they are matched from one place on; what searches has tests of its own (test_long_texts.py)."""
    found = [p for p in vars(importlib.import_module(module)).values() if isinstance(p, re.Pattern)]
    assert found or module == "scichunk.sources.output"  # which makes one for each name
    for pattern in found:
        for text in texts(pattern):
            for match in (pattern.match, pattern.fullmatch):
                start = time.process_time()
                match(text)
                assert time.process_time() - start < MOST_SECONDS, (pattern, match.__name__, text[:12])
