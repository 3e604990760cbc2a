# Every target does its own set-up: a virtual environment with the pinned versions of
# constraints.txt. Nothing but Python 3.11 to 3.13 and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One thread a process: the suite and the search run several processes.
export OMP_NUM_THREADS ?= 1

SEARCH_ARGS ?=

.PHONY: help install test test-slow lint typecheck search bench schema wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)  ## set up the virtual environment

# Torch comes first and by its exact version: a loose requirement would take a CUDA build.
# Strict editable mode makes mypy, pyright and editors resolve every name of the package.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		"$$(grep '^torch==' constraints.txt)" numpy
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--config-settings editable_mode=strict --editable .
	touch $@

test: $(STAMP) link  ## run the test suite (minutes)
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal

test-slow: $(STAMP) link  ## run the long tests
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(STAMP) link  ## check types
	$(BIN)/mypy

search: $(STAMP) link  ## search attention energies on small Raven matrices (about 6 minutes)
	$(BIN)/attenergy search --preset demo $(SEARCH_ARGS)

bench: $(STAMP) link  ## measure speed against hand-written layers
	$(BIN)/python benchmarks/formula_speed.py
	$(BIN)/python benchmarks/fused_attention.py

schema: $(STAMP) link  ## write registry.schema.json anew
	$(BIN)/python -m attenergy.registry.schema > registry.schema.json

wheel: $(STAMP)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --quiet

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
