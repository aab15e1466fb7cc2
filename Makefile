# The two commands are `make drive` and `make test`; everything they need is set up on the way.
PYTHON ?= python3
RUN := .venv/bin/python
ENVIRONMENT := $(PYTHON) tools/in_environment.py
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup drive test test-long lint format lock docs clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## system libraries, .venv from the lock files, messages and packages (colcon)
	@$(PYTHON) tools/prepare_workspace.py

drive: setup ## drive the city over ROS 2 with report and video, or make drive CLIP=DIR
	@./vadv2 drive $(if $(CLIP),--clip $(CLIP))

test: setup ## the tests of every package
	@$(ENVIRONMENT) -m pytest -n $(WORKERS) --dist loadfile

test-long: setup ## the tests that take minutes
	@$(ENVIRONMENT) -m pytest -n $(WORKERS) --dist loadfile -m long --timeout 3000

lint: setup ## ruff, and mypy --strict on the cores
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy --no-error-summary $$($(PYTHON) tools/cores.py)

format: setup ## ruff format
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

lock: ## pin requirements*.in to what .venv holds
	@$(RUN) tools/lock_requirements.py

docs: setup ## regenerate config/*.param.yaml and the parameter tables of the READMEs
	@./vadv2 config write

clean: ## remove what the build made; .venv stays
	rm -rf build install log out .pytest_cache .mypy_cache .ruff_cache
