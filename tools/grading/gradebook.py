"""nbgrader's gradebook and its folder of graded notebooks, so that formgrader can be used.

The marks of the tests are written into it, and what a person has given is read back: in formgrader,
or through ``give``. nbgrader's rule holds: the points are the person's if there are any, else the
tests', and extra credit is added. nbgrader's student is ``submission.key``, one for each hand-in.

A person's marks belong to the text that they were given for. A table of our own in the same file
keeps them by the digest of that text: where the text changes they are laid aside, where a hand-in
is gone they wait, and where the old text comes back they are there again.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import (
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    Notebook,
    Student,
    SubmittedAssignment,
)
from sqlalchemy import text as sql

from tools import notebooks
from tools.errors import CourseError
from tools.grading import marks, names, score, values
from tools.grading.marks import Mark, Rows
from tools.grading.submissions import Submission

CONFIG = """\
# Written by make grade. Run "jupyter lab" in this folder; the menu Nbgrader > Formgrader opens it.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "convolution-by-hand"
c.CourseDirectory.root = {root!r}
c.CourseDirectory.source_directory = {source!r}
"""
TABLE = """
CREATE TABLE IF NOT EXISTS course_answer (key TEXT, stem TEXT, question TEXT, who TEXT, text TEXT,
digest TEXT, tested REAL, given TEXT, PRIMARY KEY (key, stem, question))
"""
STORE = """
INSERT OR REPLACE INTO course_answer VALUES
(:key, :stem, :question, :who, :text, :digest, :tested, :given)
"""
SELECT = "SELECT key, stem, question, who, text, digest, tested, given FROM course_answer"
NOTHING: dict[str, Any] = {"points": None, "extra": 0.0, "comment": ""}


@dataclass(frozen=True)
class Answer:
    """One student's answer to a question, and what a person has said of it."""

    key: str
    who: str
    text: str
    digest: str  # of the text; see ``give``
    points: float | None  # that a person gave for this text
    extra: float
    comment: str
    maximum: float
    read: bool  # a person gave points for this text
    changed: bool  # a person gave points for an earlier text, and none for this one
    before: float | None  # the points for that earlier text
    before_comment: str
    tested: float | None = None  # the points of the tests, if it has any


@dataclass(frozen=True)
class Written:
    """A question that a person reads: what is asked, and the model answer with the rubric."""

    stem: str
    question: str
    title: str
    asked: str
    model: str
    maximum: float
    answers: int
    unread: int


@dataclass
class Side:
    """A row of our own table: the text of an answer, and the marks given, by digest of a text.

    ``digest`` is empty while nothing of this answer is in nbgrader's tables.
    """

    key: str
    stem: str
    question: str
    who: str = ""
    text: str = ""
    digest: str = ""
    tested: float | None = None
    given: dict[str, dict[str, Any]] = field(default_factory=dict)

    def store(self, book: Any) -> None:
        """Write the row; it is there when the session is committed."""
        book.db.execute(sql(STORE), asdict(self) | {"given": json.dumps(self.given)})

    @property
    def now(self) -> dict[str, Any] | None:
        """Return what was given for the text as it is."""
        return self.given.get(self.digest)

    @property
    def earlier(self) -> dict[str, Any] | None:
        """Return the points that were given last for another text, with their comment."""
        others = [e for d, e in self.given.items() if d != self.digest and e["points"] is not None]
        return others[-1] if others else None

    @property
    def before(self) -> dict[str, Any] | None:
        """Return the same if nobody has said anything of this text."""
        return self.earlier if self.now is None else None


# Opening


@contextlib.contextmanager
def open_book(out: Path) -> Iterator[Any]:
    """Yield nbgrader's Gradebook in the folder ``out``.

    Raises CourseError if there is none.
    """
    file = out / "gradebook.db"
    if not file.is_file():
        raise CourseError(f"opening {file}: it is not there. Run make grade first")
    with _opened(file) as book:
        yield book


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    # nbgrader calls the program alembic, which lies beside this Python.
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="nbgrader")  # of its own use of SQLAlchemy
        book = Gradebook(f"sqlite:///{file.resolve()}")
        try:
            book.db().expire_on_commit = False
            book.db.execute(sql(TABLE))
            book.db.commit()
            yield book
        finally:
            book.close()


# Writing a run


def write(rows: Rows, out: Path) -> None:
    """Write a run into the gradebook and into autograded/: what it has not graded is in neither.

    The questions in ``rows`` become Marks with the points that count. A hand-in that cannot be
    written becomes "not graded". Points that a person gave to what is gone are kept, and come back
    with it.
    """
    out.mkdir(parents=True, exist_ok=True)
    source = str(notebooks.ROOT / "solutions")
    config = CONFIG.format(root=str(out.resolve()), source=source)
    marks.write_file(out / "nbgrader_config.py", config)
    with _opened(out / "gradebook.db") as book, marks.renewed(out / "autograded") as folder:
        for stem in sorted({submission.assignment for submission, r in rows if r.questions}):
            _describe(book, stem)
        here = {(s.key, s.assignment) for s, result in rows if result.questions}
        for gone in book.db.query(SubmittedAssignment).all():
            if (gone.student.id, gone.assignment.name) not in here and not _foreign(book, gone):
                _remove(book, gone)
        sides = _sides(book)
        _forget(book, {key for key, _, _ in sides} - {submission.key for submission, _ in rows})
        for submission, result in rows:
            try:
                _write_one(book, folder, submission, result, sides)
            except Exception as error:  # odd text, or a full disk: this hand-in's row alone
                _not_graded(book, folder, submission, result, error)


def _write_one(
    book: Any, folder: Path, submission: Submission, result: score.Result, sides: dict[Any, Side]
) -> None:
    """Write one hand-in, and read what a person has given for it."""
    key, stem, who = submission.key, submission.assignment, marks.who(submission)
    email = names.visible(submission.student.email, 128)
    book.update_or_create_student(key, last_name=who[:128], email=email)
    if not result.questions:
        return
    book.update_or_create_submission(stem, key)
    found = book.find_submission_notebook(stem, stem, key)
    _harvest(book, found, sides)
    texts = marks.answers(submission, result)
    grades, comments = _by_name(found)
    made = []
    for question in result.questions:
        at = key, stem, question.name
        side = sides.setdefault(at, Side(*at))
        text = marks.encodable(texts.get(question.name, ""))
        side.who, side.text, side.digest = who, text, _digest(text)
        side.tested = marks.mark_of(question).tested
        if question.name not in grades:  # the exercise had no such question then
            grades[question.name] = _new_grade(book, stem, question.name, found)
        _set(side, grades[question.name], comments.get(marks.answer_of(question.name)))
        made.append(_mark(question, side))
        side.store(book)
    for name, grade in grades.items():
        if name not in {question.name for question in made}:
            book.db.delete(grade)  # the exercise has no such question any more
    target = folder / key / stem
    target.mkdir(parents=True)
    nbformat.write(_graded(submission, result, made), target / f"{stem}.ipynb")
    book.db.commit()
    result.questions = list(made)


def _not_graded(
    book: Any, folder: Path, submission: Submission, result: score.Result, error: Exception
) -> None:
    """Make a hand-in that could not be written "not graded", here as in the rows."""
    book.db.rollback()
    told = values.clean(f"{type(error).__name__}: {error}", 300)
    result.status, result.questions = "not graded", []
    result.sentence = f"its marks could not be written into the gradebook: {told}"
    with contextlib.suppress(OSError):
        for file in sorted((folder / submission.key).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        (folder / submission.key).rmdir()
    try:
        _remove(book, book.find_submission(submission.assignment, submission.key))
    except MissingEntry:
        pass
    except Exception:  # nothing more can be done for this one; the others go on
        book.db.rollback()


def _describe(book: Any, stem: str) -> None:
    """Tell the gradebook of an exercise and its graded cells; forget those it no longer has."""
    book.update_or_create_assignment(stem)
    book.update_or_create_notebook(stem, stem)
    known = set()
    for cell in score.released(_master(stem)).cells:
        facts = cell.metadata.get("nbgrader", {})
        known.add(cell.id)
        if facts.get("grade"):
            kind = {"max_score": float(facts["points"]), "cell_type": cell.cell_type}
            book.update_or_create_grade_cell(cell.id, stem, stem, **kind)
        if facts.get("solution"):
            book.update_or_create_solution_cell(cell.id, stem, stem)
        if facts:
            kind = {"cell_type": cell.cell_type, "source": cell.source, "locked": facts["locked"]}
            book.update_or_create_source_cell(cell.id, stem, stem, **kind)
    notebook = book.find_notebook(stem, stem)
    old = book.db.query(BaseCell).filter(BaseCell.notebook_id == notebook.id).all()
    for cell in (cell for cell in old if cell.name not in known):
        for part in [*cell.grades, *cell.comments, cell]:
            book.db.delete(part)
    book.db.commit()


def _foreign(book: Any, found: Any) -> bool:
    """Return whether a hand-in is not from here, and a person has marked it: it stays."""
    grades = [grade for notebook in found.notebooks for grade in notebook.grades]
    marked = any(grade.manual_score is not None or grade.extra_credit for grade in grades)
    return marked and not _sides(book, found.student.id)


def _remove(book: Any, gone: Any) -> None:
    """Take a hand-in out of nbgrader's tables; what a person gave for it stays in ours."""
    for notebook in gone.notebooks:
        sides = _sides(book, gone.student.id)
        _harvest(book, notebook, sides)
        for side in sides.values():
            if side.stem == gone.assignment.name:
                side.digest = ""
                side.store(book)
        for part in [*notebook.grades, *notebook.comments, notebook]:
            book.db.delete(part)
    book.db.delete(gone)
    book.db.commit()


def _forget(book: Any, keys: set[str]) -> None:
    """Take students of earlier runs out of nbgrader's list; their hand-ins are out already."""
    for student in book.db.query(Student).all():
        if student.id in keys and not student.submissions:
            book.db.delete(student)
    book.db.commit()


def _sides(book: Any, key: str = "") -> dict[tuple[str, str, str], Side]:
    """Return our own table, or its rows of one hand-in, by key, stem and question."""
    where = " WHERE key = :key" if key else ""
    found = {}
    for row in book.db.execute(sql(SELECT + where), {"key": key} if key else {}):
        given = json.loads(row.given)
        at = row.key, row.stem, row.question
        found[at] = Side(*at, row.who, row.text, row.digest, row.tested, given)
    return found


def _by_name(notebook: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the grades and the comments of a hand-in by the names of their cells."""
    grades = {grade.name: grade for grade in notebook.grades}
    return grades, {comment.name: comment for comment in notebook.comments}


def _new_grade(book: Any, stem: str, question: str, notebook: Any) -> Any:
    cell = book.find_grade_cell(question, stem, stem)
    grade = Grade(cell_id=cell.id, notebook=notebook)
    book.db.add(grade)
    return grade


def _harvest(book: Any, notebook: Any, sides: dict[Any, Side]) -> None:
    """Take over what a person has given in nbgrader's tables, for the text that was shown there."""
    grades, comments = _by_name(notebook)
    key, stem = notebook.student.id, notebook.name
    for name, grade in grades.items():
        side = sides.get((key, stem, name))
        if side is None or not side.digest:
            continue
        entry = _entry(grade, comments.get(marks.answer_of(name)))
        _keep(side, entry, not grade.needs_manual_grade)
        side.store(book)


def _entry(grade: Any, comment: Any) -> dict[str, Any]:
    """Return what a person has given in nbgrader's tables."""
    said = (comment.manual_comment if comment is not None else "") or ""
    return {"points": grade.manual_score, "extra": grade.extra_credit or 0.0, "comment": said}


def _keep(side: Side, entry: dict[str, Any], seen: bool) -> None:
    """Keep what a person has given for the text as it is; the newest text's is the last.

    Nothing is something, too: a changed answer whose tests a person has seen and left as they are.
    """
    seen = seen and side.tested is not None and side.earlier is not None
    if side.now != entry:
        side.given.pop(side.digest, None)
        if entry != NOTHING or seen:
            side.given[side.digest] = entry
    elif entry == NOTHING and not seen:
        del side.given[side.digest]


def _set(side: Side, grade: Any, comment: Any) -> None:
    """Write into nbgrader's tables what is given for the text as it is now."""
    entry = side.now or NOTHING
    grade.auto_score = side.tested
    grade.manual_score, grade.extra_credit = entry["points"], entry["extra"] or None
    unread = side.tested is None and entry["points"] is None
    grade.needs_manual_grade = bool(unread or side.before)
    if comment is not None:
        comment.manual_comment = entry["comment"] or None
        comment.auto_comment = _told_before(side) or None


def _told_before(side: Side) -> str:
    """Return a sentence on the mark of an earlier text, or an empty one."""
    before = side.before
    if before is None:
        return ""
    said = f' ("{before["comment"]}")' if before["comment"] else ""
    return f"Read before: {marks.points(before['points'])}{said}. The text has changed since."


def _mark(question: score.Question, side: Side) -> Mark:
    """Return the mark of a question: the person's points, else the tests', plus extra credit."""
    mark = marks.mark_of(question)
    mark.status, mark.before, mark.before_comment = mark.tested_status, None, ""
    entry, before = side.now or NOTHING, side.before
    mark.text, mark.extra, mark.comment = side.text, entry["extra"], entry["comment"]
    if before is not None:
        mark.before, mark.before_comment = before["points"], before["comment"]
    basis = side.tested if entry["points"] is None else entry["points"]
    mark.points = None if basis is None else basis + mark.extra
    if side.tested is None:
        unread = marks.AGAIN if before is not None else "to read"
        mark.status = marks.READ if mark.points is not None else unread
    elif entry["points"] is not None or mark.extra:
        mark.status = marks.CHANGED
    return mark


def _digest(text: str) -> str:
    """Return the digest of an answer's words: spaces and line breaks do not count."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def _graded(submission: Submission, result: score.Result, made: list[Mark]) -> notebooks.Notebook:
    """Return a hand-in in order, with what its cells printed, and the rubric below answers."""
    path = _master(submission.assignment)
    found = marks.found_cells(submission, path)
    rubrics = {cell.id: cell.source for cell in notebooks.read(path).cells}
    of = {mark.name: mark for mark in made}
    graded = copy.deepcopy(score.released(path))
    cells = []
    for cell in graded.cells:
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.id in found:
            cell.source = marks.encodable(found[cell.id].source)
        mark = of.get(cell.id)
        if cell.cell_type == "code":
            told = result.printed.get(cell.id, {})
            texts = [str(told.get("printed", "")), *(told.get("error") or [""])[-1:]]
            texts += [f"{mark.tested_status} {mark.message}".strip()] if mark else []
            text = marks.encodable("\n".join(text for text in texts if text))
            cell.outputs = [nbformat.v4.new_output("stream", text=text)] if text else []
        cells.append(cell)
        if mark and cell.cell_type == "markdown":
            text = f"**For the grader only.** {_without_marks(rubrics[cell.id])}"
            if mark.before is not None:
                text += f"\n\n**Read before: {marks.points(mark.before)}.** The text has changed."
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"rubric-{cell.id}"))
    graded.cells = cells
    return graded


def _without_marks(source: str) -> str:
    return re.sub(r"^### (BEGIN|END) SOLUTION\n?", "", source, flags=re.M).strip()


def _master(stem: str) -> Path:
    path = marks.master_of(stem)
    if path is None:
        raise CourseError(f"looking for the exercise {stem!r}: there is none of this name")
    return path


# Reading, for a page on which a person gives points


def written(out: Path) -> list[Written]:
    """Return the questions that a person reads of the exercises in the gradebook, in order.

    Raises CourseError if there is no gradebook.
    """
    with open_book(out) as book:
        there = [s for s in _sides(book).values() if s.digest and s.tested is None]
    made = []
    for stem, question in sorted({(s.stem, s.question) for s in there}):
        found = answers_to(out, stem, question)
        unread = sum(not answer.read for answer in found)
        made.append(Written(stem, question, *_asked(stem, question), len(found), unread))
    return made


@functools.cache
def _asked(stem: str, question: str) -> tuple[str, str, str, float]:
    """Return the title of an exercise, a question's text, its model answer and its points."""
    cells = {cell.id: cell for cell in notebooks.read(_master(stem)).cells}
    asked = cells.get("question-" + question.rpartition("-")[2])
    model = cells.get(question)
    answer = cells.get(marks.answer_of(question))
    if model is None or answer is None:
        raise CourseError(f"looking for {question!r} in exercise {stem}: there is no such question")
    most = float(model.metadata["nbgrader"]["points"])
    return marks.title(stem), asked.source if asked else "", _without_marks(answer.source), most


def answers_to(out: Path, stem: str, question: str) -> list[Answer]:
    """Return all answers to one question, in an order that tells nothing of the names.

    Raises CourseError if there is no gradebook, or nothing in it of this question.
    """
    with open_book(out) as book:
        sides = [s for s in _sides(book).values() if (s.stem, s.question) == (stem, question)]
        grades = _grades_of(book, stem, question)
        found = [_answer(s, *grades[s.key]) for s in sides if s.digest and s.key in grades]
    if not found:
        raise CourseError(f"looking for answers to {question!r} of {stem!r}: {out} has none")
    return sorted(found, key=lambda answer: hashlib.sha256(answer.key.encode()).digest())


def give(
    out: Path,
    stem: str,
    question: str,
    key: str,
    points: float | None,
    comment: str = "",
    extra: float = 0.0,
    digest: str = "",
) -> Answer:
    """Give points to an answer, and write them to disk at once; return the answer as it is now.

    ``points`` None takes them back. ``digest`` is that of the text that was read: if another run
    has put another text in its place since, nothing is written. Raises CourseError for points that
    cannot be, for an answer that is not there, and for one that has changed.
    """
    maximum = _asked(stem, question)[-1]
    _check(question, points, extra, maximum)
    with open_book(out) as book:
        side = _sides(book, key).get((key, stem, question))
        grade, note = _grades_of(book, stem, question, key).get(key, (None, None))
        if side is None or not side.digest or grade is None:
            raise CourseError(f"giving points to {question} of {key} in {stem}: it is not in {out}")
        if digest and digest != side.digest:
            raise CourseError(
                f"giving points to {question} of {key} in {stem}: the answer has changed since it "
                "was opened. Read it again"
            )
        grade.manual_score, grade.extra_credit = points, extra or None
        grade.needs_manual_grade = points is None and side.tested is None
        if note is not None:
            note.manual_comment = values.clean(comment, 10_000).strip() or None
        _keep(side, _entry(grade, note), not grade.needs_manual_grade)
        side.store(book)
        book.db.commit()
        return _answer(side, grade, note)


def _check(question: str, points: float | None, extra: float, maximum: float) -> None:
    """Raise CourseError for points that a question cannot have."""
    for name, value, most in (("points", points, maximum), ("extra credit", extra, math.inf)):
        if value is not None and not (math.isfinite(value) and 0 <= value <= most):
            up_to = f"from 0 to {marks.number(maximum)}" if most == maximum else "0 or more"
            raise CourseError(f"giving {question} {value} {name}: say a number, {up_to}")


def _grades_of(book: Any, stem: str, question: str, key: str = "") -> dict[str, tuple[Any, Any]]:
    """Return by key the grade of a question, and the comment on its answer (or None)."""
    found: dict[str, list[Any]] = {}
    for place, (table, name) in enumerate(
        ((Grade, question), (Comment, marks.answer_of(question)))
    ):
        rows = book.db.query(table).join(BaseCell, BaseCell.id == table.cell_id)
        rows = rows.join(Notebook, Notebook.id == BaseCell.notebook_id)
        for row in rows.filter(BaseCell.name == name, Notebook.name == stem):
            if not key or row.student.id == key:
                found.setdefault(row.student.id, [None, None])[place] = row
    return {student: (pair[0], pair[1]) for student, pair in found.items() if pair[0] is not None}


def _answer(side: Side, grade: Any, comment: Any) -> Answer:
    """Return an answer as nbgrader's tables have it now, formgrader's changes included."""
    read = grade.manual_score is not None
    before = None if read or not grade.needs_manual_grade else side.before
    return Answer(
        key=side.key,
        who=side.who,
        text=side.text,
        digest=side.digest,
        points=grade.manual_score,
        extra=grade.extra_credit or 0.0,
        comment=(comment.manual_comment if comment is not None else "") or "",
        maximum=_asked(side.stem, side.question)[-1],
        read=read,
        changed=before is not None,
        before=before["points"] if before else None,
        before_comment=before["comment"] if before else "",
        tested=side.tested,
    )
