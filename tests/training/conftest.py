"""Frameworks are tested where they are installed; ``make test-training`` says that all must be."""

import importlib.util
import os

import pytest

FRAMEWORKS = ("torch", "keras", "jax", "tensorflow", "grain")


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("framework")
        missing = [n for n in mark.args if importlib.util.find_spec(n) is None] if mark else []
        if missing and not os.environ.get("SCICHUNK_FRAMEWORKS"):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}: make test-training"))
