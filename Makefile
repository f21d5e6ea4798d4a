# Rollcall: `make` lists what can be done. Needs GNU make or the make of macOS, and Python 3.11 or newer with venv.
PYTHON ?= python3
VENV   := .venv
DEV    := $(if $(filter browser,$(EXTRAS)),browser,dev)
UV     ?= uv

# What follows `python -m local test --` in these two; to be changed on the command line.
DRILL_TAIL       ?= -n 0 tests/flows/test_crashes.py --drill=200
SCREENSHOTS_TAIL ?= -n 0 -m browser tests/browser/test_screenshots.py --screenshots

.DEFAULT_GOAL := help
.PHONY: help run test reset fix lock test-servers drill bench-scim bench-ledger bench-pages screenshots check-python

help: ## List these targets
	@echo "Rollcall. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

run: $(VENV)/.stamp ## Start Rollcall with its demo (PORT=8000); Ctrl-C stops it
	@exec $(VENV)/bin/python -m local up

test: $(VENV)/.stamp-$(DEV) ## Run every check and test (ARGS= for pytest, EXTRAS=browser)
	@exec $(VENV)/bin/python -m local test -- $(ARGS)

reset: $(VENV)/.stamp ## Delete all data of this installation; asks first
	@exec $(VENV)/bin/python -m local reset

fix: $(VENV)/.stamp-dev ## Mend what mends itself: lint and format
	@$(VENV)/bin/python -m ruff check --fix .
	@$(VENV)/bin/python -m ruff format .

test-servers: $(VENV)/.stamp-dev ## Keep test servers running; prints how to use them (ENV_FILE=)
	@exec $(VENV)/bin/python -m local serve-test --env-file $(or $(ENV_FILE),.rollcall/test-servers.env)

drill: $(VENV)/.stamp-dev ## Kill web and worker 200 times under load, and compare the books
	@exec $(VENV)/bin/python -m local test --tests-only -- $(DRILL_TAIL) $(ARGS)

bench-scim: $(VENV)/.stamp-dev ## Measure the SCIM receiver beside its peers (ARGS=--quick, ARGS=--million)
	@exec $(VENV)/bin/python -m bench.scim $(ARGS)

bench-ledger: $(VENV)/.stamp-dev ## Measure the ledger: its cost, seals, neighbours, growth (ARGS=--quick)
	@exec $(VENV)/bin/python -m bench.ledger $(ARGS)

bench-pages: $(VENV)/.stamp-dev ## Measure the pages of staff over a million accounts (ARGS=--quick)
	@exec $(VENV)/bin/python -m bench.pages $(ARGS)

screenshots: $(VENV)/.stamp-browser ## Make the screenshots of the README
	@exec $(VENV)/bin/python -m local test --tests-only -- $(SCREENSHOTS_TAIL) $(ARGS)

# An extra is written with its pin: pip 23 takes `name==1` for no pin of `name[extra]` once the index holds a newer one.
LOCK = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q
lock: ## Write requirements*.txt from pyproject.toml (maintainers; needs uv)
	@command -v $(UV) >/dev/null || { echo "rollcall: make lock needs uv (pip install uv), or set UV=" >&2; exit 1; }
	$(LOCK) --group demo -o requirements.txt
	$(LOCK) --group demo --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --group demo --group dev --group browser -c requirements-dev.txt -o requirements-browser.txt

# Before anything else, at every call: is there a Python, and is the virtual environment still good?
check-python:
	@command -v $(PYTHON) >/dev/null || { echo "rollcall: Python 3.11 or newer is needed: install it (Debian, Ubuntu: apt install python3 python3-venv), or set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("rollcall: Python 3.11 or newer is needed, this is %d.%d: install one (Debian, Ubuntu: apt install python3 python3-venv), or set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m local.venv check $(VENV)

$(VENV)/.stamp: requirements.txt | check-python
	@$(PYTHON) -m local.venv install $(VENV) $<

$(VENV)/.stamp-dev: requirements-dev.txt | check-python
	@$(PYTHON) -m local.venv install $(VENV) $<

$(VENV)/.stamp-browser: requirements-browser.txt | check-python
	@$(PYTHON) -m local.venv install $(VENV) $<
