# `make` lists the targets. Everything is installed into .venv; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RECORDINGS = $(if $(RECORDS),--records $(RECORDS))

.DEFAULT_GOAL := help
.PHONY: help demo install test lint unit cover bench bench-peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

demo: .venv/.runtime ## install the runtime only (no torch), classify demonstration ECGs, write ecoscale-demo/report.html
	$(BIN)/ecoscale demo

install: .venv/.dev ## install everything: training, tests, linters

test: lint cover ## install everything pinned, run all linters and tests

lint: .venv/.dev ## ruff, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: .venv/.dev ## the tests alone
	$(BIN)/pytest

cover: .venv/.dev ## the tests, with coverage
	$(BIN)/pytest --cov --cov-report=term

bench: .venv/.dev ## speed and memory on this machine, into docs/performance.md; RECORDS=FOLDER takes your recordings
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/reading.py $(RECORDINGS)
	$(BIN)/python benchmarks/path.py $(RECORDINGS)
	if [ -d benchmarks/peers/environments ]; then $(BIN)/python benchmarks/side_by_side.py $(RECORDINGS); fi
	$(BIN)/python benchmarks/page.py

bench-peers: .venv/.dev ## the same networks beside what one would install instead; installs that (about 15 GB)
	$(BIN)/python benchmarks/side_by_side.py $(RECORDINGS)
	$(BIN)/python benchmarks/reading.py $(RECORDINGS)
	$(BIN)/python benchmarks/page.py

clean: ## remove the environments and what tests and the demonstration leave
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .coverage htmlcov ecoscale-demo benchmarks/peers/environments

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[formats]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch $@ .venv/.runtime
