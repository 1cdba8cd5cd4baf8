"""Every code block of README and docs runs, with stand-ins on this machine for hosts and schedulers."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.docs_runner import CODE, NO_CODE, ROOT, blocks
from tests.unit.test_docs import PAGES

RUN = [page for page in PAGES if blocks(page, *CODE)]
SKIPPED = {
    ("README.md", "sh"): 2,  # how to install, and targets of make
    ("docs/index.md", "sh"): 1,  # how to install
    ("CONTRIBUTING.md", "sh"): 1,  # targets of make
    ("docs/internals.md", "sh"): 1,  # a night of fuzz
}
"""Blocks that are not run, by page and kind."""
QUICK = {"README.md", "index.md"}


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=str(p.relative_to(ROOT)), marks=[] if p.name in QUICK else [pytest.mark.slow]) for p in RUN],
)
@pytest.mark.timeout(600)
def test_the_code_of_a_page_runs(page, tmp_path):
    for module in ("moto", "s3fs", "obstore", "distributed", "intake", "matplotlib"):
        pytest.importorskip(module)
    envi = ROOT / "tests" / "plugins" / "envi"
    paths = [str(ROOT / "src"), str(ROOT), *([str(envi)] if page.stem == "writing-a-format" else [])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs_runner", str(page), str(tmp_path / "run")],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "SLURM_CONF"} | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    ran = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert ran == [line for line, _, _ in blocks(page, *CODE)]


def test_what_is_not_run_is_counted():
    kinds = Counter((str(p.relative_to(ROOT)), kind) for p in PAGES for _, kind, _ in blocks(p))
    assert {key: n for key, n in kinds.items() if key[1] not in CODE + NO_CODE} == SKIPPED
    assert sum(n for (_, kind), n in kinds.items() if kind in CODE) > 30
