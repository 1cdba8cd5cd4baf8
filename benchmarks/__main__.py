"""``python -m benchmarks [SECTION ...]``: each format beside its peers, interleaved, medians; rewrites its section of docs/benchmarks.md."""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report

SECTIONS = {
    "first_use": "First use",
    "graphs": "Many chunks and files",
    "geotiff": "GeoTIFF",
    "masks": "Masks of GeoTIFF",
    "windows": "Random windows",
    "jpeg2000": "JPEG 2000",
    "fits": "FITS images",
    "tables": "FITS tables",
    "votable": "VOTable",
    "training": "Training",
}

SIDES = {"geotiff": 6144, "masks": 6144}  # pixels along each side where they are not 4096


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--side", type=int, default=0, help="pixels along each side; by default what the section says")
    parser.add_argument("--rows", type=int, default=0, help="of tables; by default what the section says")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--readers", nargs="*", default=[], help="only these readers")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "scichunk-benchmarks")
    parser.add_argument("--print", action="store_true", help="do not write docs/benchmarks.md")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}")
    given.data.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", "import scichunk; scichunk.warmup()"], check=True
    )  # only where a page says so is nothing compiled
    for name in given.sections or SECTIONS:
        module = importlib.import_module(f"benchmarks.{name}")
        own = argparse.Namespace(**{**vars(given), "side": given.side or SIDES.get(name, 4096)})
        lines = module.section(own)
        print(f"## {SECTIONS[name]}", *lines, sep="\n", flush=True)
        if not given.print:
            report.write(SECTIONS, name, lines)


if __name__ == "__main__":
    main()
