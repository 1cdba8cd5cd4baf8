# Two commands on a fresh machine with git, make and python3 >= 3.11 with pip:  make demo,  make test
# PYTHON=... picks the interpreter; PYTEST_ARGS='-k strips' picks tests.
SHELL := /bin/sh
PYTHON := $(shell sh scripts/find-python)
SECOND = $(shell PYTHON="$(PYTHON)" sh scripts/find-python --second)
OLDEST = $(shell sh scripts/find-python --oldest)
BIN := .venv/bin
PYTEST_ARGS ?=
PYTEST := -m pytest -q -n 2 --dist loadgroup
QUICK_TESTS := -m "not slow" $(wildcard tests/unit tests/formats)
export PYTHONDONTWRITEBYTECODE := 1

.NOTPARALLEL: # two targets would write into one environment
.PHONY: demo test test-quick test-clusters test-second test-training test-oldest fuzz fuzz-memory lint format types bench docs clean

# opens the bundled files through every engine and draws demo-out/quicklook.png
demo: .venv/demo.done
	@$(BIN)/python scripts/demo.py

# everything: lint, types, every test; two minutes of damaged files; then the quick tests of units and formats on a second interpreter
test: lint types
	$(BIN)/python $(PYTEST) $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=120 FUZZ_SEED=$(or $(FUZZ_SEED),1)
	@$(MAKE) --no-print-directory test-second

# what a laptop runs often
test-quick: .venv/test.done
	$(BIN)/python $(PYTEST) -x -m "not slow" $(PYTEST_ARGS)

# on a SLURM and an MPI of this machine, which the tests start and stop: as root on Debian they are installed, elsewhere the tests skip
test-clusters: .venv/test.done
	sh tests/clusters/slurm/install.sh
	$(BIN)/python -m pytest -q tests/clusters $(PYTEST_ARGS)

# another Python, with what pip finds for it: on 3.11 that is an older rasterio, GDAL and imagecodecs. Formats are read by compiled code, however
# small the files are, where `test` reads them by libraries. 5 is what pytest says where PYTEST_ARGS picks nothing.
test-second: SECOND := $(SECOND)
test-second:
	@if [ -n "$(SECOND)" ]; then set -ex; \
	    sh scripts/make-venv .venv-second "$(SECOND)" -e . --group test; \
	    .venv-second/bin/python $(PYTEST) -m "not slow" tests/unit $(PYTEST_ARGS) || [ $$? = 5 ]; \
	    SCICHUNK_KERNEL_BYTES=0 .venv-second/bin/python $(PYTEST) -m "not slow" tests/formats $(PYTEST_ARGS) || [ $$? = 5 ]; \
	fi

# batches in PyTorch, Keras on JAX, tf.data and Grain, all of which must be there. The build of PyTorch without CUDA is taken where pip is shown it:
# by PIP_FIND_LINKS, or PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu. Of PyPI, the wheel for Linux on x86 brings gigabytes of CUDA.
TORCH ?= torch==2.13.0
test-training:
	sh scripts/make-venv .venv-training "$(OLDEST)" -e . --group frameworks "$(TORCH)"
	SCICHUNK_FRAMEWORKS=1 .venv-training/bin/python $(PYTEST) tests/training $(PYTEST_ARGS)

# the lower bounds of pyproject.toml, on the oldest interpreter
test-oldest:
	"$(PYTHON)" scripts/lower_bounds.py > .venv-oldest.txt
	sh scripts/make-venv .venv-oldest "$(OLDEST)" -e . --group test -c .venv-oldest.txt
	rm .venv-oldest.txt
	.venv-oldest/bin/python $(PYTEST) $(QUICK_TESTS) $(PYTEST_ARGS)

# damaged files of all formats, and kernels: until the time is over, one pair of processes a job; finds go to fuzz-finds/
FUZZ_SECONDS ?= 600
FUZZ_SEED ?=
FUZZ_JOBS ?= 1
FUZZ_ONLY ?=
fuzz: .venv/test.done
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) \
	    $(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) $(if $(FUZZ_ONLY),--only $(FUZZ_ONLY))

# how much memory hostile files and mutants take
FUZZ_MEMORY_MUTANTS ?= 10000
fuzz-memory: .venv/test.done
	$(BIN)/python -m tests.fuzz.memory --count $(FUZZ_MEMORY_MUTANTS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))
	FUZZ_MEMORY_MUTANTS=10000 $(BIN)/python -m pytest -q tests/fuzz/test_memory.py -k "default or folder"

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/dev.done
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: .venv/bench.done
	$(BIN)/python -m benchmarks

docs: .venv/docs.done
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .azurite .venv .venv-* .numba-checked fuzz-finds demo-out docs/_build docs/generated build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment; what a target needs is added when it is first asked for, and again when pyproject.toml changes.
.venv/demo.done: groups = --group demo
.venv/test.done: groups = --group test
.venv/dev.done: groups = --group test --group lint
.venv/docs.done: groups = --group docs
.venv/bench.done: groups = --group bench

.venv/%.done: pyproject.toml scripts/make-venv
	sh scripts/make-venv .venv "$(PYTHON)" -e . $(groups)
	@touch $@
