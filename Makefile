# Every target works on a fresh clone with nothing but Python 3.11 and make; the set-up is done once, in $(VENV).
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
PYTEST ?= -n 2 --dist worksteal
RUN := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest

.PHONY: demo check test fast minimum newest lint scripts format docs bench wheel clean

demo: $(VENV)/.installed  ## dissect the bundled generator and say where the report is
	$(BIN)/ganatomy demo --out demo

check: lint fast  ## style, types, imports and the fast tests: minutes, for every commit

test: lint docs  ## all that must hold before a change lands, slow tests too
	$(RUN) $(PYTEST)

fast: $(VENV)/.developed  ## the fast tests alone
	$(RUN) -m "not slow and not browser" $(PYTEST)

# Deprecations are expected of versions that constraints.txt does not pin.
minimum:  ## the fast tests on the oldest versions that pyproject.toml allows: gigabytes, in .venv-minimum
	$(MAKE) fast VENV=.venv-minimum CONSTRAINTS=.venv-minimum/constraints.txt PYTEST="$(PYTEST) -W default"

newest:  ## the fast tests on the newest versions there are: gigabytes, in .venv-newest
	$(MAKE) fast VENV=.venv-newest CONSTRAINTS=/dev/null PYTEST="$(PYTEST) -W default"

lint: $(VENV)/.developed scripts  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

scripts:  ## types of the web app's scripts, where there is npm
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.installed && \
		node_modules/.bin/tsc --project jsconfig.json; \
	else echo "npm is not here: the web app's scripts are not type-checked"; fi

format: $(VENV)/.developed  ## mend what can be mended without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.developed  ## the user guide, warnings fatal
	$(BIN)/sphinx-build --quiet -W -n --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.developed  ## speed and memory, compared with a baseline
	GOMP_SPINCOUNT=1000 $(BIN)/python benchmarks/dissect.py

wheel: $(VENV)/.developed  ## a wheel in dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## all that can be made again
	rm -rf .venv .venv-minimum .venv-newest node_modules build dist demo docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

.venv-minimum/constraints.txt: pyproject.toml recipes/lower_bounds.py
	mkdir -p $(@D)
	$(PYTHON) recipes/lower_bounds.py > $@

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing PyTorch and others in $(VENV): some minutes, once'
	$(INSTALL) --editable '.[web,plot]'
	touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@
