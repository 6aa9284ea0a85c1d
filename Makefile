# The two commands: `make demo` and `make test`. Each does all its own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= auto

.PHONY: demo test bench check setup locales picture train clean

demo: $(READY)  ## open the screen on the demo model (plain mode where no terminal is attached)
	@if [ -t 0 ] && [ -t 1 ]; then \
		exec $(BIN)/medgemma-tui --demo; \
	else \
		echo '糖尿病肾病的GFR分期标准是什么？' | $(BIN)/medgemma-tui --demo --plain --lang zh; \
	fi

# JOBS is the number of test processes: auto is told in tests/conftest.py, 0 is pytest's own alone (for a debugger).
test: $(READY) check  ## style, types, import contracts, catalogues, then every test
	$(BIN)/python -m compileall -q medgemma_tui  # hundreds of starts, and some of those programs write no byte code
	$(BIN)/pytest -n $(JOBS) --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## start-up, memory, terminal bytes, speed against transformers serve; never fails on a time
	$(BIN)/pip install --quiet --disable-pip-version-check -c provisioning/constraints.txt -e '.[bench]'
	$(BIN)/python -m tests.benchmarks

setup: $(READY)

$(READY): pyproject.toml provisioning/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed; set PYTHON=python3.x' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c provisioning/constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c provisioning/constraints.txt -e '.[engine,dev]'
	@touch $@

locales: $(READY)  ## extract messages from the sources, update the catalogues and compile them
	$(BIN)/python -m tests.tools.catalogues

picture: $(READY)  ## the README's picture, from the real screen
	$(BIN)/python -m tests.tools.picture

train: $(READY)  ## train the demo model again (under ten minutes on two cores)
	$(BIN)/python -m medgemma_tui.demo.train

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
