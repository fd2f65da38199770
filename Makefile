PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: train test test-slow check weights bench docs install

train: install
	$(BIN)/shoepair train

test: install check
	$(BIN)/pytest --ignore tests/test_architecture.py

test-slow: install
	$(BIN)/pytest -m slow

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py

# Done once, and again when what is to be installed has changed.
install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The pages that are written from the code.
docs: install
	$(BIN)/python docs/write_configuration.py

# What travels with the package, learned anew from drawn shoes.
weights: install
	$(BIN)/python -m shoepair.training.segmenter src/shoepair/models/segmenter.pt

bench: install
	$(BIN)/python benchmarks/bench.py
