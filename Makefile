# Three commands: `make run` shows an answer, `make test` checks every law in minutes, `make gate` what is long. Each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
ARGS ?=
# Two processes; each takes a half of the tests as they stand, and from the other's half when it is done with its own.
PYTEST := $(BIN)/pytest -n 2 --dist worksteal

.PHONY: run test gate shapes lint types layers clean

run: $(INSTALLED)
	@$(BIN)/cfq run --dataset diabetes --methods ptq,ptq_minmax --seeds 10
	@if [ -f dashboard/app.py ] && ! echo "$(ARGS)" | grep -q -- "--no-serve"; then $(BIN)/streamlit run dashboard/app.py; fi

test: lint types layers $(INSTALLED)
	$(PYTEST) -m "not gate"

gate: $(INSTALLED) # what `test` leaves: the long tests (a browser, kills, fuzz, all tables, slow oracles) and the shapes
	$(PYTEST) -m gate
	@$(MAKE) --no-print-directory shapes

shapes: $(INSTALLED) # the engine's annotations checked while it runs
	@PYTHONPATH=tests $(PYTEST) -p no:cacheprovider --jaxtyping-packages=cfq_core,shapes.check tests/contracts tests/laws tests/golden

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(INSTALLED)
