# make run    opens the demo          make lint   style, types, import rules
# make test   runs every test         make bench  measures speed
# make faults twenty runs on an exchange in trouble for a simulated week
# make bench-live    a thousand live runs
# make bench-ui      the console with 200 live runs and 5,000 events a second
# make parity   every golden case live, with both triggers
# make kill   kills a trading process at every write point and 300 times at random

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
# More arguments for pytest: make test PYTEST="-k deck"
PYTEST ?=

BIN := $(VENV)/bin
# Warnings of build tools are about this folder being installed as it lies, which is meant.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --no-input

# On all cores, which pip does on one. What does not compile is nothing that is ever imported.
COMPILE = -@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib

.PHONY: run test parity lint format bench bench-live bench-ui bench-walker faults kill picture dev clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	$(BIN)/signaldeck demo

# Compiled once, whatever the environment says of bytecode: the tests start some hundred processes.
test: $(VENV)/.installed-dev
	$(BIN)/python -m compileall -q -j $(JOBS) console engine screens strategies tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One process and nothing beside it: two measurements at once disturb each other.
bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.workloads

# Eight strategies compared by one process and by two.
bench-walker: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.walker_speed

# A thousand live runs for an hour; a week of them: make bench-live MINUTES=10080
MINUTES ?= 60
bench-live: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.live_load --minutes $(MINUTES)

# Ten minutes; make bench-ui MINUTES=1 is shorter.
bench-ui: MINUTES = 10
bench-ui: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.ui_load --minutes $(MINUTES)

# make test replays long cases with one trigger, in turns.
parity: $(VENV)/.installed-dev
	PARITY=all $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/parity

# The seed is printed: make kill KILL="--seed 7" repeats, KILL="--kills 2000" goes on for longer.
KILL ?=
kill: $(VENV)/.installed-dev
	$(BIN)/python -m tests.kills $(KILL)

# The seed is printed: make faults FAULTS="--seed 7" repeats; --days 1 is shorter.
FAULTS ?=
faults: $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults.week $(FAULTS)

# The picture of the README, from a demo of its own: a minute and a quarter.
picture: $(VENV)/.installed-dev
	$(BIN)/python -m tests.picture

dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "signaldeck needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
# The pip that comes with Python 3.11 takes twice as long to choose among a package's files.
	$(PIP) install -q -c constraints.txt --upgrade pip

# Stamp files: installing again is due only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt --no-compile -e .
	$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt --no-compile -e '.[dev]'
	$(COMPILE)
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
