"""Print pip constraints that hold every dependency at its lower bound, as pyproject.toml names it."""

import re
import sys
import tomllib
from pathlib import Path

# Not ours, but ours need them: versions of the same age, since a lower bound is only meant with those.
SAME_AGE = ["pandas==2.2.*", "distributed==2025.1.0"]


def constraints(pyproject: Path) -> list[str]:
    requirements = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    found = []
    for requirement in requirements:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9.]+)", requirement)
        if match is None:
            sys.exit(f"no plain lower bound: {requirement!r}")
        found.append(f"{match[1]}=={match[2]}")
    return found + SAME_AGE


if __name__ == "__main__":
    print(*constraints(Path(__file__).parents[1] / "pyproject.toml"), sep="\n")
