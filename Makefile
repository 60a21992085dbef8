# Everything a newcomer needs: `make demo` and `make test`. Only Python 3.11 or newer, make and git have to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
FEEDS ?= ../shared/data

.PHONY: help demo test test-feeds conformance mutants bench lint up lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/'

demo: $(VENV)/.ready ## set everything up and show platforms exchanging real data
	$(BIN)/python -m infra.dev.demo $(DEMO)

test: $(VENV)/.ready ## set everything up and pass every check and test
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest $(TESTS)

test-feeds: $(VENV)/.ready ## push real feeds through the hub: make test-feeds FEEDS=folder
	$(BIN)/python -m tests.feeds $(FEEDS)

conformance: $(VENV)/.ready ## play OCPI's rules against a hub; prints them, writes .conformance/rules.json and junit.xml
	CONFORMANCE_TABLE=.conformance/rules.json $(BIN)/python -m pytest -q tests/conformance --junitxml=.conformance/junit.xml

mutants: $(VENV)/.ready ## put known faults into copies of the hub; the conformance suite has to find each
	$(BIN)/python -m tests.conformance.mutants $(MUTANTS)

bench: $(VENV)/.ready ## measure a whole hub here, in about eight minutes: make bench BENCH=--quick
	$(BIN)/python -m tests.load.bench $(BENCH)

lint: $(VENV)/.ready ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

up: $(VENV)/.ready ## run a whole hub here
	$(BIN)/hub up

# uv is used where it is; otherwise a private one is brought.
.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r infra/uv.lock

$(VENV)/.ready: requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

lock: | $(filter .uv/bin/uv,$(UV)) ## resolve the dependencies anew
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements.lock pyproject.toml -o infra/docker/requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements.lock infra/docker/build.in -o infra/docker/build.lock

clean: ## remove what set-up and runs made
	rm -rf $(VENV) .uv .hub .demo .conformance .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench.json
