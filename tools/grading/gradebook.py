"""nbgrader's gradebook and its folder of graded notebooks, so that formgrader can be used.

The marks of the tests are written into it; marks that a person has given stay, and are read back.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook

from tools import exercises, notebooks
from tools.grading import score
from tools.grading.report import Rows, safe_name

CONFIG = """\
# Written by make grade. Run "jupyter lab" in this folder; the menu Nbgrader > Formgrader opens it.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "convolution-by-hand"
c.CourseDirectory.root = {root!r}
c.CourseDirectory.source_directory = {source!r}
"""


def write(rows: Rows, out: Path) -> None:
    """Write the marks of all graded submissions, and the notebooks for formgrader, into ``out``.

    Sets the points of the written answers in ``rows`` to those that a person has given before.
    """
    # nbgrader calls the program alembic, which lies beside this Python.
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    (out / "nbgrader_config.py").write_text(
        CONFIG.format(root=str(out.resolve()), source=str(notebooks.ROOT / "solutions")), "utf-8"
    )
    warnings.filterwarnings("ignore", module="nbgrader")  # of its own use of SQLAlchemy
    with Gradebook(f"sqlite:///{(out / 'gradebook.db').resolve()}") as book:
        for stem in sorted({submission.assignment for submission, r in rows if r.questions}):
            _describe(book, stem)
        for submission, result in rows:
            if not result.questions:
                continue
            stem, student = submission.assignment, safe_name(submission.student)
            folder = out / "autograded" / student / stem
            folder.mkdir(parents=True, exist_ok=True)
            graded = _graded(stem, submission.notebook, result)
            nbformat.write(graded, folder / f"{stem}.ipynb")
            book.update_or_create_student(student)
            book.update_or_create_submission(stem, student)
            for question in result.questions:
                _mark(book, stem, student, question)
        book.db.commit()


def _describe(book: Any, stem: str) -> None:
    """Tell the gradebook of an exercise and its graded cells."""
    book.update_or_create_assignment(stem)
    book.update_or_create_notebook(stem, stem)
    for cell in score.released(_master(stem)).cells:
        facts = cell.metadata.get("nbgrader", {})
        if facts.get("grade"):
            kind = {"max_score": float(facts["points"]), "cell_type": cell.cell_type}
            book.update_or_create_grade_cell(cell.id, stem, stem, **kind)
        if facts.get("solution"):
            book.update_or_create_solution_cell(cell.id, stem, stem)
        if facts:
            kind = {"cell_type": cell.cell_type, "source": cell.source, "locked": facts["locked"]}
            book.update_or_create_source_cell(cell.id, stem, stem, **kind)


def _mark(book: Any, stem: str, student: str, question: score.Question) -> None:
    """Write the points of one question; read those of a person, if there are any."""
    grade = book.find_grade(question.name, stem, stem, student)
    if question.status != "to read":
        grade.auto_score, grade.needs_manual_grade = question.points, False
        return
    grade.needs_manual_grade = grade.manual_score is None
    question.points = grade.manual_score


def _graded(stem: str, submission: Any, result: score.Result) -> notebooks.Notebook:
    """Return a submission in order, with what its cells printed, and the rubric below answers."""
    found, _ = score.find_cells(submission, score.released(_master(stem)))
    rubrics = {cell.id: cell.source for cell in notebooks.read(_master(stem)).cells}
    marks = {question.name: question for question in result.questions}
    graded = exercises.release(_master(stem))
    cells = []
    for cell in graded.cells:
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.id in found:
            cell.source = found[cell.id].source
        if cell.cell_type == "code":
            told = result.printed.get(cell.id, {})
            texts = [str(told.get("printed", "")), *(told.get("error") or [""])[-1:]]
            mark = marks.get(cell.id)
            texts += [f"{mark.status} {mark.message}".strip()] if mark else []
            text = "\n".join(text for text in texts if text)
            cell.outputs = [nbformat.v4.new_output("stream", text=text)] if text else []
        cells.append(cell)
        if cell.id in marks and cell.cell_type == "markdown":
            rubric = re.sub(r"^### (BEGIN|END) SOLUTION\n?", "", rubrics[cell.id], flags=re.M)
            text = f"**For the grader only.** {rubric}"
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"rubric-{cell.id}"))
    graded.cells = cells
    return graded


def _master(stem: str) -> Path:
    return next(path for path in notebooks.masters() if path.stem == stem)
