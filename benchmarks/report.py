"""docs/benchmarks.md: one section a format, rewritten when it is measured again."""

import datetime as dt
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`: all readers of a table in one run, in turn, each in a fresh process, medians. The machine is shared and noisy:
compare ratios, not numbers.
"""
PACKAGES = {
    "first_use": ["rasterio", "pyarrow", "imagecodecs"],
    "graphs": ["distributed", "pyarrow"],
    "geotiff": ["rasterio", "rioxarray", "imagecodecs", "async-geotiff", "tifffile", "xarray-spatial", "virtual-tiff"],
    "masks": ["rasterio", "rioxarray"],
    "windows": ["rasterio"],
    "jpeg2000": ["rasterio", "rioxarray", "glymur", "imagecodecs"],
    "fits": ["astropy", "fitsio", "rustfits"],
    "tables": ["astropy", "fitsio", "pyarrow"],
    "training": ["rasterio", "astropy", "fitsio", "glymur", "xbatcher", "torch"],
    "votable": ["astropy", "votable-cli", "pyarrow"],
}  # fmt: skip


def versions(names):
    """Installed versions, as a text."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def write(titles, name, lines):
    """Replace one section and keep the others, in the order of ``titles``."""
    text = PAGE.read_text() if PAGE.exists() else ""
    pattern = r"<!-- begin (\w+) -->\n(.*?)<!-- end \1 -->\n"
    sections = dict(re.findall(pattern, text, flags=re.DOTALL))
    where = f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    used = versions(["scichunk", *PACKAGES.get(name, []), "dask", "xarray", "numba"])
    sections[name] = (
        "\n".join(
            [f"## {titles[name]}", "", f"{where}; {used}. Load of the machine at the end: {load}.", "", *lines]
        ).rstrip()
        + "\n"
    )
    parts = [f"<!-- begin {n} -->\n{sections[n]}<!-- end {n} -->\n" for n in titles if n in sections]
    PAGE.write_text("\n".join([HEAD, *parts]))
