# make check   everything that must hold before a commit; makes .venv first where it is missing
# make test    the tests alone, with coverage
# make lock    choose newer versions of what is developed with
# make docs    write docs/cli.md anew from the commands

VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: check setup format lint types bands test docs lock clean

check: lint types bands test

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: setup
	$(BIN)/mypy

bands: setup
	$(BIN)/lint-imports

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term --durations=15

docs: setup
	$(BIN)/python docs/write_cli.py

lock: setup
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
