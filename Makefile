# Every target makes what it needs: on a machine with Python 3.11 or 3.12, a C++ compiler and cmake,
# `make demo` is the first command to type.
PYTHON_HERE = .venv/bin/python

.PHONY: setup setup-docs demo demo-full test test-all bench soak lint docs

setup:
	@./setup.sh

setup-docs: setup
	@$(PYTHON_HERE) -m pip install --quiet --requirement requirements-docs.txt

demo: setup
	$(PYTHON_HERE) -m benchmarks demo

demo-full: setup
	$(PYTHON_HERE) -m benchmarks demo_full

# two processes, each the tests of one file after another; without the tests that are marked slow
test: setup
	$(PYTHON_HERE) -m pytest -n 2 --dist loadfile -m "not slow"

# with the packages of the site, so that it is built too
test-all: setup-docs
	$(PYTHON_HERE) -m pytest -n 2 --dist loadfile

bench: setup
	$(PYTHON_HERE) -m benchmarks throughput

soak: setup
	$(PYTHON_HERE) -m benchmarks soak

lint: setup
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m mypy

# the site in build/site: without warnings, every link checked, every number that of its result
docs: setup-docs
	$(PYTHON_HERE) -m benchmarks docs --check
	NO_MKDOCS_2_WARNING=1 $(PYTHON_HERE) -m mkdocs build --strict --quiet
	$(PYTHON_HERE) docs/_site/links.py build/site
