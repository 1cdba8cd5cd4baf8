"""Mutants guided by coverage, for the parsers in Python: ``python -m tests.fuzz.guided fits -max_total_time=300 [FOLDER]``.

It needs atheris (PyPI), which is in no group of pyproject.toml: libFuzzer watches which branches of the parsers a mutant takes, and
keeps those that take new ones. The mutators of tests/fuzz/mutate make them. What is read is headers, structure and ``info``: pixels
are decoded by code that atheris does not see. A find is an exception that ends the run; its bytes are in a file ``crash-...``.
"""

from __future__ import annotations

import importlib
import logging
import random
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

from tests.fuzz.mutate import MUTATORS, octets
from tests.fuzz.seeds import seeds

_SELDOM = 16


def look(kind: str, data: bytes) -> None:
    """Parse a file, and now and then read all that is said of it; errors of the tree are fine, mistakes of a parser and all others not."""
    import scichunk
    from scichunk.core.registry import get_format
    from scichunk.errors import ParserError, ScichunkError
    from scichunk.sources import locate

    try:
        file = get_format(kind).open_file(locate(data))
        file.groups()
        if kind in {"fits", "votable"}:
            file.table(file.find_table())
        if kind != "votable":
            file.array(file.find_array()[0])
        if zlib.crc32(data) % _SELDOM == 0:  # other libraries, whose branches are not watched, are asked as well
            str(scichunk.info(data))
    except ParserError:
        raise
    except ScichunkError:
        pass


def main() -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: python -m pip install atheris")
    kind = sys.argv.pop(1)
    source = Path(__file__).resolve().parents[2] / "src"
    for path in (source / "scichunk" / "codecs").rglob(
        "*.py"
    ):  # numba compiles no code that is watched, so kernels come first
        if "codecs._numba import" in path.read_text("utf-8"):
            importlib.import_module(".".join(path.relative_to(source).with_suffix("").parts))
    with atheris.instrument_imports(
        include=["scichunk.formats", "scichunk.codecs.jpeg2000.codestream", "scichunk.codecs.jpeg2000.packets"]
    ):
        import scichunk
        import scichunk.core.registry
        import scichunk.sources

        scichunk.core.registry.get_format(kind)
        scichunk.info(next(iter(seeds(kind).values())))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    scichunk.options.set(max_chunk_bytes=1 << 26, max_header_bytes=1 << 26, max_expanded_bytes=1 << 26)

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        mutate = octets.mutate if rng.random() < 0.2 else MUTATORS[kind]
        return mutate(data, rng)[:most]

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(kind).values()):
            Path(folder, str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, folder], lambda data: look(kind, data), custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
