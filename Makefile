# `make run` shows an answer, `make test` checks every law in minutes, `make gate` what takes longer. Each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
ARGS ?=
# Two processes: each runs one half of the tests in their order, then takes from the other's half.
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
LOWEST := .venv/lowest/.installed
LEANS := tests/api tests/cli tests/report tests/study/test_evidence.py tests/study/test_gallery.py tests/study/test_store.py \
	$(addprefix tests/export/test_,export.py read.py spread.py) \
	$(addprefix tests/dashboard/test_,pages.py own_table.py startup.py headers.py report.py workspaces.py)
FUZZED := tests/export/test_fuzz.py tests/laws/test_card.py tests/laws/test_plan.py

.PHONY: run test short gate long again fuzz shapes lint types layers lowest docs clean

run: $(INSTALLED)
	@$(BIN)/cfq run --dataset diabetes --methods ptq,ptq_minmax --seeds 10
	@if [ -f dashboard/app.py ] && ! echo "$(ARGS)" | grep -q -- "--no-serve"; then $(BIN)/cfq dashboard; fi

test: lint layers $(INSTALLED)
	@$(MAKE) --no-print-directory -j2 types short

short: $(INSTALLED)
	$(PYTEST) -m "not gate"

gate: $(INSTALLED) # what `test` leaves out
	@$(MAKE) --no-print-directory --keep-going --output-sync=target -j2 long again

long: $(INSTALLED) # a browser, kills, a cluster, all tables, slow oracles
	$(PYTEST) -m gate

again: $(INSTALLED) # beside `long`, whose browser leaves a core idle
	@$(MAKE) --no-print-directory --keep-going fuzz shapes lowest PYTEST="$(BIN)/pytest -p no:xdist"

fuzz: $(INSTALLED) # thrice the edits that `test` tries
	CFQ_FUZZ=3 $(PYTEST) -m "not gate" -k "test_any_ or and_wrong" $(FUZZED)

shapes: $(INSTALLED) # the engine's annotations checked while it runs, by tests that go through all of it
	PYTHONPATH=tests $(PYTEST) -m "not gate" -p no:cacheprovider --jaxtyping-packages=cfq_core,shapes.check -k "not (same_material or other_teacher or other_budgets)" tests/contracts/test_allocators.py tests/contracts/test_metrics.py tests/contracts/test_methods.py tests/golden

lowest: $(LOWEST) # what leans on libraries, with the lowest versions that are allowed
	CFQ_DATA_DIR= $(dir $(LOWEST))bin/pytest -p no:cacheprovider -p no:xdist -m "not gate" $(LEANS)

$(LOWEST): pyproject.toml docs/lowest.txt
	$(PYTHON) -m venv $(dir $(LOWEST))
	$(dir $(LOWEST))bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint docs/lowest.txt
	touch $(LOWEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

docs: $(INSTALLED) # the site, into docs/site; needs no network
	$(BIN)/mkdocs build --quiet --strict --config-file docs/mkdocs.yml

clean:
	rm -rf docs/site .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(INSTALLED)
