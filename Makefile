# Every target says what it does; `make` alone prints them.
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
.PHONY: help install fmt lint servers test demo bench bench-all bench-compare large bench-quick chaos check clean soak model \
  reference picture docs dist licences audit-dependencies dashboards deb

help: ## print the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv with every extra and the tools of development

$(VENV)/.installed: requirements.lock pyproject.toml spoolsink/batch_tap/_columns.pyx
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
	$(PYTHON) -m pytest -n 2 --dist worksteal

demo: install ## the whole pipeline on this machine, with an embedded Kafka and S3
	$(VENV)/bin/spoolsink demo

BENCH = $(PYTHON) -m benchmarks
CONNECT = $(if $(PLUGIN),--connect-plugin $(PLUGIN))
bench: install servers ## records per CPU-second, also of each format, and memory with up to 10,000 S3 partitions
	$(BENCH) throughput --repeats 3
	$(BENCH) memory
	$(PYTHON) -m benchmarks.formats pairs

bench-all: install servers build/bench/.installed build/quix/.installed ## rivals, scaling, recovery, formats, plots: an hour; PLUGIN=DIR: Connect's S3 sink
	$(BENCH) throughput --repeats 3
	$(BENCH) memory $(CONNECT)
	$(BENCH) rivals --repeats 3 $(CONNECT)
	$(BENCH) scaling
	$(BENCH) recovery
	$(PYTHON) -m benchmarks.formats pairs
	$(PYTHON) -m benchmarks.formats memory --records 200000
	for name in memory rivals scaling; do build/bench/bin/python -m benchmarks.draw \
	  "$$(ls benchmarks/results/*-$$name.json | tail -1)" docs/images || exit 1; done

REPEATS ?= 3
bench-compare: install servers ## this checkout against BASE=revision, in turn: ratios; REPEATS=3
	$(BENCH) compare --base $(or $(BASE),$(error BASE=revision is missing)) --repeats $(REPEATS)

large: install servers ## one object of 5 GiB: memory, disk, requests
	$(PYTHON) -m benchmarks.large

bench-quick: install servers ## the same with little data: does it all work
	$(BENCH) quick

SECONDS ?= 60
chaos: install servers ## sinks, Kafka and S3 under faults, SECONDS=60 long; SEED= for one of before
	$(PYTHON) -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

HISTORIES ?= 1000000

soak: install servers ## a million simulated histories, the larger exhaustive search, the kill matrix, half an hour of bounds
	$(PYTHON) -m tests.simulation.soak $(HISTORIES)
	$(PYTHON) -m tests.exhaustive
	$(PYTHON) -m tests.crash.kill_matrix --seconds 3600
	$(PYTHON) -m tests.soak --seconds 1800

model: ## check the protocol's model with spin, and that its weakened variants are refuted
	docs/model/check.sh

check: test ## what CI runs

reference: install ## write the pages of docs/ that are made from the code
	$(PYTHON) -m tools reference

picture: install servers ## draw the status page of README.md, from a demo at work
	$(PYTHON) -m tools picture

docs: build/docs/.installed ## the site of docs/, into build/site; every link is checked
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --quiet --strict

dist: install build/release/.installed ## wheel, sdist and SBOM into dist/; the wheel runs the demo
	tools/dist.sh

licences: install ## the licence of everything that comes with the program
	$(PYTHON) -m tools licences

dashboards: install ## write deploy/grafana/*.json from their one source
	$(PYTHON) deploy/grafana/dashboards.py

deb: install ## a Debian package into dist/: command, units and user; EXTRAS= for fewer libraries
	deploy/deb/build.sh $(if $(filter undefined,$(origin EXTRAS)),,"$(EXTRAS)")

audit-dependencies: install build/release/.installed ## known weaknesses of what is pinned
	$(PYTHON) -m tools advisories build/release/bin/pip-audit

# Tools that neither the program nor its tests need, each group in an environment of its own.
build/%/.installed: pyproject.toml
	test -x build/$*/bin/python || python3 -m venv build/$*
	build/$*/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1,<27'
	build/$*/bin/python -m pip install --quiet --disable-pip-version-check --group $*
	touch $@

clean: ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f spoolsink/batch_tap/_columns.c spoolsink/batch_tap/_columns.*.so
