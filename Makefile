# One command for each thing; all of them set up .venv first. `make help` lists them.
#
# The lock is complete, so it is installed with --no-deps: nothing is left to resolve, every archive is checked against
# its hash, and `pip check` proves afterwards that nothing was missing. (While resolving, pip 23 also takes `sqlalchemy` and
# `sqlalchemy[asyncio]` for two packages, of which one has no hash.)

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13; do \
	"$$name" -c '$(SUPPORTED)' 2>/dev/null && echo "$$name" && break; done)
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check
UV := $(VENV)/bin/uv pip
EXACTLY := --no-deps --require-hashes -r
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo test nightly check lint types bench lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: $(INSTALLED) ## .venv with everything that the demo and the tests need

demo: $(INSTALLED) ## synthesise a corpus and refresh it three times
	$(VENV)/bin/voicemill demo

# Byte code is kept: else every process of a test compiles voicemill, and every process of pytest all tests (11 s)
TESTS = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

# Three processes for two cores: a fifth of the time goes into waiting for servers and processes. Files in their order:
# the long ones, those of flows, come first
SLOW = $(TESTS) $(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=15 -m

test: check ## ruff, mypy --strict and all tests but gpu and nightly: half an hour on 2 cores
	$(SLOW) "(slow or realdata) and not nightly and not gpu"

nightly: check ## the same and the tests marked nightly
	$(SLOW) "(slow or realdata) and not gpu"

check: lint types ## ruff, mypy and the quick tests, on all cores
	$(TESTS) $(RUN) -m pytest -m "not gpu and not slow and not realdata" -n auto --dist loadfile

lint: $(INSTALLED) ## ruff: rules and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(INSTALLED) ## mypy --strict
	$(RUN) -m mypy

bench: $(INSTALLED) ## every benchmark: a table each, and JSON in bench/
	for file in tests/bench/*.py; do echo "== $$file"; $(RUN) "$$file"; done

lock: $(LOCKED) ## rewrite requirements.lock from pyproject.toml and check that every Python finds wheels for it
	$(UV) compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-strip-extras \
		--python-version 3.11 --extra demo --extra models --extra compare --extra dev --custom-compile-command "make lock" \
		pyproject.toml -o requirements.lock >/dev/null
	for version in 3.11 3.12 3.13; do \
		$(UV) install -q --dry-run --target build/$$version --python-version $$version --only-binary :all: \
			--python-platform x86_64-manylinux_2_28 --require-hashes -r requirements.lock; done

clean: ## remove all that make, the tests and the demo wrote, the environment included
	rm -rf $(VENV) demo bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# -- set-up: two stamps, each written last, so that an interrupted install is taken up again. `pip check` may miss two
#    packages that resemblyzer, of which only data is read, asks for: webrtcvad (webrtcvad-wheels is it) and a backport.
#    Byte code is compiled here: where PYTHONDONTWRITEBYTECODE is set, as in many containers, every process would compile
#    torch and Prefect anew

$(INSTALLED): $(LOCKED) pyproject.toml
	$(PIP) install -q --no-deps --no-build-isolation -e .
	! $(PIP) check | grep -v -e '^No broken requirements' -e '^resemblyzer .* requires \(typing\|webrtcvad\),'
	touch $@

$(LOCKED): requirements.lock
	@"$(or $(PYTHON),python3)" -c '$(SUPPORTED)' || { \
		echo "voicemill needs Python 3.11, 3.12 or 3.13; found: $$("$(or $(PYTHON),python3)" --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@rm -f $@ $(INSTALLED)
	@$(PIP) --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "Installing requirements.lock into $(VENV): 8 GB, one to five minutes"
	$(PIP) install -q $(EXACTLY) <(sed -n '/^uv==/,/[^\\]$$/p' requirements.lock)
	$(UV) install -q --compile-bytecode --python $(RUN) $(EXACTLY) requirements.lock || { \
		echo "uv could not (it does not read pip's configuration): pip does it, more slowly"; \
		$(PIP) install -q $(EXACTLY) requirements.lock; }
	touch $@
