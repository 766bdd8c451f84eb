# Two commands set all up on a fresh machine: `make demo` runs the main job, `make test` the tests.
VENV ?= .venv
PYTHON ?= python3.11
BIN = $(VENV)/bin

.PHONY: demo test check docs setup clean

demo: setup ## train, adapt and parse on the embedded toy treebanks; writes demo/index.html
	$(BIN)/sublingual demo demo

test: setup ## the tests (SUBLINGUAL_UD=FOLDER adds those that need real treebanks)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup ## formatting, lint, types, the import contract
	$(BIN)/ruff format --check src tests scripts bench
	$(BIN)/ruff check src tests scripts bench
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs ## the documentation as a site in site/
	$(BIN)/mkdocs build --strict --quiet

$(VENV)/.docs: $(VENV)/.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

setup: $(VENV)/.done ## .venv with the `sublingual` command, versions pinned, torch's CPU build where no GPU is

$(VENV)/.done: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	touch $@

clean:
	rm -rf $(VENV) demo site
