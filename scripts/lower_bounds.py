"""Print the lower bounds of pyproject.toml as exact pins."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for line in project["dependencies"]:
    name, bound = re.match(r"([A-Za-z0-9_-]+)(?:\[[^\]]*\])?>=([0-9.]+)", line).groups()
    print(f"{name}=={bound}" + (".*" if bound.count(".") < 2 else ""))
