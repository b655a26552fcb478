# One shared environment in .venv; every target below runs a nox session in it.
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
STAMP := $(VENV)/.installed
NOX := $(VENV)/bin/python -m nox
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test runners proofs integration red green evidence evidence_site site lint types ptychodus ptychodus_short torch_free coverage package changelog hooks clean

help: ## show this list
	@grep -hE '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z_]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-15s %s\n", $$1, $$2}'
	@echo "  TORCH_INDEX=URL      package index to take another build of torch from (default: the one pip is set up with)"

$(STAMP): pyproject.toml constraints.txt
	@echo "building $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PIP) --editable ".[dev]"
	@touch $@

demo: $(STAMP) ## simulate, train, save, load, infer, polish; figures and metrics in demo_output/
	@$(NOX) -s demo

test: $(STAMP) ## the whole default test suite
	@$(NOX) -s tests

runners: $(STAMP) ## every console script, run briefly in a process of its own
	@$(NOX) -s runners

proofs: $(STAMP) ## redgreen's slow tests, most of which replay changes in clones
	@$(NOX) -s proofs

integration: $(STAMP) ## the train, save, load, infer tests alone, through redgreen
	@$(NOX) -s integration

red: $(STAMP) ## record a RED through redgreen: make red S=SELECTOR (without S: what waits in the active phases)
	@$(NOX) -s red -- $(S)

green: $(STAMP) ## record a GREEN through redgreen: make green S=SELECTOR (without S: what is red, and the guards)
	@$(NOX) -s green -- $(S)

evidence: $(STAMP) ## check registry, sealed reports, ledger and generated documents
	@$(NOX) -s evidence

evidence_site: $(STAMP) ## the recorded runs as a static site in .redgreen/site/
	@$(NOX) -s evidence_site

site: $(STAMP) ## the documentation site in build/site/html/, the tutorials executed
	@TORCH_INDEX=$(TORCH_INDEX) $(NOX) -s site

lint: $(STAMP) ## ruff
	@$(NOX) -s lint

types: $(STAMP) ## mypy, strict
	@$(NOX) -s types

ptychodus: $(STAMP) ## train and reconstruct through Ptychodus, which this installs into .nox/ptychodus (1.9 GB)
	@TORCH_INDEX=$(TORCH_INDEX) $(NOX) -s ptychodus

ptychodus_short: $(STAMP) ## the same without the runs of several minutes
	@TORCH_INDEX=$(TORCH_INDEX) $(NOX) -s ptychodus -- -m "ptychodus and not slow"

torch_free: $(STAMP) ## what must work without torch, in .nox/torch_free, which has none (0.4 GB)
	@$(NOX) -s torch_free

coverage: $(STAMP) ## the default test suite with the lines of the package that it reaches
	@$(NOX) -s coverage

package: $(STAMP) ## build sdist and wheel; use the wheel in an environment for each of python3.11, 3.12, 3.13 that is there (1.3 GB, CUDA 5 GB)
	@TORCH_INDEX=$(TORCH_INDEX) $(NOX) -s package

changelog: $(STAMP) ## what the fragments in changes/ say about the next release
	@$(NOX) -s changelog

hooks: $(STAMP) ## let git check style and types before each commit
	@$(VENV)/bin/python -m pre_commit install

clean: ## remove the environment and the caches
	rm -rf $(VENV) .nox .pytest_cache .mypy_cache .ruff_cache
