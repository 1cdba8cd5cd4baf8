# Two commands on a fresh machine with git, make and python3 >= 3.11:  make demo,  make test
SHELL := /bin/sh
PYTHON ?= $(shell sh scripts/find-python)
SECOND ?= $(shell sh scripts/find-python --second)
PIP := -m pip --disable-pip-version-check --retries 10 --timeout 120
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: demo test test-quick lint types second oldest bench docs clean

.venv/done: pyproject.toml
	"$(PYTHON)" -m venv --clear .venv
	$(BIN)/python $(PIP) install -q --upgrade "pip>=25.1"
	$(BIN)/python $(PIP) install -q -e . --group test --group lint
	touch $@

.venv-second/done: pyproject.toml
	"$(SECOND)" -m venv --clear .venv-second
	.venv-second/bin/python $(PIP) install -q --upgrade "pip>=25.1"
	.venv-second/bin/python $(PIP) install -q -e . --group test
	touch $@

.venv-docs/done: pyproject.toml
	"$(PYTHON)" -m venv --clear .venv-docs
	.venv-docs/bin/python $(PIP) install -q --upgrade "pip>=25.1"
	.venv-docs/bin/python $(PIP) install -q -e . --group docs
	touch $@

.venv-bench/done: pyproject.toml
	"$(PYTHON)" -m venv --clear .venv-bench
	.venv-bench/bin/python $(PIP) install -q --upgrade "pip>=25.1"
	.venv-bench/bin/python $(PIP) install -q -e . --group bench
	touch $@

# opens the bundled files through every engine and draws demo-out/quicklook.png
demo: .venv/done
	$(BIN)/python scripts/demo.py

lint: .venv/done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/done
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

# what a laptop runs often
test-quick: .venv/done
	$(BIN)/pytest -x -q -n 2 -m "not slow"

# everything: lint, types, every test, and the quick tests once more on a second interpreter
test: lint types second
	$(BIN)/pytest -q -n 2 --dist loadgroup

second: .venv/done
	@if [ -n "$(SECOND)" ]; then $(MAKE) .venv-second/done && .venv-second/bin/pytest -q -n 2 -m "not slow"; \
	else echo "no second interpreter: its tests are left out"; fi

# the lower bounds of pyproject.toml, on the oldest interpreter
oldest:
	"$(or $(SECOND),$(PYTHON))" -m venv --clear .venv-oldest
	.venv-oldest/bin/python $(PIP) install -q --upgrade "pip>=25.1"
	.venv-oldest/bin/python scripts/lower_bounds.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python $(PIP) install -q -e . --group test -c .venv-oldest/constraints.txt
	.venv-oldest/bin/pytest -q -n 2 -m "not slow"

bench: .venv-bench/done
	.venv-bench/bin/python -m benchmarks

docs: .venv-docs/done
	.venv-docs/bin/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv .venv-* demo-out docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
