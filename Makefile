# With another environment: make check PYTHON=path/to/python
PYTHON ?= .venv/bin/python

.PHONY: check test integration figures settings

check:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(dir $(PYTHON))lint-imports

test:
	$(PYTHON) -m pytest

integration:
	$(PYTHON) -m pytest -m "integration and not slow"

figures:
	$(PYTHON) docs/figures.py

settings:
	$(PYTHON) docs/figures.py settings
