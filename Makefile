PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := outputs/ready_$(shell date +%Y-%m-%d_%H-%M-%S)

.PHONY: help train test test-slow test-long coverage check format weights bench torture docs pictures wheel install

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

train: install  ## sets up .venv, draws shoes, trains the dual approach
	$(BIN)/shoepair train

test: install check  ## checks and quick tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --ignore tests/test_architecture.py

test-slow: install  ## what takes longer
	$(BIN)/pytest -m "slow and not long"

test-long: install  ## what takes minutes, or wants a quiet machine
	$(BIN)/pytest -m long --hypothesis-profile default

coverage: install  ## quick tests, and how much of the code they run: slower than without
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --ignore tests/test_architecture.py --cov

check: install  ## lint, format, types, the rule of rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py

format: install  ## puts code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel:  ## dist/, from the files that lie here
	$(PYTHON) -m venv $(VENV)-build && $(VENV)-build/bin/pip install --quiet build && $(VENV)-build/bin/python -m build

# Done once, and again when what is to be installed has changed.
install: $(VENV)/installed  ## .venv with everything

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

docs: install  ## the pages that are written from the code
	$(BIN)/python docs/write_configuration.py
	$(BIN)/python docs/write_results.py

pictures: install  ## the pictures of pages in docs/, of drawn shoes; needs playwright and Chromium
	$(BIN)/python docs/take_pictures.py

weights: install  ## what travels with the package, learned anew from drawn shoes
	$(BIN)/python -m shoepair.training.segmenter src/shoepair/models/segmenter.pt
	$(BIN)/python -m shoepair.training.teach src/shoepair/models/taught.pt
	$(BIN)/shoepair train experiment=ready hydra.run.dir=$(READY)
	$(BIN)/python -m shoepair.training.ready $(READY) src/shoepair/models/ready.ckpt
	$(BIN)/shoepair train experiment=ready_best hydra.run.dir=$(READY)_best
	$(BIN)/python -m shoepair.training.ready $(READY)_best src/shoepair/models/best.ckpt

torture: install  ## kills, strange files, hostile folders; goes on where it was stopped; docs/reliability.md
	PYTHONPATH=tests $(BIN)/python -m torture $(PARTS)

bench: install  ## speed, side by side with torch's own layers
	$(BIN)/python benchmarks/bench.py
