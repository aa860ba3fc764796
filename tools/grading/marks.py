"""What a mark is: its points from the tests and from a person, its total, and how it is shown.

The table, the feedback, the summary, the exports and nbgrader's gradebook all take it from here.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import html
import os
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools import notebooks
from tools.grading import names, score, values
from tools.grading.roster import Student
from tools.grading.score import Question, Result
from tools.grading.submissions import Submission

Rows = list[tuple[Submission, Result]]
READ, CHANGED = "read", "changed by a person"
AGAIN = "read before, the text has changed"
# Not a failure: it was right, it is a person's to say, or nothing was tried.
NO_FAILURE = ("passed", "to read", "not answered", READ, AGAIN)


@dataclass
class Mark(Question):
    """A question with what a person has said of it. ``points`` is what counts."""

    tested: float | None = None  # points of the tests; None for an answer in words
    tested_status: str = ""
    extra: float = 0.0
    comment: str = ""
    before: float | None = None  # what a person gave for an earlier answer, if it has changed
    before_comment: str = ""
    text: str = ""  # the answer as it was handed in


def mark_of(question: Question) -> Mark:
    """Return a question as a mark; one that no person has touched if it is none yet."""
    if isinstance(question, Mark):
        return question
    return Mark(**asdict(question), tested=question.points, tested_status=question.status)


@dataclass(frozen=True)
class Standing:
    """How a hand-in stands: its points, of how many, and what is still to be read."""

    points: float | None  # before the rule for late work; None: nothing was graded
    maximum: float
    unread: float = 0.0  # points of answers that a person has not read yet
    factor: float = 1.0

    @property
    def after(self) -> float | None:
        """Return the points that the rule for late work leaves."""
        return None if self.points is None else round(self.points * self.factor, 2)

    def __str__(self) -> str:
        if self.points is None:
            return "not graded"
        if self.unread:
            so_far = f"{number(self.points)} of {number(self.maximum - self.unread)} so far"
            return f"{so_far}, {points(self.unread)} to be read"
        return f"{number(self.points)} of {points(self.maximum)}"


def total(result: Result) -> tuple[float | None, float]:
    """Return the points before the rule for late work, and the maximum of the whole exercise.

    The points are None if nothing was graded; an answer that is not read yet has none so far.
    """
    maximum = sum(question.maximum for question in result.questions)
    given = [question.points for question in result.questions if question.points is not None]
    return (round(sum(given), 4) if result.questions else None), maximum


def standing(submission: Submission, result: Result) -> Standing:
    """Return how a hand-in stands. Its maximum is that of its exercise, graded or not."""
    got, maximum = total(result)
    unread = sum(question.maximum for question in result.questions if question.points is None)
    return Standing(got, maximum or maximum_of(submission.assignment), unread, submission.factor)


def person(submission: Submission) -> tuple[str, str]:
    """Return what is the same for all hand-ins of one person: an id, else an e-mail, else a name.

    A hand-in of nobody's is a person of its own.
    """
    student = submission.student
    for kind in ("id", "email", "name"):
        if getattr(student, kind):
            return kind, getattr(student, kind).casefold()
    return "key", submission.key


def who(submission: Submission) -> str:
    """Return the name to show, on one line, without anything that cannot be seen."""
    return names.visible(submission.who, 200) or submission.key


# Exercises


@functools.cache
def master_of(assignment: str) -> Path | None:
    """Return the master notebook of an exercise, or None if there is no such exercise."""
    return next((path for path in notebooks.masters() if path.stem == assignment), None)


@functools.cache
def title(assignment: str) -> str:
    """Return the title of an exercise, or the name itself if there is none."""
    path = master_of(assignment)
    if path is None:
        return assignment
    return str(notebooks.read(path).cells[0].source.splitlines()[0].lstrip("# "))


@functools.cache
def maximum_of(assignment: str) -> float:
    """Return the points of an exercise; 0 if there is none of this name."""
    path = master_of(assignment)
    cells = score.released(path).cells if path else []
    return sum(float(cell.metadata.get("nbgrader", {}).get("points", 0)) for cell in cells)


def answers(submission: Submission, result: Result) -> dict[str, str]:
    """Return by question the text of the student's answer cell, as it was handed in."""
    path = master_of(submission.assignment)
    if path is None or not result.questions or not submission.packed:
        return {}
    found = found_cells(submission, path)
    cells = {question.name: found.get(answer_of(question.name)) for question in result.questions}
    return {name: values.clean(cell.source, 100_000) for name, cell in cells.items() if cell}


def found_cells(submission: Submission, path: Path) -> dict[str, Any]:
    """Return a student's cells by the ids of the exercise's."""
    return score.find_cells(submission.notebook, score.released(path))[0]


def answer_of(question: str) -> str:
    """Return the id of the answer cell of a question: that of check-3 is answer-3."""
    return question.replace("check-", "answer-")


# Texts


def number(value: float | None) -> str:
    """Return a number of points, without needless digits; an empty text for None."""
    return "" if value is None else f"{round(value, 2):.2f}".rstrip("0").rstrip(".")


def points(value: float) -> str:
    """Return a number of points with its word."""
    return f"{number(value)} point{'' if value == 1 else 's'}"


def shown(text: str, longest: int = 1_000) -> str:
    """Return a name or a file for a page: escaped, and it cannot turn the text around it."""
    return f"<bdi>{html.escape(names.visible(text, longest))}</bdi>"


def block(text: str, longest: int = 20_000) -> str:
    """Return a text of many lines for a page: escaped, without signs that are not seen."""
    return html.escape(values.clean(text, longest))


def cell_text(text: str, longest: int = 2_000) -> str:
    """Return a text for a table: on one line, and a spreadsheet does not take it for a formula.

    OWASP's page on CSV injection lists = + - @, tab and line breaks at the beginning of a cell,
    and the full-width forms of the four signs, which Excel in East Asia reads as the same.
    """
    plain = names.visible(text, longest)
    first = unicodedata.normalize("NFKC", plain[:1])
    return "'" + plain if first and first in "=+-@\u2212" and len(plain) > 1 else plain


def encodable(text: str) -> str:
    """Return a text that can be written: half characters in it become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def name_of(student: Student) -> str:
    """Return the name of a student for a table; the id or e-mail address if there is none."""
    return student.name or student.id or student.email


# Folders


@contextlib.contextmanager
def renewed(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` at the end, as a whole.

    Nothing of the old folder is left, and there is no moment without one. After an error the old
    one stays as it was.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            _exchange(fresh, folder)
        else:
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Give two folders each other's name in one step, or in two where the disk cannot do that."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return
    aside = other.with_name(f".{other.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    other.rename(aside)
    one.rename(other)
    shutil.rmtree(aside, ignore_errors=True)


def write_file(file: Path, text: str, encoding: str = "utf-8") -> None:
    """Write a file so that it is there as a whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding=encoding, errors="replace", newline="") as target:
        target.write(text)
    part.replace(file)
