# make demo   try it now (simulated phones, sample clinic)
# make test   every test, SQLite and PostgreSQL and a real browser
# make setup  only what running needs
# make bench  benchmarks as one table of ratios      make chaos  kill it at random and count: about 12 minutes each;
#             BENCH="--rounds 2 ..." and CHAOS="--minutes 60 ..." take the flags that benchmarks/ names
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo setup dev test lint bench chaos lock screenshots clean

demo: $(VENV)/ready
	@$(BIN)/aftercare demo --port $(PORT)

setup: $(VENV)/ready

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Aftercare needs Python 3.11 or newer; $(PYTHON) is older. Say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Versions and hashes are pinned; nothing that is not in the lock can be installed.
$(VENV)/ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (about a minute the first time) ..." >&2
	@$(PIP) install --require-hashes --no-deps -r requirements.lock >&2
	@$(PIP) install --no-deps --no-build-isolation -e . >&2
	@$(BIN)/python -m compileall -q service jobs messages $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

dev: $(VENV)/dev-ready

$(VENV)/dev-ready: requirements-dev.lock $(VENV)/ready
	@echo "Setting up what tests need ..." >&2
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock >&2
	@touch $@

test: $(VENV)/dev-ready
	@bash tools/test_requirements.sh >&2
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup tests

lint: $(VENV)/dev-ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy -p messages

bench: $(VENV)/dev-ready
	@bash tools/test_requirements.sh >&2
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: $(VENV)/dev-ready
	@bash tools/test_requirements.sh >&2
	@$(BIN)/python -m benchmarks.chaos $(CHAOS)

screenshots: $(VENV)/dev-ready
	@bash tools/test_requirements.sh >&2
	@$(BIN)/python tools/screenshots.py

# After changing dependencies in pyproject.toml (needs uv; writes no index address).
lock:
	uv pip compile pyproject.toml --group build --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -q -o requirements-dev.lock
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -q -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf $(VENV) var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
