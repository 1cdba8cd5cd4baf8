"""``python -m tests.fuzz``: see ``make fuzz``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.finds import Finds
from tests.fuzz.run import Pair, Round, run
from tests.fuzz.seeds import KINDS

FOLDER = Path("fuzz-finds")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Read damaged files until the time is over."
    )
    parser.add_argument("--seconds", type=float, default=600, help="of all formats and kernels together (600)")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the mutants; default: the day, so that each is another"
    )
    parser.add_argument("--jobs", type=int, default=1, help="pairs of processes at once (1)")
    parser.add_argument("--only", choices=(*KINDS, "kernels"), help="one format, or the kernels")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for what is found ({FOLDER})")
    parser.add_argument("--repeat", type=Path, help="read a find again, and say what happens")
    return parser.parse_args()


def repeat(path: Path) -> int:
    """Read a find again; 1 if it is still one."""
    given = json.loads(path.with_suffix(".json").read_text())
    pair = Pair(Round(given["format"]))
    try:
        seen = pair.look(path.read_bytes(), given["number"], Counter())
    finally:
        pair.close()
    print(
        "\n".join(seen)
        if seen
        else "no find: it ends in an error of the tree, or in the values of the reference library"
    )
    return int(seen is not None)


def main() -> int:
    given = arguments()
    if given.repeat:
        return repeat(given.repeat)
    seed = int(time.strftime("%Y%m%d")) if given.seed is None else given.seed
    kinds = [given.only] if given.only else [*KINDS, "kernels"]
    finds, failed = Finds(given.folder), False
    for kind in kinds:
        start, share = time.monotonic(), given.seconds / len(kinds)
        if kind == "kernels":
            from tests.fuzz.kernels import run_kernels

            failed |= run_kernels(share, seed)
            continue
        counts = run(Round(kind, seed, share, jobs=given.jobs), finds)
        words = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
        print(f"{kind}: {words}; {time.monotonic() - start:.0f} s, seed {seed}", flush=True)
    for name, number in sorted(finds.counts.items()):
        print(f"found {number} times: {name}")
    return int(failed or bool(finds.counts))


if __name__ == "__main__":
    sys.exit(main())
