# Each target sets up .venv/ and node_modules/ as needed. Requires Python 3.11 or newer, make and access to the
# package registries.

PYTHON ?= python3
WORKERS ?= logical
ARGS ?=
IN := .venv/bin
PIP := $(IN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# Biome finds the Node.js of .venv/ by PATH.
BIOME := PATH="$(CURDIR)/$(IN):$$PATH" node_modules/.bin/biome
# The bundle is part of the repository, so that an installation needs no Node.js.
CHART_LIBRARY := core/static/core/vendor/echarts.js
ESBUILD = PATH="$(CURDIR)/$(IN):$$PATH" node_modules/.bin/esbuild core/vendor/echarts.js --bundle --minify \
	--format=esm --target=es2022 --legal-comments=none --log-level=warning \
	--banner:js='/* Apache ECharts, under the Apache License 2.0: see LICENSE-echarts.txt. Bundled by `make charts`. */'
# Named one by one, so that those are linted too which are not formatted.
TEMPLATES = $$(find */templates -name '*.html')

.DEFAULT_GOAL := help
.PHONY: help demo test long screenshots charts lint format lock .venv

help:  ## this list
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.]+):.*## */\1\t/' | sort | expand -t 14

demo: .venv/runtime  ## start a sample shop with its admin, until Ctrl-C (ARGS="--customers 5000")
	@$(IN)/python manage.py demo $(ARGS)

# Both runs always happen. The target fails if one of them fails.
test: .venv/everything  ## run the test suite, on SQLite and on PostgreSQL (ARGS="-k word")
	@status=0; for database in sqlite postgresql; do \
		$(IN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --database $$database $(ARGS) || status=1; \
	done; exit $$status

long: .venv/everything  ## run the tests that take minutes, on both databases
	@$(MAKE) --no-print-directory test ARGS='-m long $(ARGS)'

screenshots: .venv/everything  ## take a screenshot of every admin page into screenshots/
	$(IN)/python -m tests.browser.screenshots $(ARGS)

charts: node_modules/.installed  ## bundle the chart library of package.json
	$(ESBUILD) --outfile=$(CHART_LIBRARY)

# Linters read the settings, which would otherwise create a secret key in data/.
lint: export DATABASE_URL = sqlite://:memory:
lint: export SECRET_KEY = for the linters only
lint: .venv/everything node_modules/.installed  ## check code, templates, scripts, types, import contracts and migrations
	$(IN)/ruff check
	$(IN)/ruff format --check
	$(IN)/djangofmt --check .
	$(IN)/djangofmt check $(TEMPLATES)
	$(BIOME) check --error-on-warnings
	$(ESBUILD) | cmp - $(CHART_LIBRARY)
	$(IN)/mypy
	$(IN)/mypy benchmarks
	$(IN)/lint-imports
	$(IN)/python manage.py makemigrations --check --dry-run
	BEHIND_HTTPS_PROXY=True SECRET_KEY="$$($(IN)/python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
		$(IN)/python manage.py check --deploy --fail-level WARNING

format: .venv/everything node_modules/.installed  ## format the code
	$(IN)/ruff check --fix
	$(IN)/ruff format
	$(IN)/djangofmt check --fix $(TEMPLATES)
	$(IN)/djangofmt .
	$(BIOME) check --write

lock: .venv/everything  ## write the lock files from pyproject.toml (ARGS=--upgrade for the newest of everything)
	$(IN)/uv pip compile $(LOCKING) pyproject.toml --output-file requirements.lock
	$(IN)/uv pip compile $(LOCKING) pyproject.toml --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock
	$(IN)/uv pip compile $(LOCKING) pyproject.toml --group benchmarks --constraints requirements-dev.lock \
		--output-file requirements-benchmarks.lock
	$(IN)/npm install --package-lock-only --ignore-scripts

LOCKING = --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)

.venv: .venv/everything  ## create the virtual environment with all tools

# Created again when a lock file changes, so that no older package remains.
.venv/runtime: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	@echo 'Setting up .venv/ ...' >&2
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) --requirement requirements.lock
	@touch $@

.venv/everything: requirements-dev.lock .venv/runtime
	@echo 'Adding the tools ...' >&2
	@$(PIP) --requirement requirements-dev.lock
	@touch $@

# `npm ci` installs what package-lock.json names, and refuses what has another hash.
node_modules/.installed: package-lock.json .venv/everything
	@echo 'Adding Biome and the chart library ...' >&2
	@NODE_OPTIONS=--use-system-ca $(IN)/npm ci --silent --ignore-scripts
	@touch $@
