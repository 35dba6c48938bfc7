# `make run` starts Viesti, `make test` runs the fast suite, `make check` all that CI checks.
# Both set up what they need in .venv, from the hash locks, and only when a lock has changed.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(if \
  $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
# The package itself: built by what the lock holds, so nothing else is fetched.
INSTALL_SELF := $(PIP) --no-deps --no-build-isolation --editable .

.PHONY: run test check format lint types contracts lengths bench soak lock clean
.DEFAULT_GOAL := run

run: .venv/.run
	@exec $(BIN)/viesti serve

test: .venv/.dev
	$(BIN)/pytest

check: format lint types contracts lengths test

format: .venv/.dev
	$(BIN)/ruff format --check .

lint: .venv/.dev
	$(BIN)/ruff check .

types: .venv/.dev
	$(BIN)/pyright

contracts: .venv/.dev
	$(BIN)/lint-imports

lengths: .venv/.dev
	$(BIN)/python tools/check_lengths.py

# One benchmark per promise; each is also a program of its own: .venv/bin/python bench/NAME.py
bench: .venv/.dev
	@set -e; for name in $(filter-out bench/stage.py bench/profiler.py bench/stock.py,$(sort $(wildcard bench/*.py))); do echo "== $$name"; $(BIN)/python $$name; done

# What CI tries for seconds, for as long as a real outage: ten minutes each, half an hour in all.
SOAK_SECONDS ?= 600
SOAK_ROUNDS ?= 20
soak: .venv/.dev
	OUTAGE_SECONDS=$(SOAK_SECONDS) CHAOS_SECONDS=$(SOAK_SECONDS) FIRE_ROUNDS=$(SOAK_ROUNDS) \
	  $(BIN)/pytest -n 0 -s -m "slow or kill" tests/flows/test_outage.py \
	  tests/flows/dispatch/test_chaos.py tests/flows/test_nothing_lost.py

# After a change of the dependencies in pyproject.toml; needs uv.
lock:
	sh tools/lock.sh

clean:
	rm -rf .venv

.venv/.made:
	@test -n "$(PYTHON)" || { echo "Viesti needs CPython 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)."; exit 1; }
	@touch $@

.venv/.run: .venv/.made requirements.lock pyproject.toml
	@echo "Installing Viesti into .venv, about half a minute ..."
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(INSTALL_SELF)
	@touch $@

.venv/.dev: .venv/.made requirements-dev.lock pyproject.toml
	@echo "Installing Viesti and its development tools into .venv, about a minute ..."
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@$(INSTALL_SELF)
	@touch $@

# What the tests of the Postman collection run with; node and npm come with the development tools.
.venv/.node: .venv/.dev tests/interop/package.json tests/interop/package-lock.json
	@echo "Installing newman into .venv/newman ..."
	@mkdir -p .venv/newman
	@cp tests/interop/package.json tests/interop/package-lock.json .venv/newman/
	@cd .venv/newman && PATH="$$PWD/../bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
