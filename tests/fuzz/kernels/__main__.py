"""``python -m tests.fuzz.kernels``: run kernels in this process; ``--only NAME --number N`` repeats one call."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

from tests.fuzz.kernels import fits, rasters, votable
from tests.fuzz.kernels.guard import Memory

_WIDTH = 80
ALL = {**fits.ALL, **votable.ALL, **rasters.ALL}


def call(name: str, seed: int, number: int) -> int:
    """One call, or a few, of a kernel: the same for equal arguments."""
    rng = random.Random(f"{name} {seed} {number}")
    return ALL[name](rng, Memory(rng))


_otherwise = Counter[str]()


def counted(kernel: Callable[..., object]) -> Callable[..., object]:
    """The kernel of numba, which counts how often it is asked."""

    def call(*arguments: object) -> object:
        _otherwise[kernel.__name__] += 1
        return kernel(*arguments)

    return call


def use_objects() -> None:
    """Put object code in the place of the functions of numba."""
    import scichunk
    from scichunk.codecs.object_code import ObjectKernel, ObjectModule
    from scichunk.codecs.signatures import FIRST, LATER

    scichunk.warmup()
    for table in (FIRST, LATER):
        for module, names in table.items():
            replaced = importlib.import_module(f"scichunk.codecs.{module}")
            compiled = SimpleNamespace(**{name: counted(getattr(replaced, name)) for name in names})  # for other types
            objects = ObjectModule(module, lambda compiled=compiled: compiled)
            for name in names:
                kernel = getattr(objects, name)
                if not isinstance(kernel, ObjectKernel):
                    raise TypeError(f"there is no object code of {module}.{name}")
                setattr(replaced, name, kernel)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kernels")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(ALL))
    parser.add_argument("--number", type=int)
    parser.add_argument(
        "--objects", action="store_true", help="call object code, as processes do that have not loaded numba"
    )
    parser.add_argument("--place", type=argparse.FileType("wb", 0), help="gets the call that is about to be made")
    given = parser.parse_args()
    checked = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    if given.objects:
        use_objects()
    if given.number is not None:
        call(given.only, given.seed, given.number)
        return 0
    place = given.place
    names = [given.only] if given.only else sorted(ALL)
    counts, finds, number = Counter[str](), Counter[str](), 0
    end = None
    while end is None or time.monotonic() < end:
        for name in names:
            for here in range(number, number + (1 if end is None else 20)):
                if place:  # a crash leaves no time for words
                    os.pwrite(place.fileno(), f"{name} --seed {given.seed} --number {here}".ljust(_WIDTH).encode(), 0)
                try:
                    counts[name] += call(name, given.seed, here)
                except Exception as error:
                    finds[name] += 1
                    if finds[name] <= 3:
                        print(
                            f"FIND kernels, {'bounds' if isinstance(error, IndexError) else 'wrong value or error'}: {name}: {error}"
                        )
                        print(f"     again: {'NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.numba-checked ' if checked else ''}"
                              f"python -m tests.fuzz.kernels {'--objects ' if given.objects else ''}--only {name} --seed {given.seed} --number {here}")  # fmt: skip
                        traceback.print_exc(limit=-3)
        number += 1 if end is None else 20
        end = end or time.monotonic() + given.seconds  # the first round compiles
    words = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    print(f"kernels{' with checks of bounds' if checked else ' as object code' if given.objects else ''}: {sum(counts.values())} calls and texts ({words}), "
          f"{sum(finds.values())} finds, seed {given.seed}", flush=True)  # fmt: skip
    if given.objects:
        print(
            "  of other types, by numba:", ", ".join(f"{n} {name}" for name, n in sorted(_otherwise.items())) or "none"
        )
    return int(bool(finds))


if __name__ == "__main__":
    sys.exit(main())
