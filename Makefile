# `make run` and `make test` are all a reader needs; both set everything up first.

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint types imports pytest bench screens lock

BIN := .venv/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
NODE_SDK := tests/sdk/node
BROWSER := tests/browser
COMMUNITY_SDK := tests/sdk/python-alipay-sdk.txt
HAS_NODE := $(shell node -e 'process.exit(+(parseInt(process.versions.node) < 18))' 2>/dev/null && echo yes)

help:
	@echo 'make run    set up, start the platform and play one real payment; Ctrl-C stops it'
	@echo 'make test   set up, then run every check and test'
	@echo 'make check  set up, then lint, types and import rules only'

setup: .venv/.ready $(BROWSER)/node_modules/.ready $(if $(wildcard $(NODE_SDK)/package-lock.json),$(NODE_SDK)/node_modules/.ready)

run: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/xinghan demo

test: check pytest

check: lint types imports

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar src/xinghan

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

pytest: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n auto

# The pictures of docs/screens, taken with the machine's Chromium.
screens: setup
	$(BIN)/python tests/browser/screens.py

# What bench/README.md explains; take the machine for this alone.
bench: setup
	$(BIN)/xinghan bench ledger --json --data .xinghan > bench/results/ledger.json
	$(BIN)/xinghan bench payments --json --data .xinghan > bench/results/payments.json

# The lock names versions and hashes but no registry, so that mirrors can serve it.
lock: .venv/bin/uv
	$(BIN)/uv pip compile pyproject.toml --group dev $(LOCK_OPTIONS) -o requirements.lock
	$(BIN)/uv pip compile --group node $(LOCK_OPTIONS) -o requirements-node.lock
LOCK_OPTIONS := --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet

# --- set-up, redone only when one of the files it depends on has changed ---

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo 'Xinghan needs Python 3.11 or newer on PATH.' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# Two SDKs on PyPI share the package name `alipay`; the second lives in a folder of its own.
.venv/.ready: pyproject.toml requirements.lock requirements-node.lock $(COMMUNITY_SDK) | .venv/bin/uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --require-hashes \
		--target .venv/share/python-alipay-sdk -r $(COMMUNITY_SDK)
	$(if $(HAS_NODE),,VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-node.lock)
	@touch $@

$(NODE_SDK)/node_modules/.ready $(BROWSER)/node_modules/.ready: %/node_modules/.ready: %/package-lock.json .venv/.ready
	cd $* && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --silent
	@touch $@
