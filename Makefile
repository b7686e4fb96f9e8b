# make train: set everything up and run the main job. make test: set everything up and run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest

.PHONY: train test test-lowest fuzz lint types bench pages results clean

train: $(VENV)/installed
	$(BIN)/equipoise train pcrpo SafetyHalfCheetah-v4 --total-steps 1000000

test: $(VENV)/installed-dev
	$(BIN)/pytest

# The lowest versions that pyproject.toml allows, in an environment of their own, which pip cannot resolve but uv can.
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest

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
	rm -rf $(VENV) $(LOWEST) build dist

$(VENV)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/installed: $(VENV)/pip pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --group dev
	touch $@

$(LOWEST)/installed: $(VENV)/pip pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable . --group dev
	touch $@
