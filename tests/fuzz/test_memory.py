"""Hostile files and mutants take bounded memory. FUZZ_MEMORY_MUTANTS says how many mutants; ``make fuzz-memory`` reads 10,000."""

import os
from pathlib import Path

import pytest

from tests.fuzz.hostile import hostile
from tests.fuzz.memory import MOST_MIB, folder, kinds_of_hostile, measure, mutants
from tests.fuzz.seeds import KINDS

COUNT = int(os.environ.get("FUZZ_MEMORY_MUTANTS", "200"))
MANY = 10_000
DEFAULT_CHUNK_MIB = 2048
FILES = Path(__file__).parents[3] / "shared" / "faults" / "stress"


def test_every_format_has_hostile_files():
    kinds = [kind for kind, _, _ in hostile()]
    assert set(kinds) == set(KINDS)
    assert all(kinds.count(kind) > 20 for kind in KINDS)


def check(report, most=MOST_MIB):
    assert report.seen
    assert not report.finds
    assert report.growth_mib <= most, report.text(10)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_hostile_files_and_mutants_take_bounded_memory():
    """options.max_chunk_bytes is 64 MiB meanwhile."""

    def inputs():
        yield from kinds_of_hostile(1)
        yield from mutants(COUNT, seed=1)

    report = measure(inputs())
    assert len(report.seen) > COUNT + 500
    check(report)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_by_default_nothing_beyond_the_limit_is_allocated():
    """Of what Python and NumPy allocate, untouched memory counts too; of other libraries what is resident.

    Tables of Parquet are left out: they are read whole, and fit within the limit, copies of them do not.
    """
    if COUNT < MANY:
        pytest.skip(f"counting takes four minutes: FUZZ_MEMORY_MUTANTS={MANY}")
    inputs = (given for given in kinds_of_hostile(1) if "Parquet of" not in given[1])
    report = measure(inputs, env={"FUZZ_LIMITS": "default"})
    check(report, DEFAULT_CHUNK_MIB)
    most = 3 * DEFAULT_CHUNK_MIB  # a block as it is stored, as it is kept, and what is asked of it
    assert max(seen.traced_mib for seen in report.seen) <= most
    assert any(seen.traced_mib > 0 for seen in report.seen)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_files_of_a_folder_take_bounded_memory():
    if not FILES.is_dir():
        pytest.skip(f"there is no folder {FILES.name} of hostile files")
    check(measure(folder(FILES)))
