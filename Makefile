# Offhook. `make help` lists what there is to do.
SHELL := /bin/bash
BIN := .venv/bin
DATA ?= data
SIP ?= 127.0.0.1:5060
# How many tests run side by side: most of them wait, for phones and for servers that start.
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run call lint check test test-all bench docs clean

help: ## This list
	@echo "Offhook: events that never get lost. What you can do:"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14 | sed 's/^/  make /'
	@echo; echo "Start with \`make run\`. The README tells the rest."

setup: ## What Offhook needs to run: a virtual environment, its packages, an Asterisk
	@scripts/setup.sh run

setup-test: ## The same, and what the tests need: SIPp, PostgreSQL, Node packages
	@scripts/setup.sh test

run: setup ## Set up, then run Offhook with its data in ./data
	@exec $(BIN)/offhook serve --data $(DATA)

call: ## Dial the running Offhook once with SIPp, talk for eight seconds, hang up: shows the events as they come
	@scripts/setup.sh call
	@$(BIN)/python scripts/call.py --data $(DATA) $(SIP)

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 -p offhook.receiver
	$(BIN)/lint-imports

check: lint ## Format, lint, types, layers, and the tests without a network or a process
	$(BIN)/pytest -q tests/domain tests/core tests/test_settings.py tests/test_docs.py

test: lint ## Set up and run everything that CI runs
	$(BIN)/pytest -m "not alone" --numprocesses $(WORKERS) --dist worksteal --durations 30
	$(BIN)/pytest -m alone

test-all: ## As test, with many more rounds of killing and of hostile input
	OFFHOOK_TEST_ROUNDS=20 $(MAKE) --no-print-directory test

bench: setup-test ## Figures: events per second, latency, CPU and memory with a backlog of a million; what a decision costs
	$(BIN)/python bench/end_to_end.py
	$(BIN)/python bench/core.py

docs: setup-test ## Write the generated reference pages anew
	$(BIN)/python scripts/reference.py

clean: ## Throw away the virtual environment and all that was fetched (not your data)
	rm -rf .venv examples/node/node_modules
