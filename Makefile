# `make` lists the targets. Everything is installed into .venv; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# A process for each core, each taking whole files of tests, so that what a file sets up is set up once.
PARALLEL := --numprocesses logical --dist loadfile
RECORDINGS = $(if $(RECORDS),--records $(RECORDS))

.DEFAULT_GOAL := help
.PHONY: help demo page install test lint unit cover browser bench bench-peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

demo: .venv/.runtime ## install the runtime only (no torch), classify demonstration ECGs, write ecoscale-demo/report.html
	$(BIN)/ecoscale demo

page: .venv/.serve ## install the service, and serve the page at http://127.0.0.1:8000
	$(BIN)/ecoscale serve

install: .venv/.dev ## install everything: training, tests, linters

test: lint browser cover ## install everything pinned, run all linters and tests

lint: .venv/.dev ## ruff, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: .venv/.dev ## the tests alone
	$(BIN)/pytest $(PARALLEL)

cover: .venv/.dev ## the tests, with coverage
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term

# The page is tested in a real browser. Debian's is installed where that is allowed; where not, its tests are skipped, and say so.
browser:
	@command -v chromium chromium-browser google-chrome > /dev/null \
	    || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
	        && { echo 'installing chromium, to test the page'; apt-get update -qq; \
	             DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null; }; } \
	    || echo 'no Chromium, and none can be installed here: the tests of the page will be skipped'

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

.venv/.serve: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[formats,measure,serve]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch $@ .venv/.runtime .venv/.serve
