# `make` lists the targets. Everything is installed into .venv; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo install test lint unit cover clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

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

clean: ## remove the environment and what tests and the demonstration leave
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .coverage htmlcov ecoscale-demo

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[formats]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	@touch $@ .venv/.runtime
