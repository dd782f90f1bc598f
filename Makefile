# Everything here sets itself up: Python 3.10+ and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROWS ?= 200000
JOBS ?= 3

# The tests start the command hundreds of times: without bytecode each start would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format chaos fuzz bench bench-far bench-sync docs clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(VENV)/.ready: pyproject.toml setup.py $(wildcard src/mssql_pg_migrate/_kernel/*.c src/mssql_pg_migrate/_kernel/*.h)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(VENV)/.ready ## Make the environment .venv

demo: $(VENV)/.ready ## Migrate a generated ten-table database between embedded servers (ROWS=200000)
	$(BIN)/mssql-pg-migrate demo --rows $(ROWS)

test: $(VENV)/.ready ## All tests, the quick chaos tests included (JOBS=3 at a time)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.ready ## Linter, format check and type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: $(VENV)/.ready ## The long failure tests: kills, restarts, cut connections
	CHAOS_LONG=1 $(BIN)/python -m pytest tests/chaos

fuzz: $(VENV)/.ready ## Fuzz the compiled transcoder under AddressSanitizer, bounded
	$(MAKE) -C fuzz PYTHON=$(abspath $(BIN)/python)

bench: $(VENV)/.ready ## Measure the way from source to target on this machine
	$(BIN)/python -m benchmarks

bench-far: $(VENV)/.ready ## Measure what distance to either server costs
	$(BIN)/python -m benchmarks.far

bench-sync: $(VENV)/.ready ## Measure what following a changing source costs
	$(BIN)/python -m benchmarks.sync

docs: $(VENV)/.ready ## Regenerate the generated pages of docs/
	$(BIN)/python -m tools.docsgen

clean: ## Remove the environment and build products
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find src -name '*.so' -delete
