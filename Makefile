# make check   everything that must hold before a commit; makes .venv first where it is missing
# make test    the tests alone
# make coverage   the tests with coverage, in every process that they start: takes nearly twice as long
# make screenshots   draw the pictures of the screen anew, from a demonstration
# make lock    choose newer versions of what is developed with
# make docs    write docs/cli.md and docs/keys.md anew
# make soak    kill flowctl at random moments, a thousand times; SOAK="--kills 100 --seed 7" is passed on
# make power-cuts   cut the power under real runs, tens of thousands of times; CUTS="--cuts 2000 --seed 7" is passed on
# make model   compare store and commands with a model, 2,000,000 rule calls; MODEL="--rules 50000 --seed 7" is passed on
# make simulate   live through a thousand seeds under a virtual clock; SIMULATE="--seeds 9000 --first 1000" is passed on
# make mutation   break flowctl in small ways; MUTATION="--guards", "--promises" or "--sample 50 --seed 7" is passed on
# make bench   measure flowctl, its peers and raw SQLite; BENCH="--quick --case steps" is passed on
# make bench-peers   install the peers that it is measured against, each in an environment of its own

VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 3
BIN := $(VENV)/bin

.PHONY: check setup format lint types bands test coverage docs screenshots lock soak power-cuts model simulate mutation bench bench-peers clean

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
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15

coverage: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term

docs: setup
	$(BIN)/python docs/write_cli.py
	$(BIN)/python docs/write_keys.py

screenshots: setup
	$(BIN)/python docs/write_pictures.py

lock: setup
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock

model: setup
	$(BIN)/python -m tests.model $(MODEL)

simulate: setup
	$(BIN)/python -m tests.simulation $(SIMULATE)

mutation: setup
	$(BIN)/python -m tests.mutation $(MUTATION)

bench: setup
	$(BIN)/python -m bench $(BENCH)

bench-peers: setup
	$(BIN)/python -m bench.peers.build

soak: setup
	$(BIN)/python -m tests.soak $(SOAK)

power-cuts: setup
	$(BIN)/python -m tests.disk.power $(CUTS)

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
