# Every target works on a fresh clone with nothing but Python 3.11 and make; the set-up is done once, in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST ?= -n 2 --dist worksteal
RUN := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest

.PHONY: demo check test fast lint scripts format docs bench wheel clean

demo: .venv/.installed  ## dissect the bundled generator and say where the report is
	$(BIN)/ganatomy demo --out demo

check: lint fast  ## style, types, imports and the fast tests: minutes, for every commit

test: lint docs  ## all that must hold before a change lands, slow tests too
	$(RUN) $(PYTEST)

fast: .venv/.developed  ## the fast tests alone
	$(RUN) -m "not slow and not browser" $(PYTEST)

lint: .venv/.developed scripts  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

scripts:  ## types of the web app's scripts, where there is npm
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.installed && \
		node_modules/.bin/tsc --project jsconfig.json; \
	else echo "npm is not here: the web app's scripts are not type-checked"; fi

format: .venv/.developed  ## mend what can be mended without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.developed  ## the user guide, warnings fatal
	$(BIN)/sphinx-build --quiet -W -n --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: .venv/.developed  ## speed and memory, beside the usual way
	GOMP_SPINCOUNT=1000 $(BIN)/python benchmarks/dissect.py

wheel: .venv/.developed  ## a wheel in dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## all that can be made again
	rm -rf .venv node_modules build dist demo docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/.developed: .venv/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@
