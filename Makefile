# `make` lists what there is. Nothing needs to be prepared: .venv is made by whoever needs it first.
#
#   PYTHON=python3.12            the Python of .venv (3.11 or newer)
#   TESTS="tests/test_x.py -x"   arguments for pytest, in test and test-all
#   CHAOS_SECONDS=600            how long a storm lasts; default 180
#   CHAOS_SEED=7                 the same storm again; it is printed
#   BENCH="--rounds 5"           arguments for the short set of measurements
#   PYPOOL_TEST_CLUSTERS=no      test without a cluster, even as root

PYTHON ?= python3
TESTS ?=
CHAOS_SECONDS ?=
CHAOS_SEED ?=
BENCH ?=
BIN := .venv/bin
SOURCES := $(wildcard pypool tests tutorial bench)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-faults test-libraries test-wheel chaos bench check docs clusters clusters-down clean
.DELETE_ON_ERROR:

help: ## list these targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

demo: .venv/.demo ## the tutorial's example on this machine
	@$(BIN)/python tutorial/demo.py --pool local

test: check ## check, then the suite; as root with clusters on this machine
	@tests/clusters/suite -m "not slow and not faults" $(TESTS)

test-all: check test-wheel ## as test, with what takes long, and the wheel
	@tests/clusters/suite $(TESTS)

test-wheel: .venv/.python ## the wheel, installed elsewhere, with each Python from 3.11 on
	@tests/clusters/with-clusters $(BIN)/python tests/wheel/try_wheel.py

test-faults: .venv/.test ## everything around a pool breaks, on real schedulers; half an hour
	@tests/clusters/suite tests/faults $(TESTS)

chaos: .venv/.test ## a random storm of faults on a Slurm of its own
	@PYPOOL_TEST_CHAOS_SECONDS=$(CHAOS_SECONDS) PYPOOL_TEST_CHAOS_SEED=$(CHAOS_SEED) PYPOOL_TEST_JOBS=0 \
		tests/clusters/suite tests/chaos $(TESTS)

test-libraries: .venv/.test ## emcee, dynesty and scipy with a pool of each kind
	@tests/clusters/suite tests/libraries $(TESTS)

bench: .venv/.bench ## other pools beside this one, here and on Slurm if one answers; a quarter of an hour
	@$(BIN)/python -m bench run --short --json build/bench.json $(BENCH)

check: .venv/.test ## style, types, and who may import whom
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py

docs: .venv/.docs ## the documentation as a site, in build/docs
	@$(BIN)/python -m sphinx -q -W --keep-going -n -c docs -d build/doctrees . build/docs
	@echo "The documentation is in build/docs/index.html."

clusters: ## bring up the test Slurm and the test Grid Engine (root, Debian)
	@tests/clusters/slurm-up
	@tests/clusters/sge-up
	@tests/clusters/disk-up >/dev/null

clusters-down: ## stop both
	@tests/clusters/slurm-down
	@tests/clusters/sge-down
	@tests/clusters/disk-down -a

clean: ## remove .venv and all that tools leave behind
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment: one, with a stamp for each set of extras in it

.venv/.python:
	@tests/make-venv $(PYTHON) .venv
	@touch $@

.venv/.demo: pyproject.toml | .venv/.python
	@echo "Installing what the demo needs into .venv ..."
	@$(BIN)/python -m pip install --quiet --editable '.[tutorial]'
	@touch $@

.venv/.test: pyproject.toml | .venv/.python
	@echo "Installing what the tests need into .venv ..."
	@$(BIN)/python -m pip install --quiet --editable '.[bench,dev,docs,libraries,test,tutorial]'
	@touch $@

.venv/.bench: pyproject.toml | .venv/.python
	@echo "Installing what the plots need into .venv ..."
	@$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

.venv/.docs: pyproject.toml | .venv/.python
	@echo "Installing what the documentation needs into .venv ..."
	@$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@
