# Everything runs in a virtual environment that these rules make. Installing is skipped while the
# files that say what to install are older than the last time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: demo digits characters test check bench clean

demo: $(INSTALLED)
	$(BIN)/python -m tritonsym

# make digits ARGUMENTS="--epochs 20 --output FOLDER"
digits characters: $(INSTALLED)-examples
	$(BIN)/python -m tritonsym.examples.$@ $(ARGUMENTS)

test: $(INSTALLED)-test
	$(BIN)/pytest --numprocesses auto --dist loadgroup

check: $(INSTALLED)-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(MAKE) test

# make bench ARGUMENTS="--quick --only softmax"
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(ARGUMENTS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that making an environment puts there: without it, it is made again.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) --editable .
	touch $@

$(INSTALLED)-examples: $(INSTALLED)
	$(INSTALL) --editable '.[examples]'
	touch $@

$(INSTALLED)-test: $(INSTALLED)
	$(INSTALL) --editable '.[test]'
	touch $@

$(INSTALLED)-dev: $(INSTALLED)-test
	$(INSTALL) --editable '.[dev]'
	touch $@
