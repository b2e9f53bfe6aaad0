# `make demo` and `make test` work from a bare clone: they make what they need themselves.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# Two files of tests at a time: they wait for clusters and browsers as often as they compute.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: demo docs test lint format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $(READY)

demo: $(READY)  ## ingest, train, evaluate and report on synthetic ratings
	$(BIN)/mfdask demo

test: $(READY) lint  ## all tests: compiled, interpreted, and with bounds checked
	$(PYTEST)
	NUMBA_DISABLE_JIT=1 $(PYTEST) tests/kernels tests/models/test_als.py
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/.numba-bounds $(PYTEST) tests/kernels tests/models/test_als.py

docs: $(READY)  ## the site of these pages: build/docs/index.html
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .numba-bounds build *.egg-info
