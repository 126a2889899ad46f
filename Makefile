# `make` alone lists what can be done here.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help test test-all lint format lock build-files demo clean

# The Pythons that will do, oldest first. pyproject.toml lists them too.
VERSIONS := 3.11 3.12 3.13
# Tried in turn until one is of these. An existing .venv keeps its own.
PYTHON ?= $(VERSIONS:%=python%) python3
WORKDIR ?= runs/demo
DATA_DIR ?= $(HOME)/tensorflow_datasets
# Processes that run tests, which take about 3 GB each.
JOBS ?= 2
# More arguments for pytest (`make test ARGS="-k gates"`), uv (`make lock`).
ARGS ?=

# Written last, so that an interrupted installation is never taken for whole.
STAMP := .venv/installed
RUN := .venv/bin/python

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z.-]+:.*## / \
	  {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "Variables: PYTHON WORKDIR DATA_DIR JOBS ARGS"

.PHONY: .venv
.venv: $(STAMP) ## Install requirements_lock.txt and pgates (Python 3.11 to 3.13)

$(STAMP): requirements_lock.txt
	@rm -f $@
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; \
	      sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' \
	      $(VERSIONS) 2>/dev/null; then \
	    exec "$$python" -m venv --clear .venv; \
	  fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed; none among: $(PYTHON)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.13" >&2; \
	exit 1
	$(RUN) -m pip install --require-hashes -r requirements_lock.txt
	$(RUN) -m pip install --no-deps --no-build-isolation --editable .
	@touch $@

test: $(STAMP) ## Run the tests, without the slow ones
	$(RUN) -m pytest --numprocesses=$(JOBS) -m "not slow" $(ARGS)

test-all: $(STAMP) ## Run every test; the slow ones install packages
	$(RUN) -m pytest --numprocesses=$(JOBS) $(ARGS)

lint: $(STAMP) ## Check style: ruff and pyink
	$(RUN) -m ruff check .
	$(RUN) -m pyink --check .

format: $(STAMP) ## Fix what ruff can, then format with pyink
	$(RUN) -m ruff check --fix-only --select=I .
	$(RUN) -m pyink .

lock: ## Pin requirements anew (`make lock ARGS=--upgrade`: newest versions)
	@directory=$$(mktemp -d); trap 'rm -rf "$$directory"' EXIT; \
	for python in $(PYTHON); do \
	  if "$$python" -m venv "$$directory" 2>/dev/null; then break; fi; \
	done && \
	"$$directory/bin/python" -m pip install --quiet uv && \
	"$$directory/bin/uv" pip compile --quiet --universal \
	  --python-version $(firstword $(VERSIONS)) \
	  --generate-hashes --no-emit-index-url --no-header $(ARGS) \
	  --output-file requirements_lock.txt \
	  requirements.txt requirements_test.txt

build-files: $(STAMP) ## Write the BUILD files from the sources' imports
	$(RUN) -m tools.update_build_files

demo: $(STAMP) ## Train on digits with and without gates; export; report
	$(RUN) -m trainers.train --preset=digits --gate=none \
	  --workdir="$(WORKDIR)/ungated" --data_dir="$(DATA_DIR)"
	$(RUN) -m trainers.train --preset=digits \
	  --workdir="$(WORKDIR)/gated" --data_dir="$(DATA_DIR)"
	$(RUN) -m trainers.evaluate --strategies=all \
	  --workdir="$(WORKDIR)/ungated" --data_dir="$(DATA_DIR)"
	$(RUN) -m trainers.evaluate --strategies=all --threshold_curve \
	  --workdir="$(WORKDIR)/gated" --reference="$(WORKDIR)/ungated" \
	  --data_dir="$(DATA_DIR)"
	$(RUN) -m export.export_model --name=digits --gating=auto,fixed \
	  --format=saved_model,tflite \
	  --quantization=none,float16,dynamic_range,int8 \
	  --workdir="$(WORKDIR)/gated" --reference="$(WORKDIR)/ungated" \
	  --data_dir="$(DATA_DIR)" --output_dir="$(WORKDIR)/export"
	$(RUN) -m trainers.report \
	  --workdir="$(WORKDIR)/gated" --reference="$(WORKDIR)/ungated" \
	  --export="$(WORKDIR)/export" \
	  --data_dir="$(DATA_DIR)"

clean: ## Remove caches and build products; keep .venv and runs/
	rm -rf .pytest_cache .ruff_cache .setuptools build dist *.egg-info
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
