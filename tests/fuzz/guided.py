"""Mutants guided by coverage, for the parsers in Python: ``python -m tests.fuzz.guided fits -max_total_time=300 [FOLDER]``.

It needs atheris (PyPI), which is in no group of pyproject.toml: libFuzzer watches which branches of the parsers a mutant takes, and
keeps those that take new ones. The mutators of tests/fuzz/mutate make them. What is read is headers, structure and ``info``: pixels
are decoded by code that atheris does not see.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import tempfile
import warnings
from pathlib import Path

from tests.fuzz.mutate import MUTATORS, octets
from tests.fuzz.seeds import KINDS, seeds


def look(kind: str, data: bytes) -> None:
    """Read all that is said of a file; errors of the tree are fine, mistakes of a parser and all others are not."""
    import scichunk
    from scichunk.errors import ParserError, ScichunkError

    try:
        assert scichunk.info(data).format in KINDS
    except ParserError:
        raise
    except ScichunkError:
        pass
    with contextlib.suppress(ScichunkError):
        scichunk.core.registry.get(kind).open_file(scichunk.sources.locate(data)).groups()


def main() -> None:
    import atheris

    kind = sys.argv.pop(1)
    with atheris.instrument_imports(
        include=["scichunk.formats", "scichunk.codecs.codestream", "scichunk.codecs.packets"]
    ):
        import scichunk
        import scichunk.core.registry
        import scichunk.sources

        scichunk.core.registry.get(kind)
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
