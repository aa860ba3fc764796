"""What the tests of grading share: processes behind the wall, and submissions to grade."""

import functools
import json
import os

import pytest
from nbformat import v4

from tests.scoring import checks
from tools import notebooks
from tools.grading import demo, grade, score, wall

STEM = "01_convolution_by_hand"
LIMITS = wall.Limits(notebook=90, call=6, memory=1500 * wall.MIB, disk=8 * wall.MIB)
ROOT = notebooks.ROOT


def started(limits):
    """Yield the process that forks behind the wall. Where there can be no wall, say so and skip."""
    if reason := wall.missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"the wall is not tested: {reason}")
    os.environ |= {"A_SECRET": "of the instructor's", "COURSE_SEED": "2026"}
    zygote = wall.Zygote(limits, grade.DATA)
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def zygote():
    yield from started(LIMITS)


@pytest.fixture(scope="module")
def patient_zygote():
    yield from started(wall.Limits())


@functools.cache
def master(stem=STEM):
    return grade.master_of(stem)


@functools.cache
def full(stem=STEM):
    return {name: float(most) for name, most in checks(notebooks.read(master(stem))).items()}


FULL = full()


def handed_in(answers, more=(), stem=STEM):
    """Return a right submission with other text in some answer cells, and cells after them."""
    notebook = demo.handed_in(master(stem), answers)
    notebook.cells += [v4.new_code_cell(source) for source in more]
    return notebook


def points(result):
    return {q.name: q.points for q in result.questions if q.points is not None}


def run(zygote, answers, more=(), stem=STEM):
    return score.grade(master(stem), handed_in(answers, more, stem), zygote)


def run_cells(zygote, change, stem=STEM):
    """Grade a right submission after ``change(notebook, {id: cell})``."""
    notebook = handed_in({}, stem=stem)
    change(notebook, {cell.id: cell for cell in notebook.cells})
    return score.grade(master(stem), notebook, zygote)


def folder_of(tmp_path, files):
    """Write files, {name: bytes, text or notebook}, into a new folder."""
    folder = tmp_path / "handed in"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
