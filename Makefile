# The front door. Everything runs in .venv, made from the pinned requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile
PIP := $(BIN)/python -m pip install $(PIP_FLAGS)
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

PIN_FLAGS := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help run test check bench pin clean

help:  ## What can be run
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

run: $(VENV)/base.stamp  ## Start the whole system with the local exchange and open the dashboard's address
	@exec $(BIN)/python manage.py run_all

test: $(VENV)/dev.stamp  ## All tests: unit, property, end to end with real processes and a real browser
	@$(BIN)/python -m tests $(PYTEST_ARGS)

check: $(VENV)/dev.stamp  ## Lint, types, import contracts, migrations, production settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.production_check

bench: $(VENV)/dev.stamp  ## Benchmarks against peers; prints a table, writes data/bench/latest.json
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

pin:  ## Pin the newest allowed versions with hashes (dev first: base runs what dev tests)
	@test -x .venv-pin/bin/pip-compile || ($(PYTHON) -m venv .venv-pin && .venv-pin/bin/pip install -q pip-tools)
	cd requirements && ../.venv-pin/bin/pip-compile $(PIN_FLAGS) -o dev.txt dev.in \
	  && ../.venv-pin/bin/pip-compile $(PIN_FLAGS) -c dev.txt -o base.txt base.in \
	  && ../.venv-pin/bin/pip-compile $(PIN_FLAGS) -c dev.txt -o parquet.txt parquet.in \
	  && ../.venv-pin/bin/pip-compile $(PIN_FLAGS) -o installer.txt installer.in

clean:  ## Remove the environment and caches, keep data/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $(BIN)/python install $(PIP_FLAGS) -r requirements/installer.txt 2>/dev/null || { \
	  $(BIN)/python -m ensurepip >/dev/null || { rm -rf $(VENV); \
	    echo "python3 cannot make an environment: apt-get install python3-venv"; exit 1; }; \
	  $(PIP) -r requirements/installer.txt; }

# uv takes a tenth of pip's time. It reads no pip.conf: where the index is known to pip alone, pip does it.
define install
	@$(UV) -r $(1) || { echo "pip goes on with it, slower"; \
	  $(BIN)/python -m ensurepip >/dev/null && $(PIP) -r $(1); }
endef

$(VENV)/base.stamp: requirements/base.txt | $(BIN)/python
	@echo "Installing the pinned packages"
	$(call install,$<)
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(BIN)/python
	@echo "Installing the pinned packages for development"
	$(call install,$<)
	@touch $@ $(VENV)/base.stamp
