# Every target makes or refreshes .venv by itself. On a fresh machine: Python >= 3.11, make and git are all it takes.
#
#   make PYTHON=python3.12 demo                                                   another Python
#   make PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" demo   PyTorch without CUDA

PYTHON ?= python3
PIP_ARGS ?=
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint bench clinic clinic-cure clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "surefoot needs Python 3.11 or newer; make PYTHON=/path/to/python3.11 names one" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (PyTorch is large; this happens once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test,dev]'
	@touch $@

DEMO := run --out demo examples/char_gpt.py --lr 1.0 --steps 200

demo: $(READY)  ## watch a GPT whose learning rate ruins it, and read why
	@rm -rf demo
	@echo "$$ surefoot $(DEMO)"
	@OMP_NUM_THREADS=1 $(BIN)/surefoot $(DEMO)  # on a busy machine two threads wait for each other longer than they work

test: $(READY)
	@# PYTHONDONTWRITEBYTECODE, which images of Python like to set, would have every process of the tests compile anew
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(READY)
	@for race in benchmarks/*.py; do echo "== $$race"; $(BIN)/python $$race || exit 1; done

clinic: $(READY)  ## score the diagnoses on scripts with known faults; writes the confidence of findings
	@$(BIN)/python clinic/run.py --split all --write-confidence

clinic-cure: $(READY)  ## apply each script's first remedy by machine, and see whether it is well
	@$(BIN)/python clinic/cure.py --split all

clean:  ## what the other targets made; .venv stays
	@rm -rf demo build dist .pytest_cache .hypothesis .ruff_cache .mypy_cache
	@find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
