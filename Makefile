# What one does here. `make setup` is all a fresh Debian 12 needs.

PYTHON ?=
export PYTHON

.PHONY: setup demo demo-cluster test test-crash lint bench wheel install uninstall

setup:
	@scripts/setup.sh

demo: setup
	@scripts/demo

# Two pretend machines, a real store, a network through both.
demo-cluster: setup
	@scripts/demo-cluster

test: setup
	@.venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# The daemon and its dataplane, killed at every single step, under either firewall: an hour and
# more on two cores (the daemon's deaths alone took forty minutes beside other work).
# And encrypted networks by whole daemons, on an emulated machine: minutes.
test-crash: setup
	@FAIRLEAD_TRUST_ALL=1 .venv/bin/python -m pytest tests/trust tests/overlay/test_encrypted_daemons.py $(PYTEST_ARGS)

lint: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy src tests bench

bench: setup
	@bench/run

wheel: setup
	@scripts/wheel

install: setup
	@scripts/install

uninstall:
	@scripts/install remove
