# Two commands: `make run` shows an answer, `make test` checks everything. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
ARGS ?=

.PHONY: run test tests shapes lint types layers clean

run: $(INSTALLED)
	@$(BIN)/cfq run --dataset diabetes --methods ptq,ptq_minmax --seeds 10
	@if [ -f dashboard/app.py ] && ! echo "$(ARGS)" | grep -q -- "--no-serve"; then $(BIN)/streamlit run dashboard/app.py; fi

test: lint types layers $(INSTALLED)
	@$(MAKE) --no-print-directory -j2 tests shapes

tests: $(INSTALLED)
	$(BIN)/pytest

shapes: $(INSTALLED) # the engine's annotations checked while it runs, on the second core; told where it fails
	@mkdir -p .pytest_cache
	@PYTHONPATH=tests $(BIN)/pytest -p no:cacheprovider --jaxtyping-packages=cfq_core,shapes.check tests/contracts tests/laws tests/golden \
		> .pytest_cache/shapes.log 2>&1 && tail -1 .pytest_cache/shapes.log || { cat .pytest_cache/shapes.log; exit 1; }

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
