# make demo | test | lint | fuzz | docs | lock        Nothing is needed beforehand but Python >= 3.11 with venv, pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?=

.PHONY: demo test lint fuzz docs lock clean debian-packages

demo: $(VENV)/.installed
	$(BIN)/seccheck demo $(if $(OUT),--out $(OUT))

test: $(VENV)/.installed-dev debian-packages
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.installed-dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m fuzz

docs: $(VENV)/.installed-dev debian-packages
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/pictures.py

lock: $(VENV)/.installed-dev
	$(BIN)/python tools/lock.py

debian-packages:
	$(PYTHON) tools/debian_packages.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "seccheck needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/pip install -q --require-hashes -r requirements.lock || { \
	  echo "the packages of requirements.lock could not be installed: is a package index reachable?" >&2; exit 2; }
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/pip install -q --require-hashes -r requirements-dev.lock || { \
	  echo "the packages of requirements-dev.lock could not be installed: is a package index reachable?" >&2; exit 2; }
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
