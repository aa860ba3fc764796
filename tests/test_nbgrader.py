"""nbgrader's own commands make our releases and give our scores."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scoring import checks, mutants, score, with_mutant, with_stubs
from tools import exercises, notebooks

MASTERS = notebooks.masters()


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """A copy of the course in which nbgrader's own commands are run."""
    folder = tmp_path_factory.mktemp("class")
    shutil.copy(notebooks.ROOT / "nbgrader_config.py", folder)
    shutil.copytree(notebooks.ROOT / "solutions", folder / "solutions")
    (folder / "data").symlink_to(notebooks.ROOT / "data")
    return folder


def nbgrader(folder, *arguments):
    programs = Path(sys.executable).parent  # nbgrader looks for alembic on the PATH
    command = [str(programs / "nbgrader"), *arguments]
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    del environment["COURSE_DATA"]  # as in a class: the configuration says where the digits are
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_nbgraders_own_commands_agree(master, classroom):
    """`generate_assignment` makes our release; `autograde` gives our scores."""
    from nbgrader.api import Gradebook

    stem = master.stem
    nbgrader(classroom, "generate_assignment", stem)
    released = classroom / "exercises" / stem
    assert [path.name for path in released.iterdir()] == [f"{stem}.ipynb"]
    theirs = notebooks.read(released / f"{stem}.ipynb")
    theirs.metadata.pop("course", None)
    assert notebooks.canonical(theirs) == notebooks.canonical(exercises.release(master))

    answer, wrong = next(iter(mutants(master).items()))
    submissions = {
        "perfect": notebooks.read(master),
        "mixed": with_stubs(master, with_mutant(master, answer, wrong[0]), every=2),
    }
    for student, notebook in submissions.items():
        notebooks.write(notebook, classroom / "submitted" / student / stem / f"{stem}.ipynb")
    nbgrader(classroom, "autograde", stem)
    with Gradebook(f"sqlite:///{classroom}/gradebook.db") as book:
        found = {
            student: {
                grade.name: grade.auto_score
                for grade in book.find_submission_notebook(stem, stem, student).grades
                if grade.name.startswith("check-")
            }
            for student in submissions
        }
    full = checks(notebooks.read(master))
    assert found["perfect"] == full
    assert found["mixed"] == score(submissions["mixed"])
    assert found["mixed"]["check-1"] == found["mixed"]["check-2"] == 0 < found["mixed"]["check-3"]
