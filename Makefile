# Everything a person does with this repository. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup lint format test test-fast test-faults demo up down ps lock clean

help: ## Lists the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Makes .venv with everything in the lock (Python 3.11)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lint: setup ## Ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Formats the code and mends what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## All tests on the real components, which it starts and stops (< 10 min)
	$(BIN)/python -m pytest -m "not faults"

test-fast: setup ## Only the tests that need no server
	$(BIN)/python -m pytest -m "not integration and not e2e and not faults"

test-faults: setup ## Kills and outages in the middle of runs (long)
	$(BIN)/python -m pytest -m faults

demo: setup ## The whole way on this machine: start, crawl a local source, look (LIVE=1: the real APIs)
	@$(BIN)/python -m deploy.demo $(if $(LIVE),--live) $(if $(ROWS),--rows $(ROWS))

up: setup ## Starts the local stack: Kafka, PostgreSQL, S3 and the six services
	@$(BIN)/onpoint up

down: setup ## Stops it (WIPE=1: with its data)
	@$(BIN)/onpoint down $(if $(WIPE),--wipe)

ps: setup ## Shows what of it runs
	@$(BIN)/onpoint ps

lock: setup ## Writes requirements.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra local --extra dev --generate-hashes --universal \
		--python-version 3.11 --no-header --no-emit-index-url --upgrade -o requirements.lock

clean: ## Removes caches; keeps .venv and .onpoint
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
