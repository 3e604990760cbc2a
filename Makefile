# Every target does its own set-up: a virtual environment with the pinned versions of
# constraints.txt. Nothing but Python 3.11 to 3.13 and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
LINKED := $(VENV)/.linked
ROOMS := src registry energies attention tasks search analysis testing
FILES := $(sort $(shell find $(ROOMS) -name '*.py' -o -name '*.lark'))
# One thread a process: the suite and the search run several processes.
export OMP_NUM_THREADS ?= 1

ENERGIES ?= lse,place_rbm
RUNS ?= runs
# The recipe is fixed, at a decay that suits the baseline; what is searched are the energies, beta and steps. More
# steps of place_rbm have not helped, and cost most of the time.
RECIPE := --fix heads=8 --fix learning_rate=1e-2 --fix muon_learning_rate=0.03 --fix weight_decay=0.2 --fix warmup=50 \
	$(if $(findstring place_rbm,$(ENERGIES)),--fix place_rbm.steps=1 --fix place_rbm.hidden=64)
SEARCH ?= --task raven-small --study make-search --energies $(ENERGIES) --trials 8 --match "" --steps 300 \
	--finalists 2 --seeds 3 --final-budget 17runs --final-steps 1100 $(RECIPE) --folder $(RUNS) --workers 2 --resume

.PHONY: help install test test-long test-slow test-processors test-min test-latest lint typecheck search bench docs pages pictures site modes schema wheel clean FORCE

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(LINKED)  ## set up the virtual environment
	@echo "installed; now: source $(BIN)/activate, then attenergy --help"

# Torch comes first and by its exact version: a loose requirement would take a CUDA build.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned versions into $(VENV) (minutes, once)"
	@$(PIP) install --quiet --constraint constraints.txt --upgrade pip setuptools
	@$(PIP) install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)" numpy
	@$(PIP) install --quiet --constraint constraints.txt --group dev
	@touch $@

# Strict editable mode makes mypy, pyright and editors resolve every name; it links files one by
# one, so the link is renewed when a file comes or goes.
$(LINKED): $(INSTALLED) $(VENV)/.files
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --constraint constraints.txt --no-build-isolation \
		--config-settings editable_mode=strict --editable .
	@touch $@

$(VENV)/.files: $(INSTALLED) FORCE
	@echo "$(FILES)" | cmp --silent - $@ || echo "$(FILES)" > $@

test: $(LINKED)  ## run the test suite (5 minutes)
	$(BIN)/python -m pytest -m "not slow and not long" --numprocesses 2 --dist worksteal

test-long: $(LINKED)  ## run the tests of whole searches and of several processes (2 minutes)
	$(BIN)/python -m pytest -m "long and not slow" --numprocesses 2 --dist worksteal

test-slow: $(LINKED)  ## run those that take minutes each
	$(BIN)/python -m pytest -m slow

test-processors: $(LINKED)  ## run it as on other processors: nine runs, in random order (an hour)
	$(BIN)/python tests/processors.py

# An index that has the CPU build in one version only: make test-min TORCH=2.13.0
test-min: $(LINKED)  ## run it with the oldest packages that pyproject.toml allows
	$(BIN)/python .ci/versions.py oldest --python $(PYTHON) --torch "$(TORCH)" --record

test-latest: $(LINKED)  ## run it with the newest
	$(BIN)/python .ci/versions.py newest --python $(PYTHON) --torch "$(TORCH)" --record

lint: $(LINKED)  ## check style, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: $(LINKED)  ## check types
	$(BIN)/mypy

search: $(LINKED)  ## search attention energies on small Raven matrices (about 6 minutes)
	@$(BIN)/attenergy search $(SEARCH)

bench: $(LINKED)  ## measure speed against hand-written layers
	$(BIN)/python benchmarks/formula_speed.py
	$(BIN)/python benchmarks/fused_attention.py

pages: $(LINKED)  ## write the pages of docs/ that are made from the registry and the commands
	$(BIN)/python -m attenergy.testing.docs_pages docs
	$(BIN)/python docs_site/commands.py docs

pictures: $(LINKED)  ## draw the pictures of energies, mixers and tasks that are missing (minutes)
	$(BIN)/python -m attenergy.testing.docs_pages.pictures docs

# A warning ends the build. (The variable silences what the theme says about its successor.)
docs: pages  ## write those pages and build the site into site/, which opens without a server
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

site: $(LINKED)  ## serve the site on http://127.0.0.1:8000 and follow changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --no-strict

study: $(LINKED)  ## the next missing runs of the Raven study (studies/README.md)
	$(BIN)/python studies/raven.py run $(or $(PART),zoo) --minutes $(or $(MINUTES),10)

study-figures: $(LINKED)  ## draw the tables and pictures of the Raven study from its records
	$(BIN)/python studies/figures.py

# An interrupted run goes on with `make modes MODES=--resume`.
modes: $(LINKED)  ## write docs/modes.md, what works under which mode of PyTorch (about half an hour)
	$(BIN)/python -m attenergy.testing.compatibility docs $(MODES)

schema: $(LINKED)  ## write registry.schema.json anew
	$(BIN)/python -m attenergy.registry.schema > registry.schema.json

# It needs no more than the pip of any Python that the package runs on: that of the active
# environment, or PYTHON=... . What setuptools packed earlier would be packed again: build/lib.
wheel:  ## build the wheel into dist/ (with any Python 3.11 or later that has pip)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make wheel needs Python 3.11 or later; name one: make wheel PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m pip --version > /dev/null 2>&1 || { echo "$(PYTHON) has no pip: activate an\
 environment that has one (python3 -m venv env && source env/bin/activate), or $(PYTHON) -m ensurepip"; exit 1; }
	rm -rf build/lib dist/attenergy-*.whl
	$(PYTHON) -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
