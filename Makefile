# Every target says what it does; `make` alone prints them.
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
.PHONY: help install fmt lint servers test demo bench bench-quick check clean

help: ## print the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv with every extra and the tools of development

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v python3 >/dev/null || { echo "python3 (3.11 or later) is missing"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is older than 3.11"; exit 1; }
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

fmt: install ## format the code
	$(PYTHON) -m ruff check --fix-only --quiet .
	$(PYTHON) -m ruff format --quiet .

lint: install ## ruff and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

servers: ## fetch Apache Kafka and build the S3 server, into a cache outside the checkout
	tests/servers/fetch.sh

test: lint servers ## lint, then every test, on real Kafka and S3
	$(PYTHON) -m pytest

demo: install ## the whole pipeline on this machine, with an embedded Kafka and S3
	$(VENV)/bin/spoolsink demo

bench: install servers ## records per CPU-second, and memory with up to 10,000 S3 partitions
	$(PYTHON) -m benchmarks throughput --repeats 3
	$(PYTHON) -m benchmarks memory

bench-quick: install servers ## the same with little data: does it all work
	$(PYTHON) -m benchmarks quick

check: test ## what CI runs

clean: ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
