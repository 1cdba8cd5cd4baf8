"""Print the lower bounds of pyproject.toml as exact pins."""

import re
import sys
import tomllib
from pathlib import Path

# Not ours, but what ours need, in versions of the same age: a lower bound means nothing beside a newer pandas.
SAME_AGE = ("pandas==2.2.*", "distributed==2025.5.0")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for line in project["dependencies"]:
    match = re.fullmatch(r"([A-Za-z0-9_-]+)(?:\[[^\]]*\])?>=([0-9.]+)", line)
    if match is None:
        sys.exit(f"no plain lower bound: {line!r}")
    print(f"{match[1]}=={match[2]}")
print(*SAME_AGE, sep="\n")
