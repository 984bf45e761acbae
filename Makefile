# Every target works in a fresh clone: what it needs is installed into .venv first, once per change of pyproject.toml.

PYTHON      ?= python3 python3.14 python3.13 python3.12 python3.11 python   # the first one that is new enough
PYTEST_ARGS ?=            # make test PYTEST_ARGS="-n auto -k matmul"
DEMO_ARGS   ?=            # make demo DEMO_ARGS=--smoke
EXAMPLES    ?= $(filter-out digits style texts,$(basename $(notdir $(wildcard examples/*.py))))
EXAMPLES_ARGS ?=          # make examples EXAMPLES="cnn vae" EXAMPLES_ARGS=--smoke
BENCH_ARGS  ?=
VENV        := .venv
PY          := $(VENV)/bin/python

# The peers are compared at one fixed version. On a machine without a GPU, a torch without CUDA is a smaller download:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make bench
PIN_bench   := torch==2.13.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo examples test test-all lint format notebook notebook-write readme bench docs clean

help: ## this text
	@awk -F ' *:.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.with-demo ## train on handwritten digits, write demo.png
	@$(PY) examples/digits.py $(DEMO_ARGS)

examples: $(VENV)/.with-examples ## run the examples, each writes a picture
	@for name in $(EXAMPLES); do echo "-- examples/$$name.py"; $(PY) examples/$$name.py $(EXAMPLES_ARGS) || exit 1; done

test: $(VENV)/.with-test ## the tests, without the slow ones
	@$(PY) -m pytest -q $(PYTEST_ARGS)

test-all: $(VENV)/.with-test ## every test, and many more random programs
	@HYPOTHESIS_PROFILE=thorough $(PY) -m pytest -q -m "" -n auto $(PYTEST_ARGS)

lint: $(VENV)/.with-lint ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(VENV)/.with-lint ## sort imports and format; rule tables are aligned by hand
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

notebook: $(VENV)/.with-notebook ## run the notebook top to bottom, keep nothing
	@$(PY) tools/run_notebook.py autodiff_scaler.ipynb

notebook-write: $(VENV)/.with-notebook ## run the notebook and store its outputs
	@$(PY) tools/run_notebook.py --write autodiff_scaler.ipynb

readme: $(VENV)/.with-test ## run the examples of README.md and of the documentation
	@$(PY) tools/run_markdown.py README.md docs/index.md docs/start.md docs/idea.md docs/transforms.md docs/numpy.md docs/containers.md docs/learning.md docs/jit.md docs/rules.md docs/comparison.md docs/api/numpy.md

bench: $(VENV)/.with-bench ## measure against the peers, write docs/benchmarks.md
	@$(PY) -m benchmarks $(BENCH_ARGS)

docs: $(VENV)/.with-docs ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

clean: ## remove the environment, caches and everything that was built
	@rm -rf $(VENV) build dist site demo.png $(EXAMPLES:=.png) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@for python in $(PYTHON); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "creating $(VENV) with $$($$python --version)"; \
	        $$python -m venv $(VENV) && touch $@ && exit 0; \
	        echo "$$python could not create $(VENV). On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	    fi; \
	done; \
	echo "autodiff needs Python 3.11 or newer; tried: $(strip $(PYTHON)). Name one: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(VENV)/.with-%: pyproject.toml | $(VENV)/.made
	@echo "installing autodiff[$*] into $(VENV)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[$*]" $(PIN_$*)
	@touch $@
