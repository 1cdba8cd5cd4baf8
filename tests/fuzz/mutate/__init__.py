"""Mutants: damaged copies of sound files, made with the structure of their format in mind.

A mutator is a function of the bytes of a sound file and of a source of random numbers. What it makes depends on nothing else, so
that a seed and a number give the same mutant on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.fuzz.mutate import fits, jpeg2000, lengths, octets, tiff, votable

MUTATORS = {"fits": fits.mutate, "geotiff": tiff.mutate, "jpeg2000": jpeg2000.mutate, "votable": votable.mutate}
"""The mutator of each format; octets stands for files that are none, such as compressed ones."""

_OCTETS = 0.15
"""Share of the mutants that the mutator without a structure makes."""
_LONG = 0.02
"""Share of the mutants in which something is far longer than it ever is."""


def mutant(kind: str, seeds: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Make a mutant of one of the seeds.

    Returns
    -------
    name : str
        Of the sound file.
    data : bytes
    """
    rng = random.Random(f"{kind} {seed} {number}")  # a text is hashed by SHA-512: the same everywhere
    name = rng.choice(sorted(seeds))
    data = seeds[name]
    if rng.random() < _LONG:
        return name, lengths.mutate(kind, data, rng)
    times = rng.choice((1, 1, 1, 1, 2, 4))
    for _ in range(times):
        change = octets.mutate if rng.random() < _OCTETS else MUTATORS[kind]
        data = change(data, rng)
    return name, data
