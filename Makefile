# `make demo` and `make test` work from a bare clone: they make what they need themselves.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo docs test lint format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $(READY)

demo: $(READY)  ## ingest, train, evaluate and report on synthetic ratings
	$(BIN)/mfdask demo

test: $(READY) lint  ## all tests: compiled, interpreted, and with bounds checked
	$(BIN)/python -m pytest -q
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/kernels tests/models/test_als.py
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.numba-bounds $(BIN)/python -m pytest -q tests/kernels tests/models/test_als.py

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
