# make train: set everything up and run the main job. make test: set everything up and run the tests, without what is
# slow and most cases of those that run over a registry; make test-all: the same with all of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
NEWEST := .venv-newest
SPHINX = $(BIN)/sphinx-build -c docs --fail-on-warning --keep-going --quiet --fresh-env --write-all
# The interpreters that `make smoke` tries; those that are not there it skips.
PYTHONS ?= python3.11 python3.12 python3.13 python3.14

.PHONY: train test test-all test-lowest test-newest smoke dist docs docs-links fuzz lint types bench pages results clean

train: $(VENV)/installed
	$(BIN)/equipoise train pcrpo SafetyHalfCheetah-v4 --total-steps 1000000

test: $(VENV)/installed-dev
	$(BIN)/pytest

test-all: $(VENV)/installed-dev
	$(BIN)/pytest --all-cases

# The lowest versions that pyproject.toml allows, in an environment of their own, which pip cannot resolve but uv can.
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest

# The newest versions there are for this Python, pre-releases left out.
test-newest: $(VENV)/pip
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/pip install --quiet --upgrade "pip>=25.1"
	$(NEWEST)/bin/pip install --quiet --upgrade --upgrade-strategy eager --editable . --group dev
	$(NEWEST)/bin/python -m pytest

# What a package index would get, checked as it would check it.
dist: $(VENV)/installed-release
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

# The wheel in empty environments outside of the repository, on every Python that there is.
smoke: dist
	$(BIN)/python tests/smoke.py dist/*.whl $(PYTHONS)

# The site, in build/site. A warning is an error, and so is a link to a page or a heading that is not there.
docs: $(VENV)/installed-docs
	$(SPHINX) -b html . build/site

# The links to elsewhere; this needs the network.
docs-links: $(VENV)/installed-docs
	$(SPHINX) -b linkcheck . build/links

fuzz: $(VENV)/installed-dev
	$(BIN)/python tests/damage.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python benchmarks/throughput.py

pages: $(VENV)/installed
	$(BIN)/python docs/generate.py

results: $(VENV)/installed
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) build dist

$(VENV)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/installed: $(VENV)/pip pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/pip install --quiet --group $*
	touch $@

$(LOWEST)/installed: $(VENV)/pip pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable . --group dev
	touch $@
