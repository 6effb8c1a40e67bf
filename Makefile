# One folder, .venv, made by `make setup` from the hash-pinned lock; nothing outside of this clone is written.
# Mirrors, proxies and certificates come from your own pip and uv settings.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
USER_STAMP := $(VENV)/.stamp-user
DEV_STAMP := $(VENV)/.stamp-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev report lab demo test lint format tools bench reference lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(USER_STAMP) ## everything a user needs, in .venv

setup-dev: $(DEV_STAMP) ## and what the tests need

report: $(USER_STAMP) ## the monthly cost review of the demo cluster; the last line is the path of the HTML report
	@$(BIN)/aiops-analysis run monthly_cost_review

lab: $(USER_STAMP) ## JupyterLab on the notebooks
	@AIOPS_HOME="$(CURDIR)" $(BIN)/jupyter lab --notebook-dir=notebooks

demo: $(USER_STAMP) ## make data/demo again, byte for byte
	@$(BIN)/aiops-analysis demo

test: $(DEV_STAMP) tools lint ## all tests; ends with pytest's own closing line
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

lint: $(DEV_STAMP) ## ruff, mypy, and notebooks without outputs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@find notebooks -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*' -exec $(BIN)/nbstripout --verify {} +

format: $(DEV_STAMP) ## let ruff and nbstripout mend what they can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@find notebooks -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*' -exec $(BIN)/nbstripout {} +

tools: ## Debian's prometheus and victoria-metrics and npm's axe-core for the tests, unpacked into .tools (no root)
	@tools/fetch_servers.sh
	@tools/fetch_axe.sh

bench: $(DEV_STAMP) tools ## the benchmarks, with machine and sizes
	@set -e; for name in report usage pull packing allocation billing; do echo "== $$name"; $(BIN)/python -m bench.$$name; done

reference: $(DEV_STAMP) ## make docs/reference.md again from the code
	@$(BIN)/python tools/reference.py

# UPGRADE=1 takes newer versions; without it what is pinned stays while it fits pyproject.toml.
lock: $(USER_STAMP) ## make both locks again (UPGRADE=1 for newer versions)
	@$(COMPILE) -o requirements.lock
	@$(COMPILE) --extra dev --extra bench -c requirements.lock -o requirements-dev.lock

COMPILE = $(BIN)/uv pip compile pyproject.toml --group setup --universal --python-version 3.11 --generate-hashes --quiet \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

clean: ## remove .venv, .tools and caches; reports and data stay
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the two stamps -------------------------------------------------------------------------------------------------------------

# uv is itself installed from the lock, by pip and with its hashes.
$(BIN)/uv: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^[^ ]/ { take = /^uv==/ } take' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@touch $@

# pip is the slower second way, for machines whose index or certificates only pip knows.
install_lock = $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1) \
	|| { echo "uv could not install $(1); trying with pip" >&2; \
	     $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); }

$(USER_STAMP): $(BIN)/uv requirements.lock pyproject.toml
	@$(call install_lock,requirements.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEV_STAMP): $(USER_STAMP) requirements-dev.lock
	@$(call install_lock,requirements-dev.lock)
	@touch $@
