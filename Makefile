# make reproduce                    run the default study to its final report
# make reproduce CONFIG=my.yaml     run another study: an overlay of config.yaml, or several separated by spaces
# make ui STUDY=name                open the MLflow UI on a study
# make setup | test | lint          install; lint and test; lint
# make test-all                     the same with the slow tests, before a release
#
# Every target installs .venv first if needed. PYTHON=python3.12 chooses its interpreter, PIP_ARGS=... adds options for
# pip, CORES=4 limits the cores of a run.

PYTHON ?= python3
PIP_ARGS ?=
CONFIG ?=
CORES ?= all
STUDY ?= default

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# A variable as one word of the shell, whatever stands in it.
quoted = '$(subst ','\'',$(value $(1)))'

.PHONY: reproduce ui setup test test-all lint format pins schema docs

reproduce: $(INSTALLED)
	@config=$(call quoted,CONFIG); \
	if [ -e "$$config" ]; then set -- "$$config"; else set -- $$config; fi; \
	$(BIN)/python -m hope reproduce --cores $(call quoted,CORES) $${1:+--configfile "$$@"}

ui: $(INSTALLED)
	@$(BIN)/python -m hope ui $(call quoted,STUDY)

setup: $(INSTALLED)

# An interpreter that the command line names must be the one of an environment that is there already.
ifeq ($(origin PYTHON),command line)
.PHONY: same-python
$(INSTALLED): | same-python
same-python:
	@test ! -e $(INSTALLED) || { have="$$($(BIN)/python --version 2>&1)"; asked="$$($(call quoted,PYTHON) --version 2>&1)"; \
	test "$$have" = "$$asked" || { echo "$(VENV) has $$have, not $$asked; delete $(VENV) first" >&2; exit 1; }; }
endif

# The stamp file is removed first and written last, so that an interrupted install is repeated. An environment behind a
# link belongs to another clone too and is never emptied. Modules are compiled when they are first imported: pip would
# spend half of its time on compiling all of them.
$(INSTALLED): requirements.lock
	@python=$(call quoted,PYTHON); wanted="Python 3.11 to 3.13"; \
	command -v "$$python" > /dev/null || { echo "$$python: not found; install $$wanted, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "$$python is $$("$$python" --version 2>&1); $$wanted is needed: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	test -e $@ || test -L $(VENV) || "$$python" -m venv --clear $(VENV)
	@rm -f $@
	@echo "installing $$(grep -c == $<) packages into $(VENV): about 2 minutes"
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(PIP_ARGS) --requirement $<
	@touch $@

# The order of the files is that of tests/conftest.py: the longest first.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

test: $(INSTALLED) lint
	$(PYTEST) -m "not slow"

# Before a release: every kill, every number of processes, other interpreters.
test-all: $(INSTALLED) lint
	$(PYTEST)

# Each tool runs with .venv first on PATH, since snakefmt and snakemake call others by name.
lint: export PATH := $(CURDIR)/$(BIN):$(PATH)
lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	lint-imports --no-logo
	mypy

format: export PATH := $(CURDIR)/$(BIN):$(PATH)
format: $(INSTALLED)
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

# Write requirements.lock and the conda environments of the rules from requirements.in and the installed packages.
pins: $(INSTALLED)
	$(BIN)/python envs/pin.py

# Write the JSON schema and config.yaml from the types of hope/config.
schema: $(INSTALLED)
	$(BIN)/python -m hope schema > workflow/schemas/config.schema.json
	$(BIN)/python -m hope defaults > config.yaml.new && mv config.yaml.new config.yaml

# Write the page of encodings with its pictures, and the table of errors.
docs: $(INSTALLED)
	$(BIN)/python -m hope atlas docs
	$(BIN)/python -m tests.errors.kinds > docs/errors.md
