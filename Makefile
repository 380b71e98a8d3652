# Two commands on a fresh machine do everything: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist worksteal
# Longer proofs share what a file starts (Ray, servers, finished searches): a file stays in one process.
BY_FILE := -n auto --maxprocesses 2 --dist loadfile

.PHONY: run test test-slow test-long test-elsewhere lint bench clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $(VENV)/.installed $@

run: $(VENV)/.installed
	$(BIN)/python -m search.run regularization

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m 'slow and not long' $(BY_FILE)

test-elsewhere: $(VENV)/.installed-test
	$(BIN)/python tests/elsewhere.py $(WHERE)

test-long: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m long

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
