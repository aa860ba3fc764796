"""Score a notebook as nbgrader does, in this process: fast enough to run every mutant.

Only for notebooks of the course itself. tests/test_nbgrader.py compares the scores with
nbgrader's own.
"""

import contextlib
import functools
import io
import warnings

import numpy as np
import yaml
from nbformat import v4

from tools import exercises, notebooks


def run_cells(notebook, namespace=None):
    """Run all code cells in one namespace, going on after errors; return {cell id: error}."""
    namespace, errors = {"__name__": "__main__"} if namespace is None else namespace, {}
    for cell in notebooks.code_cells(notebook):
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a wrong answer may overflow: no news
                exec(compile(cell.source, f"<{cell.id}>", "exec"), namespace)
        except Exception as error:
            errors[cell.id] = error
    return errors


def run_question(master, cells):
    """Run an answer and its check after what all questions share; return {cell id: error}.

    The cells that are neither answer nor check (imports, data) run once for each master.
    """
    return run_cells(v4.new_notebook(cells=cells), dict(_shared_by_questions(master)))


@functools.cache
def _shared_by_questions(master):
    notebook = notebooks.read(master)
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("nbgrader")]
    namespace = {"__name__": "__main__"}
    assert run_cells(notebook, namespace) == {}
    return namespace


def question(notebook, answer):
    """Return the two cells of a question: its answer and its check."""
    return [c for c in notebook.cells if c.id in (answer, answer.replace("answer", "check"))]


def _graded(notebook, kind):
    return {
        cell.id: cell.metadata.nbgrader.points
        for cell in notebook.cells
        if cell.cell_type == kind and cell.metadata.get("nbgrader", {}).get("grade")
    }


def checks(notebook):
    """Return {cell id: points} of the check cells."""
    return _graded(notebook, "code")


def written(notebook):
    """Return {cell id: points} of the answers that a person grades."""
    return _graded(notebook, "markdown")


def score(notebook):
    """Return {check cell id: points earned}."""
    errors = run_cells(notebook)
    return {name: 0 if name in errors else points for name, points in checks(notebook).items()}


def mutants(master):
    """Return {answer id: list of mutants} of a master; see CONTRIBUTING.md for the format."""
    return yaml.safe_load((master.parent / "mutants.yml").read_text(encoding="utf-8"))


def with_stubs(master, notebook, every=1):
    """Return the notebook with its answers untouched: all, or with ``every=2`` the even ones."""
    stubs = {cell.id: cell.source for cell in exercises.release(master).cells}
    for cell in notebook.cells:
        kind, _, number = cell.id.rpartition("-")
        if kind == "answer" and int(number) % every == 0:
            cell.source = stubs[cell.id]
    return notebook


def with_mutant(master, answer, mutant):
    """Return the master's notebook with one answer replaced by a wrong one."""
    notebook = notebooks.read(master)
    cell = next(c for c in notebook.cells if c.id == answer)
    if "code" in mutant:
        cell.source = mutant["code"]
    else:
        for old, new in mutant["swap"].items():
            assert old in cell.source, f"{answer}, {mutant['name']}: no {old!r} to swap"
            cell.source = cell.source.replace(old, new)
    return notebook


@functools.cache
def functions_of(stem):
    """Return what those cells of a lesson define that begin with a function."""
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / f"{stem}.ipynb")
    cells = [c for c in notebooks.code_cells(notebook) if c.source.startswith("def ")]
    namespace = {"np": np}
    run_cells(v4.new_notebook(cells=cells), namespace)
    return namespace
