# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
JOB ?= examples/allreduce.yml
STORE ?= $(CURDIR)/.demo/state

# Everything below runs from the checkout's own environment, wherever a tool looks for python or ansible.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help venv demo test verify lint sanity bench-launch bench-store bench-health picture clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: pyproject.toml setup.py meta/ee-requirements.txt | .venv/bin/pip
	.venv/bin/pip install -qq --editable '.[ansible]'
	touch $@

.venv/test.stamp: .venv/runtime.stamp
	.venv/bin/pip install -qq --editable '.[ansible,test,torch]'
	touch $@

.venv/bench.stamp: .venv/runtime.stamp
	.venv/bin/pip install -qq --editable '.[ansible,bench]'
	touch $@

venv: .venv/test.stamp  ## make .venv with everything that the tests need

demo: .venv/runtime.stamp  ## train on three pretended nodes of this machine (JOB=examples/allreduce.yml)
	@export MUSTER_STORE='$(STORE)'; \
	ansible-playbook playbooks/launch.yml --inventory inventories/local --extra-vars '@$(JOB)'; code=$$?; \
	echo; muster status || code=$$?; echo; muster jobs || code=$$?; \
	if [ $$code = 0 ]; then \
	  echo; muster logs "$$(muster jobs --json | python -c 'import json, sys; print(json.load(sys.stdin)[-1]["id"])')"; \
	fi; exit $$code

test: .venv/test.stamp  ## run all tests (as root on Debian also those on real nodes)
	tests/lab/install.sh
	# Two runs: a process sees the library as `muster` or inside the collection, never both (their classes differ).
	pytest tests/unit/plugins
	pytest tests --ignore tests/unit/plugins --numprocesses auto --dist loadfile --no-loadscope-reorder

verify: .venv/runtime.stamp  ## test whether the nodes of an inventory are as they are to be (INVENTORY=hosts.yml)
	@test -n '$(INVENTORY)' || { echo 'Which nodes? make verify INVENTORY=hosts.yml'; exit 2; }
	@# Ansible warns of an inventory that is not there, and is content with no nodes at all.
	@case '$(INVENTORY)' in *,*) ;; *) test -e '$(INVENTORY)' || { echo 'There is no inventory $(INVENTORY)'; exit 2; };; esac
	ansible-playbook playbooks/verify.yml --inventory '$(INVENTORY)'

lint:  ## run ruff, mypy, import floors, yamllint, ansible-lint and the documentation lint
	.ci/lint

sanity:  ## run ansible-test sanity on the oldest and the newest ansible-core that is supported
	.ci/sanity

bench-launch: .venv/test.stamp  ## measure launch.yml against ping, the naive playbook, pdsh and ssh (root on Debian)
	tests/lab/install.sh
	python -m tests.bench.launch

bench-store: .venv/bench.stamp  ## measure the store beside stock TinyDB, SQLite and a bare append; draws build/bench-store.png
	python -m tests.bench.store

bench-health: .venv/test.stamp .venv/bench.stamp  ## measure the monitor beside nvitop-exporter for 10 minutes, and entering 1,000 reports
	python -m tests.bench.reports
	python -m tests.bench.monitor

picture: .venv/runtime.stamp  ## draw the README's picture of a run again
	python docs/picture.py

clean:  ## remove what building, testing and the demo left behind
	rm -rf .venv .demo build dist *.egg-info *.tar.gz .*_cache .hypothesis
