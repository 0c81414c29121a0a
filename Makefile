# Each target does all of its own set-up in .venv/; needed are only Python 3.11 or newer, make and the registries.

PYTHON ?= python3
WORKERS ?= logical
ARGS ?=
IN := .venv/bin
PIP := $(IN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help demo test long screenshots lint format lock .venv

help:  ## this list
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.]+):.*## */\1\t/' | sort | expand -t 14

demo: .venv/runtime  ## a believable shop with its admin, until Ctrl-C (ARGS="--customers 5000")
	@$(IN)/python manage.py demo $(ARGS)

# Both runs are always made; the status is that of the worse one.
test: .venv/everything  ## the whole suite, on SQLite and on PostgreSQL (ARGS="-k word")
	@status=0; for database in sqlite postgresql; do \
		$(IN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --database $$database $(ARGS) || status=1; \
	done; exit $$status

long: .venv/everything  ## the laws that take minutes, on both databases
	@$(MAKE) --no-print-directory test ARGS='-m long $(ARGS)'

screenshots: .venv/everything  ## every page of the admin, wide and narrow, light and dark, into screenshots/
	$(IN)/python -m tests.browser.screenshots $(ARGS)

# With no trace of a shop: linters read the settings, which would otherwise make a database and a key in data/.
lint: export DATABASE_URL = sqlite://:memory:
lint: export SECRET_KEY = for the linters only
lint: .venv/everything  ## style, types, import contracts, missing migrations
	$(IN)/ruff check
	$(IN)/ruff format --check
	$(IN)/mypy
	$(IN)/lint-imports
	$(IN)/python manage.py makemigrations --check --dry-run
	BEHIND_HTTPS_PROXY=True SECRET_KEY="$$($(IN)/python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
		$(IN)/python manage.py check --deploy --fail-level WARNING

format: .venv/everything  ## put code into the house's form
	$(IN)/ruff check --fix
	$(IN)/ruff format

lock: .venv/everything  ## write the lock files from pyproject.toml (ARGS=--upgrade for the newest of everything)
	$(IN)/uv pip compile $(LOCKING) pyproject.toml --output-file requirements.lock
	$(IN)/uv pip compile $(LOCKING) pyproject.toml --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock

LOCKING = --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)

.venv: .venv/everything  ## the virtual environment with all tools

# Made anew when a lock changes, so that nothing of an older one stays behind.
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
