# What a newcomer guesses. Every word sets up what it needs itself.
PYTHON ?= python3
EXTRAS ?= dev
JOBS ?= 2
# These compare with Ultralytics, or export its weights.
ifneq ($(filter benchmark accuracy noise,$(MAKECMDGOALS)),)
ifeq ($(findstring torch,$(EXTRAS)),)
override EXTRAS := $(EXTRAS),torch
endif
endif
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/python -c 'from pipeline.core.warm_up import warm_up; warm_up()'
PEERS := build/peers
STAMP := .make/$(shell echo '$(EXTRAS)' | tr ',' '-')

.DEFAULT_GOAL := help
.PHONY: help setup demo check format test kafka benchmark accuracy core noise schemas clean

help: ## show these words
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv (EXTRAS=dev,torch adds Ultralytics and model export)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gantry needs Python 3.11 or later, this is %d.%d; name another with PYTHON=python3.11" % sys.version_info[:2])'
	@echo 'installing $(EXTRAS) into $(VENV): a minute or two, and more than a gigabyte'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	$(COMPILE)
	@mkdir -p .make && touch $@

demo: $(STAMP) ## watch vehicles being counted, live, with nothing but the package, until Ctrl-C
	$(BIN)/gantry demo $(ARGS)

check: $(STAMP) ## style, types and the rules of the house (what main always passes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## mend what a tool can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## all tests this machine can run; ends with what was skipped and how to get it
	@$(COMPILE)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadgroup --max-worker-restart 0 --cov --cov-report=term:skip-covered $(ARGS)

kafka: ## a real Apache Kafka on this machine's JVM, on port 9092, until Ctrl-C (needs Java and Maven)
	$(PYTHON) deploy/kafka/kafka.py run $(ARGS)

benchmark: $(STAMP) ## the figures of the README, with the machine beside them (needs footage)
	$(BIN)/python benchmarks/detect.py $(ARGS)
	$(BIN)/python benchmarks/chain.py $(ARGS)

accuracy: $(STAMP) $(PEERS)/.stamp ## counts by gantry and its peers against truth; ARGS=--small is quick, all of it takes days
	PYTHONPATH=$(PEERS) OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.accuracy $(ARGS)

core: $(STAMP) $(PEERS)/.stamp ## frames a second of the core on one processor core, against its peers on the same boxes
	PYTHONPATH=$(PEERS) OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.core $(ARGS)

noise: $(STAMP) ## fit the noise of simulated cameras to YOLOv8n's real output (needs footage)
	$(BIN)/python -m benchmarks.noise --write $(ARGS)

$(PEERS)/.stamp: benchmarks/accuracy/peers.txt constraints.txt | $(STAMP)
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt --target $(PEERS) -r benchmarks/accuracy/peers.txt
	@touch $@

schemas: $(STAMP) ## write the published JSON Schemas anew
	$(BIN)/python -m pipeline.config.schema
	$(BIN)/python -m pipeline.simulate.schema

clean: ## remove what make made
	rm -rf $(VENV) .make .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
