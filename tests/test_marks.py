"""One truth for a mark: gradebook, tables, summary, feedback, and the way back to each system.

The results are made by hand, so no wall is needed.
"""

import copy
import csv
import dataclasses
import functools
import hashlib
import io
import json
import re
import shutil
import time
import zipfile
from datetime import datetime

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nbgrader.api import Gradebook, MissingEntry

from tests import hand_ins
from tools import browser, exercises, notebooks
from tools.errors import CourseError
from tools.grading import exports, gradebook, marks, report, roster, submissions
from tools.grading.roster import Student
from tools.grading.score import Question, Result
from tools.grading.submissions import Submission

ONE, TWO = "01_convolution_by_hand", "02_padding_and_stride"
FULL = {"check-1": 1, "check-2": 1, "check-3": 2, "check-4": 2, "check-5": 1, "check-6": 1}
ODD = "Kim \u202egnp.exe\nMinsu\ud800 =x"


def master(stem):
    return next(path for path in notebooks.masters() if path.stem == stem)


@functools.cache
def release(stem):
    return exercises.release(master(stem))


def hand_in(name, stem=ONE, text="A convolution is local.", code="", **more):
    """A hand-in of a student who does not exist, with an answer in words and one in code."""
    notebook = copy.deepcopy(release(stem))
    for cell in notebook.cells:
        if cell.id == "answer-7":
            cell.source = f"**Answer 7**\n\n{text}"
        if cell.id == "answer-3" and code:
            cell.source = f"# Answer 3\n{code}"
    student = more.pop("student", None) or Student(name=name)
    key = more.pop("key", f"{name.lower()}-{stem}")
    file = more.pop("file", f"{name}/{stem}.ipynb")
    made = Submission(student=student, file=file, digest=text + code, assignment=stem, key=key)
    made.notebook = notebook
    for field, value in more.items():
        setattr(made, field, value)
    return made


def graded(lost=(), message="yours has the shape ()", stem=ONE, **more):
    """What the tests gave: all points but those of the checks in ``lost``."""
    made = Result(seconds=0.5, **more)
    for cell in release(stem).cells:
        facts = cell.metadata.get("nbgrader", {})
        if not facts.get("grade"):
            continue
        most = float(facts["points"])
        if cell.cell_type == "markdown":
            made.questions.append(Question(cell.id, most, None, "to read"))
        elif cell.id in lost:
            made.questions.append(Question(cell.id, most, 0.0, "failed", message))
        else:
            made.questions.append(Question(cell.id, most, most, "passed"))
    return made


def broken(name, status="empty", sentence="the file is empty", **more):
    """A hand-in of which nothing could be run, and its result."""
    made = hand_in(name, status=status, sentence=sentence, **more)
    made.packed = b""
    return made, Result(status, sentence)


@pytest.fixture(scope="module")
def empty_book(tmp_path_factory):
    """A gradebook without anything, since a new one takes nbgrader a second."""
    folder = tmp_path_factory.mktemp("book")
    gradebook.write([], folder)
    return folder / "gradebook.db"


@pytest.fixture
def out(tmp_path, empty_book):
    folder = tmp_path / "graded"
    folder.mkdir()
    shutil.copy(empty_book, folder)
    return folder


def write(rows, out, system=""):
    """Everything that make grade writes; the rows, as they are after it."""
    gradebook.write(rows, out)
    report.write_all(rows, out)
    exports.write_all(rows, out, system)
    return rows


def table(out, name="grades.csv", encoding="utf-8-sig", delimiter=","):
    with (out / name).open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def line(out, question, student="Ana", stem=ONE):
    lines = table(out)
    found = [x for x in lines if (x["student"], x["question"]) == (student, question)]
    (only,) = [x for x in found if x["assignment"] == stem]
    return only


def page(out, key=f"ana-{ONE}"):
    return (out / "feedback" / f"{key}.html").read_text("utf-8")


def formgrader(out, key, question, points=None, extra=None, comment=None, stem=ONE):
    """What formgrader's two handlers do when a person fills in the boxes."""
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}") as book:
        grade = book.find_grade(question, stem, stem, key)
        grade.manual_score, grade.extra_credit = points, extra
        grade.needs_manual_grade = points is None and grade.auto_score is None
        answer = question.replace("check", "answer")
        book.find_comment(answer, stem, stem, key).manual_comment = comment
        book.db.commit()


def in_book(out, key, stem=ONE):
    """nbgrader's own total, and whether a person has still to read something."""
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}") as book:
        found = book.find_submission(stem, key)
        return found.score, found.needs_manual_grade


# One truth


def test_what_a_person_changed_in_formgrader_is_everywhere(out):
    """Points, extra credit and a comment, to a test's question and to an answer in words (A15)."""
    key = f"ana-{ONE}"
    write([(hand_in("Ana"), graded(lost=["check-3"]))], out)
    assert line(out, "total")["points"] == "6" and in_book(out, key) == (6.0, True)
    formgrader(out, key, "check-3", points=1.0, extra=0.5, comment="Right but for the sign.")
    formgrader(out, key, "answer-7", points=1.5, comment="Both <b>numbers</b>?")
    (row,) = write([(hand_in("Ana"), graded(lost=["check-3"]))], out)
    check = line(out, "check-3")
    assert (check["tests"], check["points"], check["status"]) == ("0", "1.5", marks.CHANGED)
    assert check["comment"] == "Right but for the sign."
    assert line(out, "answer-7")["points"] == "1.5" and line(out, "answer-7")["status"] == "read"
    assert line(out, "total")["points"] == "9" == marks.number(in_book(out, key)[0])
    assert report.total(row[1]) == (9.0, 10.0)
    assert table(out, "marks.csv")[0][ONE] == "9"
    shown = page(out)
    assert "9 of 10 points" in shown and "so far" not in shown
    assert "the tests gave 0 (failed), a person gave 1.5, 0.5 of them extra credit" in shown
    assert "Right but for the sign." in shown and "Both &lt;b&gt;numbers&lt;/b&gt;?" in shown
    assert "A convolution is local." in shown and "is read by a person" not in shown
    assert "Rubric" not in shown and "Half a point each" not in shown
    assert "100%" in (out / "summary.html").read_text("utf-8")


def test_extra_credit_alone_is_added_to_what_the_tests_gave(out):
    write([(hand_in("Ana"), graded())], out)
    formgrader(out, f"ana-{ONE}", "check-1", extra=0.25)
    write([(hand_in("Ana"), graded())], out)
    assert line(out, "check-1")["points"] == "1.25"
    assert in_book(out, f"ana-{ONE}")[0] == 8.25


def test_what_a_person_takes_back_is_gone(out):
    write([(hand_in("Ana"), graded())], out)
    formgrader(out, f"ana-{ONE}", "check-1", points=0.0)
    write([(hand_in("Ana"), graded())], out)
    assert line(out, "total")["points"] == "7"
    formgrader(out, f"ana-{ONE}", "check-1")
    write([(hand_in("Ana"), graded())], out)
    assert line(out, "total")["points"] == "8" and line(out, "check-1")["status"] == "passed"


def test_points_can_be_given_without_formgrader(out):
    """The functions of the reading page: what is given is on disk at once, and in the next run."""
    rows = [(hand_in("Ana"), graded()), (hand_in("Ben", text="No."), graded())]
    write(rows, out)
    (question,) = gradebook.written(out)
    assert (question.stem, question.question, question.maximum) == (ONE, "answer-7", 2.0)
    assert (question.answers, question.unread) == (2, 2)
    assert "Rubric" in question.model and "BEGIN SOLUTION" not in question.model
    assert question.asked and question.title == "Exercise 01: Convolution by hand"
    answers = {answer.who: answer for answer in gradebook.answers_to(out, ONE, "answer-7")}
    ana = answers["Ana"]
    assert "A convolution is local." in ana.text and not ana.read and ana.points is None
    given = gradebook.give(out, ONE, "answer-7", ana.key, 1.5, "good", digest=ana.digest)
    assert given.read and (given.points, given.comment) == (1.5, "good")
    assert in_book(out, ana.key) == (9.5, False)
    assert gradebook.written(out)[0].unread == 1
    write([(hand_in("Ana"), graded()), (hand_in("Ben", text="No."), graded())], out)
    assert line(out, "total")["points"] == "9.5" and line(out, "total", "Ben")["points"] == "8"
    gradebook.give(out, ONE, "answer-7", ana.key, None)
    assert in_book(out, ana.key) == (8.0, True)
    given = gradebook.give(out, ONE, "check-3", ana.key, 1.0, "half")  # a question with tests
    assert given.tested == 2.0 and in_book(out, ana.key)[0] == 7.0


@pytest.mark.parametrize(
    ("question", "key", "points", "extra", "says"),
    [
        ("answer-7", "ana", 2.5, 0.0, "from 0 to 2"),
        ("answer-7", "ana", -0.5, 0.0, "from 0 to 2"),
        ("answer-7", "ana", float("nan"), 0.0, "from 0 to 2"),
        ("answer-7", "ana", 1.0, -1.0, "0 or more"),
        ("answer-7", "ana", 1.0, float("inf"), "0 or more"),
        ("answer-7", "zoe", 1.0, 0.0, f"zoe-{ONE}"),
        ("answer-9", "ana", 1.0, 0.0, "no such question"),
    ],
)
def test_points_that_cannot_be_are_refused(out, question, key, points, extra, says):
    gradebook.write([(hand_in("Ana"), graded())], out)
    with pytest.raises(CourseError, match=re.escape(says)):
        gradebook.give(out, ONE, question, f"{key}-{ONE}", points, extra=extra)
    assert in_book(out, f"ana-{ONE}") == (8.0, True)


def test_without_a_gradebook_the_error_says_what_to_do(tmp_path):
    with pytest.raises(CourseError, match="make grade first"):
        gradebook.answers_to(tmp_path, ONE, "answer-7")
    assert list(tmp_path.iterdir()) == []


def test_formgrader_itself_sees_the_same(out):
    """nbgrader's own functions, those behind formgrader's pages, read the folder."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded(["check-3"])), broken("Zoe")], out)
    formgrader(out, f"ana-{ONE}", "answer-7", points=1.5)
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded(["check-3"])), broken("Zoe")], out)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(out)).load_config()
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    found = {x["student"]: x for x in api.get_notebook_submissions(ONE, ONE)}
    assert set(found) == {f"ana-{ONE}", f"ben-{ONE}"}  # who has nothing to read is not there
    ana, ben = found[f"ana-{ONE}"], found[f"ben-{ONE}"]
    assert (ana["last_name"], ana["score"], ana["max_score"]) == ("Ana", 9.5, 10)
    assert (ana["needs_manual_grade"], ben["needs_manual_grade"]) == (False, True)
    assert (ben["score"], ben["failed_tests"]) == (6, True)
    students = {x["id"]: x["score"] for x in api.get_students()}
    assert students[f"zoe-{ONE}"] == 0 and students[f"ana-{ONE}"] == 9.5


# Handed in again, broken, gone


def test_another_text_is_read_again(out):
    """The old points stay to be seen, and count no more; the same text has them still (A16)."""
    key = f"ana-{ONE}"
    write([(hand_in("Ana"), graded())], out)
    formgrader(out, key, "answer-7", points=2.0, comment="Well said.")
    write([(hand_in("Ana"), graded())], out)
    assert line(out, "total")["points"] == "10" and in_book(out, key) == (10.0, False)

    again = hand_in("Ana", text="I take back everything.")
    for _ in range(2):  # a second run with nothing new changes nothing
        write([(again, graded())], out)
        answer = line(out, "answer-7")
        assert (answer["points"], answer["status"]) == ("", marks.AGAIN)
        assert (line(out, "total")["points"], line(out, "total")["to_read"]) == ("8", "2")
        assert in_book(out, key) == (8.0, True)
    assert "an earlier answer got 2 points" in page(out) and "Well said." not in page(out)
    (now,) = gradebook.answers_to(out, ONE, "answer-7")
    assert (now.changed, now.read, now.before, now.before_comment) == (True, False, 2, "Well said.")
    notebook = nbformat.read(out / "autograded" / key / ONE / f"{ONE}.ipynb", 4)
    assert "Read before: 2 points" in notebook.cells[-2].source

    write([(hand_in("Ana"), graded())], out)  # the first text again
    assert line(out, "total")["points"] == "10" and in_book(out, key) == (10.0, False)
    assert line(out, "answer-7")["comment"] == "Well said."

    write([(again, graded())], out)
    formgrader(out, key, "answer-7", points=0.5)
    write([(again, graded())], out)
    assert line(out, "total")["points"] == "8.5" and line(out, "answer-7")["status"] == "read"


def test_spaces_are_no_other_text(out):
    write([(hand_in("Ana", text="It is local."), graded())], out)
    formgrader(out, f"ana-{ONE}", "answer-7", points=2.0)
    write([(hand_in("Ana", text="It is\n  local.  \n"), graded())], out)
    assert line(out, "total")["points"] == "10"


def test_a_changed_mark_of_code_is_for_its_code(out):
    """A person gave a point to code that has changed since: the tests count, until it is seen."""
    key = f"ana-{ONE}"
    write([(hand_in("Ana", code="x = 1"), graded(lost=["check-3"]))], out)
    formgrader(out, key, "check-3", points=1.0)
    write([(hand_in("Ana", code="x = 1"), graded(lost=["check-3"]))], out)
    assert line(out, "check-3")["points"] == "1"
    for _ in range(2):
        write([(hand_in("Ana", code="x = 2"), graded())], out)
        assert (line(out, "check-3")["points"], line(out, "check-3")["status"]) == ("2", "passed")
        (now,) = gradebook.answers_to(out, ONE, "check-3")
        assert (now.changed, now.before, now.tested) == (True, 1.0, 2.0)
    assert "an earlier answer got 1 point" in page(out)
    gradebook.give(out, ONE, "answer-7", key, 2.0)
    formgrader(out, key, "check-3")  # a person looks at it, and leaves it to the tests
    for _ in range(2):
        write([(hand_in("Ana", code="x = 2"), graded())], out)
        assert in_book(out, key) == (10.0, False)


def test_an_answer_that_has_changed_while_it_was_open_is_not_given_points(out):
    gradebook.write([(hand_in("Ana"), graded())], out)
    (seen,) = gradebook.answers_to(out, ONE, "answer-7")
    gradebook.write([(hand_in("Ana", text="Another."), graded())], out)
    with pytest.raises(CourseError, match="has changed since it was opened"):
        gradebook.give(out, ONE, "answer-7", seen.key, 2.0, digest=seen.digest)
    assert in_book(out, seen.key) == (8.0, True)


@pytest.mark.parametrize("how", ["empty", "gone", "not handed in", "other exercise"])
def test_a_hand_in_that_is_gone_takes_its_mark_and_page_with_it(out, how):
    """And a person's points come back with it (A17)."""
    key, ben = f"ana-{ONE}", (hand_in("Ben"), graded())
    write([(hand_in("Ana"), graded()), ben], out)
    formgrader(out, key, "answer-7", points=2.0)
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    assert in_book(out, key) == (10.0, False)
    now = {
        "empty": [broken("Ana")],
        "gone": [],
        "not handed in": [broken("Ana", "not handed in", "nothing was handed in", file="")],
        "other exercise": [broken("Ana", assignment="", key="ana")],
    }[how]
    write([*now, (hand_in("Ben"), graded())], out)
    with pytest.raises(MissingEntry):
        in_book(out, key)
    assert not (out / "autograded" / key).exists()
    assert in_book(out, f"ben-{ONE}")[0] == 8.0
    pages = {file.stem for file in (out / "feedback").iterdir()}
    assert pages == {f"ben-{ONE}", *(submission.key for submission, _ in now)}
    assert "10 of 10" not in "".join(page(out, name) for name in pages)
    assert all(x["points"] == "" for x in table(out) if x["student"] == "Ana")
    left = {folder.name for folder in out.iterdir()}
    assert not any(name.startswith(".") for name in left), left

    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    assert in_book(out, key) == (10.0, False) and line(out, "total")["points"] == "10"


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's own
def test_what_a_person_marked_elsewhere_stays(out):
    """A gradebook of nbgrader's own, or of an earlier version, loses no mark of a person."""
    write([(hand_in("Ana"), graded())], out)
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}") as book:
        for name in ("Old", "Unmarked"):
            book.add_student(name)
            book.add_submission(ONE, name)
    formgrader(out, "Old", "answer-7", points=2.0)
    write([(hand_in("Ana"), graded())], out)
    assert in_book(out, "Old")[0] == 2.0
    with pytest.raises(MissingEntry):
        in_book(out, "Unmarked")
    assert {x["student"] for x in table(out)} == {"Ana"}


def test_folders_are_swapped_as_a_whole(tmp_path, monkeypatch):
    """At each moment there is a folder, and after an error it is the old one."""
    folder = tmp_path / "feedback"
    for run in ("one", "two"):
        with marks.renewed(folder) as fresh:
            (fresh / f"{run}.html").write_text(run)
            assert not folder.exists() or (folder / "one.html").exists()
        assert [file.name for file in folder.iterdir()] == [f"{run}.html"]
    with pytest.raises(ZeroDivisionError), marks.renewed(folder) as fresh:
        (fresh / "three.html").write_text(str(1 / 0))
    assert [file.name for file in folder.iterdir()] == ["two.html"]
    monkeypatch.setattr(marks.ctypes, "CDLL", lambda name: object())  # a disk that cannot exchange
    with marks.renewed(folder) as fresh:
        (fresh / "four.html").write_text("four")
    assert [file.name for file in folder.iterdir()] == ["four.html"]
    assert [file.name for file in tmp_path.iterdir()] == ["feedback"]


# Nobody stops the others


def test_odd_text_stops_nobody(out):
    """Half characters, lines and bidi signs in names, answers, outputs, notes (A1, A4)."""
    odd = hand_in(ODD, text="half \ud800 a character", key="odd", file="x\udcff/01.ipynb")
    odd.notes, odd.student = ["\ud800 note"], Student(ODD, "=1+1", "a@b\n.c", "＝x")
    result = graded(lost=["check-3"], message="\ud800 <script>alert(1)</script>")
    result.printed = {"answer-3": {"printed": "\ud800" * 9, "error": ["E", "\ud800", "\udcff"]}}
    write([(odd, result), (hand_in("Ana"), graded())], out)
    assert line(out, "total")["points"] == "8"
    assert "<script>alert" not in page(out, "odd") and "6 of 8" in page(out, "odd")
    for file in out.rglob("*.csv"):
        text = file.read_text("utf-8-sig")
        assert "\u202e" not in text and "\ud800" not in text, file
        for cells in csv.reader(io.StringIO(text)):
            assert not any(cell[:1] and cell[:1] in "=+@＝" for cell in cells), (file, cells)
    assert "\u202e" not in (out / "summary.html").read_text("utf-8")


TEXT = st.text(st.characters(codec=None, categories=None), max_size=12) | st.sampled_from(
    ["\ud800", "=1", "\x00", "\x1b[2J", "</script><b>", "\u202ea", "a\r\nb", "''", "\U000e0041"]
)


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(
    texts=st.lists(TEXT, min_size=12, max_size=12), points=st.floats(0, 2), extra=st.floats(0, 1)
)
def test_whatever_the_texts_are_there_is_a_row_for_each(out, texts, points, extra):
    """Each text that a student, a file, a system or a person can choose."""
    name, number, email, section, file, text, message, error, note, kind, comment, more = texts
    odd = hand_in("Odd", text=text, file=file, student=Student(name, number, email, section))
    odd.student = dataclasses.replace(odd.student, more=(("Student", more), ("ID", number)))
    odd.key, odd.notes = "odd", [note]
    result = graded(lost=["check-3"], message=message)
    result.printed = {"answer-3": {"printed": error, "error": [kind, error, error]}}
    rows = [(odd, result), (hand_in("Ana"), graded()), broken("Bad", kind, note, key="bad")]
    write(rows, out, "canvas")
    gradebook.give(out, ONE, "answer-7", "odd", points, comment, extra)
    write(rows, out, "moodle")
    totals = [x for x in table(out) if x["question"] == "total"]
    assert len(totals) == 3 and [x["points"] for x in totals].count("8") >= 1
    assert len(table(out, "marks.csv")) == 3
    assert {file.stem for file in (out / "feedback").iterdir()} == {"odd", "bad", f"ana-{ONE}"}
    assert result.status == "graded"
    assert report.total(result)[0] == pytest.approx(6 + points + extra, abs=1e-3)
    for file in out.rglob("*.html"):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", file.read_text("utf-8")), file
    nbformat.validate(nbformat.read(out / "autograded" / "odd" / ONE / f"{ONE}.ipynb", 4))


def test_one_that_cannot_be_written_is_not_graded(out, monkeypatch):
    """Its row says so, its old mark is gone, and the others have theirs (A11)."""
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    formgrader(out, f"ben-{ONE}", "answer-7", points=2.0)
    real = gradebook._graded

    def fails_for_ben(submission, *rest):
        if submission.student.name == "Ben":
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return real(submission, *rest)

    monkeypatch.setattr(gradebook, "_graded", fails_for_ben)
    rows = write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    assert rows[1][1].status == "not graded" and report.total(rows[1][1])[0] is None
    assert line(out, "total", "Ben")["points"] == ""
    assert line(out, "total", "Ben")["status"] == "not graded"
    assert line(out, "total")["points"] == "8" and in_book(out, f"ana-{ONE}")[0] == 8.0
    assert "not graded" in page(out, f"ben-{ONE}")
    assert not (out / "autograded" / f"ben-{ONE}").exists()
    with pytest.raises(MissingEntry):
        in_book(out, f"ben-{ONE}")
    monkeypatch.undo()
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    assert in_book(out, f"ben-{ONE}") == (10.0, False)  # the person's points were kept


def test_a_page_that_cannot_be_made_is_one_page(out, monkeypatch):
    real = report._section
    monkeypatch.setattr(
        report, "_section", lambda mark, r: 1 / (mark.tested or 0) and real(mark, r)
    )
    write([(hand_in("Ana"), graded(lost=["check-3"])), broken("Ben")], out)
    assert "6 of 8 so far" in page(out) and "could not be shown" in page(out)
    assert "the file is empty" in page(out, f"ben-{ONE}")


def test_two_of_one_name_stay_two(out):
    """As many rows, pages and entries as hand-ins (A12)."""
    rows = [(hand_in("Ana", key="ana-1"), graded()), (hand_in("Ana", key="ana-2"), graded(FULL))]
    write(rows, out)
    totals = [x["points"] for x in table(out) if x["question"] == "total"]
    assert sorted(totals) == ["0", "8"]
    assert sorted(x[ONE] for x in table(out, "marks.csv")) == ["0", "8"]
    assert {file.name for file in (out / "feedback").iterdir()} == {"ana-1.html", "ana-2.html"}
    assert in_book(out, "ana-1")[0] == 8 and in_book(out, "ana-2")[0] == 0
    with zipfile.ZipFile(out / "exports" / f"feedback-{ONE}.zip") as packed:
        assert len(set(packed.namelist())) == 2


# Totals


def test_all_have_the_same_maximum(out):
    """Read or not, graded or not (B3); what is not read yet is said."""
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded()), broken("Zoe")], out)
    formgrader(out, f"ana-{ONE}", "answer-7", points=1.5)
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded()), broken("Zoe")], out)
    totals = {x["student"]: x for x in table(out) if x["question"] == "total"}
    assert {x["maximum"] for x in totals.values()} == {"10"}
    assert [totals[name]["points"] for name in ("Ana", "Ben", "Zoe")] == ["9.5", "8", ""]
    assert [totals[name]["to_read"] for name in ("Ana", "Ben", "Zoe")] == ["", "2", ""]
    assert "8 of 8 so far, 2 points to be read" in page(out, f"ben-{ONE}")
    assert "9.5 of 10 points" in page(out)


def test_late_points_are_shown_before_and_after(out):
    late = hand_in("Ana", factor=0.8, notes=["late by 2 days: 80 % of the points count"])
    late.at = datetime(2026, 11, 22, 23, 0)
    write([(late, graded(lost=["check-3"])), (hand_in("Ben"), graded())], out)
    total = line(out, "total")
    assert (total["points"], total["after_late"]) == ("6", "4.8")
    assert line(out, "total", "Ben")["after_late"] == "8"
    assert {x["name"]: x[ONE] for x in table(out, "marks.csv")} == {"Ana": "4.8", "Ben": "8"}
    assert "6 of 8 so far" in page(out) and "80 % count: 4.8 points" in page(out)
    summary = (out / "summary.html").read_text("utf-8")
    assert "Late: 1" in summary and "6 before, 4.8 after" in summary


def test_one_row_a_student(out):
    """A column for each exercise, nothing for what was not handed in, and the sum."""
    ana, ben = Student("Ana", "1", "ana@x.org", "A"), Student("Ben", "2")
    rows = [
        (hand_in("Ana", student=ana), graded()),
        (hand_in("Ana", TWO, student=ana), graded(stem=TWO)),
        (hand_in("Ben", student=ben), graded(FULL)),
        broken("Ben", "not handed in", stem=TWO, student=ben, file=""),
        broken("Ben", "handed in twice", student=ben, key="ben-old", counts=False),
    ]
    write(rows, out)
    ana, ben = table(out, "marks.csv")
    two = marks.number(report.total(graded(stem=TWO))[0])
    assert (ana["name"], ana["id"], ana["email"], ana["section"]) == ("Ana", "1", "ana@x.org", "A")
    assert (ana[ONE], ana[TWO], ana["of"]) == ("8", two, "20")
    assert float(ana["total"]) == 8 + float(two)
    assert (ben[ONE], ben[TWO], ben["total"]) == ("0", "", "0")


def test_excel_reads_the_tables(out):
    """A mark of UTF-8 in front (F12); Korean stays Korean."""
    write([(hand_in("김민수", key="k"), graded())], out)
    for name in ("grades.csv", "marks.csv"):
        assert (out / name).read_bytes().startswith(b"\xef\xbb\xbf"), name
        assert "김민수" in (out / name).read_text("utf-8-sig")


@pytest.mark.parametrize(
    "sign", [*"=+-@＝＋－＠﹦−", "\t=", "\r=", "\n=", "\u202e=", "  =", "\u200b="]
)
def test_no_cell_is_a_formula(sign):
    made = marks.cell_text(f'{sign}HYPERLINK("http://x")')
    assert made.startswith("'") and "\n" not in made and "\t" not in made
    assert marks.cell_text("Kim-Minsu = x") == "Kim-Minsu = x" and marks.cell_text("-") == "-"


# Feedback


def test_feedback_says_where_a_cell_stopped_and_nothing_of_hidden_tests(out):
    result = graded(lost=["check-3"], message="RuntimeError")
    result.questions[2].hidden = True
    told = "line 4: sums = 1 / 0\nZeroDivisionError: division by zero"
    result.printed = {
        "answer-3": {"printed": "<i>7</i>", "error": ["ZeroDivisionError", "division", told]},
        "own-3": {"printed": "", "error": ["NameError", "x", "line 1: NameError: x"]},
    }
    write([(hand_in("Ana", code="sums = <b>1"), result)], out)
    shown = page(out)
    assert "A test that you cannot see failed: RuntimeError" in shown
    assert "line 4: sums = 1 / 0" in shown and "own-3" in shown and "line 1: NameError" in shown
    assert "sums = &lt;b&gt;1" in shown
    assert "&lt;i&gt;7" not in shown, "what a cell prints may be what a hidden test handed in"
    hidden = re.search(
        r"BEGIN HIDDEN TESTS\n(.*?)### END",
        next(c.source for c in notebooks.read(master(ONE)).cells if c.id == "check-3"),
        re.S,
    )[1]
    for text in filter(None, map(str.strip, hidden.splitlines())):
        assert text not in shown


def test_names_cannot_turn_a_page(out):
    write([(hand_in("Ana\u202e\u2066<b>", key="k"), graded())], out)
    for text in (page(out, "k"), (out / "summary.html").read_text("utf-8")):
        assert "<bdi>Ana&lt;b&gt;</bdi>" in text
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)


def test_what_formgrader_shows_has_the_rubric(out):
    write([(hand_in("Ana"), graded(lost=["check-3"]))], out)
    notebook = nbformat.read(out / "autograded" / f"ana-{ONE}" / ONE / f"{ONE}.ipynb", 4)
    nbformat.validate(notebook)
    texts = {cell.id: cell for cell in notebook.cells}
    assert "Rubric" in texts["rubric-answer-7"].source
    assert "failed yours has the shape ()" in texts["check-3"].outputs[0].text


def test_pages_fit_a_phone_and_can_be_read_in_the_dark(out):
    """At 390 pixels nothing is cut off, and axe finds nothing serious, light and dark."""
    long = "x" * 300
    result = graded(["check-3"], message=f"yours is {long}")
    result.printed = {"answer-3": {"printed": long, "error": ["E", "m", f"line 4: {long}"]}}
    late = hand_in("Ana" + long[:150], code=long, key="ana", factor=0.5, notes=["late by 1 day"])
    write([(late, result), broken("Ben")], out)
    with browser.chromium() as chromium:
        for file in ("feedback/ana.html", "summary.html"):
            for scheme in ("light", "dark"):
                context = chromium.new_context(
                    viewport={"width": 390, "height": 900}, color_scheme=scheme
                )
                page = context.new_page()
                page.goto((out / file).as_uri())
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, file
                shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (shade == "rgb(255, 255, 255)") == (scheme == "light")
                found = Axe().run(page).response["violations"]
                serious = [r["id"] for r in found if r["impact"] in ("serious", "critical")]
                assert serious == [], (file, scheme)
                context.close()


# The class


def test_the_summary_shows_the_class(out):
    """Shares of full marks over all, real failures only, who is missing, unknown, wrong (B3)."""
    one, two = "yours has the shape ()", "yours is negative"
    dana = {"student": Student("Dana", "4", listed=True), "file": ""}
    ben = {"student": Student("Ben", "2", listed=True)}
    rows = [
        (hand_in("Ana", student=Student("Ana", "1", listed=True)), graded(["check-3"], two)),
        (hand_in("Ben", **ben), graded(["check-3"], one)),
        (hand_in("Cai", student=Student("Cai", "3", listed=True)), graded(["check-3"], one)),
        broken("Dana", "not handed in", "nothing was handed in", **dana),
        (hand_in("Nobody", notes=["whose? the roster has nobody of this name"]), graded()),
        broken("Eve", "truncated", "the file ends too early"),
        broken("Ben", "handed in twice", "the newest counts", key="ben-old", counts=False, **ben),
    ]
    rows[0][1].questions[0] = Question("check-1", 1, 0.0, "not answered", "is still to do")
    rows[0][1].seconds = 9.0
    write(rows, out)
    for name, points in (("ana", 2.0), ("ben", 1.0)):
        formgrader(out, f"{name}-{ONE}", "answer-7", points=points)
    for _, result in rows:
        result.questions = [Question(**{f: getattr(q, f) for f in Question.__match_args__})
                            for q in result.questions]  # fmt: skip
    write(rows, out)
    text = (out / "summary.html").read_text("utf-8")
    cells = dict(re.findall(r"<tr><td>(\d)</td>(.*?)</tr>", text))
    assert (
        "75%" in cells["1"] and "1 not answered" in cells["1"] and "still to do" not in cells["1"]
    )
    assert "25%" in cells["3"] and f"{one} (2 times of 3)" in cells["3"]
    assert "50%" in cells["7"] and "2 to be read" in cells["7"] and "1.5 of 2" in cells["7"]
    assert "Not handed in: 1" in text and "Dana" in text
    assert "On no line of the roster: 2" in text and "whose?" in text
    assert "Not as usual: 1" in text and "truncated: the file ends too early" in text
    assert "Handed in more than once: these do not count: 1" in text
    assert "longest 9.0" in text and "6 hand-ins, 6 students (4 on the roster)" in text
    assert "Students by points:" in text and "<img" in text
    for link in re.findall(r"href='([^']+)'", text):
        assert (out / link).is_file()


def test_a_regrade_says_whose_marks_moved(out, capsys):
    write([(hand_in("Ana"), graded(["check-3"])), (hand_in("Ben"), graded())], out)
    assert "moved" not in capsys.readouterr().out
    write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    moved = f"Ana {ONE} check-3 0 -> 2"
    assert f"moved: {moved}\n" in capsys.readouterr().out
    text = (out / "summary.html").read_text("utf-8")
    assert "Moved since the last run: 1" in text and moved.replace(">", "&gt;") in text
    write([(hand_in("Ana"), graded()), broken("Ben")], out)
    assert f"moved: Ben {ONE} 8 -> empty" in capsys.readouterr().out
    write([(hand_in("Ana", text="Else.", code="x"), graded(["check-1"]))], out)
    told = capsys.readouterr().out
    assert f"moved: Ana {ONE} check-1 1 -> 0 (handed in again)" in told
    (out / "marks.json").write_text('{"a": 3, "b"')  # of no use: as if there had been no run
    write([(hand_in("Ana"), graded())], out)
    assert "moved" not in capsys.readouterr().out
    assert json.loads((out / "marks.json").read_text("utf-8"))


# The way back


def points_of(person):
    """A mark that nobody else of the class has."""
    return (person.number % 100) / 4


def graded_class(tmp_path, out, form, system, known, capsys):
    """Collect a system's export, where two handed in nothing, and write everything for it."""
    people = dict(list(hand_ins.one_each().items())[:-2])
    owners = {hashlib.sha256(content).hexdigest(): who for who, content in people.items()}
    place = hand_ins.FORMS[form].write(tmp_path / "in", people)
    listed = hand_ins.roster(tmp_path / "class.csv", known) if known else None
    rows = []
    for one in submissions.collect(place, roster=listed, system=system):
        result = Result(one.status or "graded", one.sentence)
        if not one.status:
            points = points_of(owners[one.digest])
            result.questions = [Question("check-1", 10.0, points, "failed", "wrong")]
        rows.append((one, result))
    report.write_all(rows, out)
    exports.write_all(rows, out)
    return people


@pytest.mark.parametrize("known", ["canvas", "plain", ""])
def test_a_class_from_canvas_goes_back(tmp_path, out, known, capsys):
    """Twenty marks, each to its own student; two of them are called the same."""
    people = graded_class(tmp_path, out, "canvas", "canvas", known, capsys)
    course = {p.sid: p.login for p in hand_ins.PEOPLE}
    sis = {str(p.number): p.login for p in hand_ins.PEOPLE} if known else {}
    assert not set(course) & set(sis)
    found, points = canvas_import(out / "exports" / "canvas.csv", course, sis)
    title = "Exercise 02 (4711)" if known == "canvas" else "Exercise 02: Padding and stride"
    assert points == {title: "10"}
    assert {login: found[login][title] for login in found if found[login][title]} == {
        p.login: marks.number(points_of(p)) for p in people
    }
    assert len(found) == (20 if known == "canvas" else 18)
    with zipfile.ZipFile(out / "exports" / f"canvas-feedback-{TWO}.zip") as packed:
        users = {re.findall(r"(?<=_)\d+(?=_)", name)[0] for name in packed.namelist()}
    assert users == {p.sid for p in people}


@pytest.mark.parametrize("form", ["moodle", "moodle, flat"])
@pytest.mark.parametrize("known", ["moodle", "plain", ""])
def test_a_class_from_moodle_goes_back(tmp_path, out, known, form, capsys):
    people = graded_class(tmp_path, out, form, "moodle", known, capsys)
    found = moodle_import(out / "exports" / f"moodle-{TWO}.csv")
    given = {number: grade for number, (grade, _) in found.items() if grade}
    assert given == {int(p.sid): marks.number(points_of(p)) for p in people}
    files = moodle_files(out / "exports" / f"moodle-feedback-{TWO}.zip")
    assert set(files) == {int(p.sid) for p in people}


@pytest.mark.parametrize("known", ["blackboard", "plain", ""])
def test_a_class_from_blackboard_goes_back(tmp_path, out, known, capsys):
    people = graded_class(tmp_path, out, "blackboard", "blackboard", known, capsys)
    lines = table(out / "exports", "blackboard.xls", "utf-16", "\t")
    title = "Exercise 02: Padding and stride"
    title = "Exercise 02 [Total Pts: 10 Score] |123456" if known == "blackboard" else title
    given = {x["Username"]: x[title] for x in lines if x[title]}
    assert given == {p.login: marks.number(points_of(p)) for p in people}


@pytest.mark.parametrize("known", ["brightspace", "plain"])
def test_a_class_from_brightspace_goes_back(tmp_path, out, known, capsys):
    people = graded_class(tmp_path, out, "brightspace", "brightspace", known, capsys)
    lines = table(out / "exports", "brightspace.csv")
    (title,) = [heading for heading in lines[0] if "Points Grade" in heading]
    given = {x["OrgDefinedId"].lstrip("#"): x[title] for x in lines if x[title]}
    if known == "plain":  # it has the Korean names, and Brightspace's folders the others
        people = [p for p in people if p.number > 20260004]
        assert "has no OrgDefinedId" in (out / "exports" / "notes.txt").read_text("utf-8")
    ids = {p: p.sid if known == "brightspace" else str(p.number) for p in people}
    assert given == {ids[p]: marks.number(points_of(p)) for p in people}
    with zipfile.ZipFile(out / "exports" / f"brightspace-feedback-{TWO}.zip") as packed:
        assert len({name.split("/")[0] for name in packed.namelist()}) == 18


@pytest.mark.parametrize("form", ["gradescope", "github", "google", "zips", "folders", "files"])
def test_all_others_have_the_table_and_a_zip_of_pages(tmp_path, out, form, capsys):
    people = graded_class(tmp_path, out, form, "", "", capsys)
    given = sorted(float(x["total"]) for x in table(out, "marks.csv"))
    assert given == sorted(points_of(p) for p in people)
    with zipfile.ZipFile(out / "exports" / f"feedback-{TWO}.zip") as packed:
        assert len(set(packed.namelist())) == len(people)


def test_marks_that_lack_an_answer_in_words_are_not_to_be_imported_yet(out, capsys):
    """They were a point too low in the system's table, and nothing said so."""
    (words,) = [q.name for q in graded().questions if q.points is None]
    rows = write([(hand_in("Ana"), graded()), (hand_in("Ben"), graded())], out)
    notes = (out / "exports" / "notes.txt").read_text("utf-8")
    assert "Exercise 01: Convolution by hand: not to be imported yet" in notes
    assert "still to be read: 2, which lack up to 2 points" in notes
    for name in ("ana", "ben"):
        formgrader(out, f"{name}-{ONE}", words, points=1.0)
    write(rows, out)
    assert not (out / "exports" / "notes.txt").exists()


def canvas_import(file, course, sis=()):
    """Read a file as Canvas does: {Canvas's student: {assignment: grade}}; see exports.py."""
    rows = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"))))
    head = rows[0]
    assert "Student" in head[0] and "ID" in head[1] and "Section" in head
    first = head.index("Section") + 1
    found, points = {}, {}
    for row in rows[1:]:
        if "Points Possible" in row[0]:
            points = dict(zip(head[first:], row[first:]))
            continue
        assert row[1] in course or not row[1], "an id that is not Canvas's"
        own = [course[row[1]]] if row[1] else []
        school = [sis[row[head.index("SIS User ID")]]] if not own else []
        (student,) = own or school
        found[student] = dict(zip(head[first:], row[first:]))
    return found, points


CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Exercise 01: Convolution by hand (771),"
    "Exercise 02 (772),Quiz 1 (773),Final Score\n"
    "    Points Possible,,,,,10.00,10.00,5.00,(read only)\n"
    '"Kim, Minsu",12345,S1,kms,CS 101,3.00,,4.00,70\n'
    '"=Lee, Jiwoo",12346,S2,ljw,CS 101,,EX,5.00,80\n'
    '"Park, Ara",12347,S3,pa,CS 101,7.00,1.00,5.00,90\n'
)


def rows_of(listed, stem=ONE, file="{name}/x.ipynb", system="plain"):
    """The first student has all points, the second lost two, the third handed in nothing."""
    first, second, third = listed
    made = []
    for student, lost in ((first, []), (second, ["check-3"])):
        name = file.format(name=student.name, id=student.id)
        one = hand_in(student.id, stem, student=student, key=f"k{student.id}-{stem}", file=name)
        one.system = system
        made.append((one, graded(lost, stem=stem)))
    missing = {"student": third, "key": f"k{third.id}-{stem}", "stem": stem, "file": ""}
    return [*made, broken(third.id, "not handed in", "nothing was handed in", **missing)]


def from_table(tmp_path, text, encoding="utf-8-sig"):
    """The students of a system's table, as the roster has them."""
    (tmp_path / "roster.csv").write_text(text, encoding)
    return roster.read(tmp_path / "roster.csv").students


def test_canvas_takes_it_back(out, tmp_path):
    listed = from_table(tmp_path, CANVAS)
    file = "{name}_{id}_998877_01_convolution_by_hand.ipynb"
    write(rows_of(listed, file=file) + rows_of(listed, TWO), out)
    course = {"12345": "Kim", "12346": "Lee", "12347": "Park"}
    found, points = canvas_import(out / "exports" / "canvas.csv", course)
    one, two = "Exercise 01: Convolution by hand (771)", "Exercise 02 (772)"
    assert points == {one: "10", two: "10"}
    full = marks.number(report.total(graded(stem=TWO))[0])
    assert found["Kim"] == {one: "8", two: full}
    assert found["Lee"][one] == "6"
    assert found["Park"] == {one: "7.00", two: "1.00"}  # handed in nothing: as Canvas has it
    text = (out / "exports" / "canvas.csv").read_text("utf-8-sig")
    assert '"Kim, Minsu",12345,S1,kms,CS 101' in text and '"\'=Lee, Jiwoo",12346' in text
    assert "Quiz 1" not in text and "Final Score" not in text
    with zipfile.ZipFile(out / "exports" / f"canvas-feedback-{ONE}.zip") as packed:
        names = packed.namelist()
        assert len(names) == 2 and all(
            "_12345_998877_" in n or "_12346_998877_" in n for n in names
        )
        user, attachment = re.findall(r"(?<=_)\d+(?=_)", names[0])[:2]
        assert (user, attachment) in {("12345", "998877"), ("12346", "998877")}
        assert b"<!doctype html>" in packed.read(names[0])


def test_canvas_without_its_table(out):
    """The ids of the hand-ins' names; a student without one is told, and is not in the file."""
    rows = rows_of([Student("Kim", "12345"), Student("Lee"), Student("Park", "12347")])
    write(rows, out, system="canvas")
    found, _ = canvas_import(out / "exports" / "canvas.csv", {"12345": "Kim", "12347": "Park"})
    assert found["Kim"] == {"Exercise 01: Convolution by hand": "8"}
    assert "Park" not in found  # handed in nothing: Canvas keeps what it has
    assert "Lee (Lee/x.ipynb) has no Canvas id" in (out / "exports" / "notes.txt").read_text(
        "utf-8"
    )


def test_what_could_not_be_graded_is_empty_in_canvas(out, tmp_path):
    listed = from_table(tmp_path, CANVAS)
    rows = rows_of(listed)
    rows[2] = broken("Park", student=listed[2])
    write(rows, out)
    course = {"12345": "Kim", "12346": "Lee", "12347": "Park"}
    found, _ = canvas_import(out / "exports" / "canvas.csv", course)
    assert list(found["Park"].values()) == [""]


MOODLE = (
    'Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    'Participant 501,"Kim Minsu",kim@x.org,Submitted,,100.00,Yes,"Friday, 20 November 2026",-,\n'
    'Participant 502,"Lee Jiwoo",lee@x.org,Submitted,,100.00,Yes,"Friday, 20 November 2026",-,\n'
    'Participant 503,"Park Ara",park@x.org,"No submission",3.00,100.00,Yes,-,-,see me\n'
)


def moodle_import(file):
    """Read a worksheet as Moodle does: {participant: (grade, comments)}; see exports.py."""
    lines = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(lines[0])
    return {
        int(x["Identifier"][len("Participant ") :]): (x["Grade"], x["Feedback comments"])
        for x in lines
    }


def moodle_files(file):
    """Read a zip of feedback as Moodle does: {participant: (plugin, file)}."""
    found = {}
    with zipfile.ZipFile(file) as packed:
        for name in packed.namelist():
            folder, _, rest = name.partition("/")
            _, number, kind, plugin = folder.split("_", 4)[:4]
            found[int(number)] = (kind, plugin, rest)
    return found


def test_moodle_takes_it_back(out, tmp_path):
    listed = from_table(tmp_path, MOODLE)
    file = "{name}_{id}_assignsubmission_file_/hw.ipynb"
    rows = rows_of(listed, file=file)
    gradebook.write(rows, out)
    gradebook.give(out, ONE, "answer-7", rows[0][0].key, 1.0, "Why <b>?")
    write(rows_of(listed, file=file), out)
    found = moodle_import(out / "exports" / f"moodle-{ONE}.csv")
    assert {number: grade for number, (grade, _) in found.items()} == {
        501: "9", 502: "6", 503: "3.00",
    }  # fmt: skip
    assert found[501][1].startswith("9 of 10 points; ") and "Why &lt;b&gt;?" in found[501][1]
    assert "3: 0 of 2" in found[502][1] and "2 points to be read" in found[502][1]
    assert found[503][1] == "see me"
    head = MOODLE.splitlines()[0].replace('"', "")
    text = (out / "exports" / f"moodle-{ONE}.csv").read_text("utf-8-sig")
    assert text.splitlines()[0] == head
    notes = (out / "exports" / "notes.txt").read_text("utf-8")
    assert "the worksheet's maximum is 100.00, not 10" in notes
    files = moodle_files(out / "exports" / f"moodle-feedback-{ONE}.zip")
    assert files == dict.fromkeys((501, 502), ("assignsubmission", "file", "feedback.html"))


def test_moodle_counts_participants_for_each_exercise(out, tmp_path):
    """The number in a folder's name is this assignment's; the roster's is another one's."""
    listed = from_table(tmp_path, MOODLE)
    rows = rows_of(listed, file="{name}_8{id}_assignsubmission_file_/x.ipynb")
    rows += rows_of(listed, TWO, file="Kim_Min_9{id}_assignsubmission_file_/x.ipynb")
    write(rows, out)
    assert set(moodle_import(out / "exports" / f"moodle-{ONE}.csv")) == {8501, 8502}
    assert set(moodle_import(out / "exports" / f"moodle-{TWO}.csv")) == {9501, 9502}
    assert set(moodle_files(out / "exports" / f"moodle-feedback-{TWO}.zip")) == {9501, 9502}


def test_moodle_without_its_table(out):
    file = "{name}_501_assignsubmission_file_/x.ipynb"
    write(rows_of([Student("Kim"), Student("Lee"), Student("Park")], file=file)[:1], out, "moodle")
    assert moodle_import(out / "exports" / f"moodle-{ONE}.csv")[501][0] == "8"


BLACKBOARD = (
    '"Last Name"\t"First Name"\t"Username"\t"Student ID"\t"Last Access"\t"Availability"\t'
    '"Exercise 01 [Total Pts: 10 Score] |3229258"\t"Quiz [Total Pts: 5 Score] |3229259"\n'
    '"김"\t"민수"\t"kms123"\t"2026001"\t"2026-11-20"\t"Yes"\t""\t"4"\n'
    '"Lee"\t"=Jiwoo"\t"ljw"\t"2026002"\t"2026-11-20"\t"Yes"\t"1"\t""\n'
    '"Park"\t"Ara"\t"pa"\t"2026003"\t""\t"Yes"\t""\t""\n'
)


def test_blackboard_takes_it_back(out, tmp_path):
    """By Username and the number of the column, in the form in which it wrote its own file."""
    listed = from_table(tmp_path, BLACKBOARD, "utf-16")
    write(rows_of(listed), out)
    file = out / "exports" / "blackboard.xls"
    assert file.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
    lines = table(out / "exports", "blackboard.xls", "utf-16", "\t")
    column = "Exercise 01 [Total Pts: 10 Score] |3229258"
    assert {x["Username"]: x[column] for x in lines} == {"kms123": "8", "ljw": "6", "pa": ""}
    assert lines[0]["Last Name"] == "김" and lines[0]["Student ID"] == "2026001"
    assert lines[1]["First Name"] == "'=Jiwoo"
    assert not any("Quiz" in heading for heading in lines[0])


def test_blackboard_without_its_table(out):
    write(
        rows_of([Student("", "kms123"), Student("", "ljw"), Student("", "pa")]), out, "blackboard"
    )
    lines = table(out / "exports", "blackboard.xls", "utf-16", "\t")
    title = "Exercise 01: Convolution by hand"
    assert {x["Username"]: x[title] for x in lines} == {"kms123": "8", "ljw": "6"}


BRIGHTSPACE = (
    "OrgDefinedId,Username,Last Name,First Name,Email,Convolution by hand Points Grade "
    "<Numeric MaxPoints:10 Weight:10>,End-of-Line Indicator\n"
    "#2026001,#kms,Kim,Minsu,kim@x.org,,#\n"
    "#2026002,#ljw,Lee,Jiwoo,lee@x.org,2,#\n"
    "#2026003,#pa,Park,Ara,park@x.org,5,#\n"
)


def test_brightspace_takes_it_back(out, tmp_path):
    listed = from_table(tmp_path, BRIGHTSPACE)
    file = "777-88 - {name} - Nov 20, 2026 1010 AM/x.ipynb"
    write(rows_of(listed, file=file), out)
    lines = table(out / "exports", "brightspace.csv")
    column = "Convolution by hand Points Grade <Numeric MaxPoints:10 Weight:10>"
    assert list(lines[0]) == ["OrgDefinedId", "Username", column, "End-of-Line Indicator"]
    assert [x["OrgDefinedId"] for x in lines] == ["#2026001", "#2026002", "#2026003"]
    assert [x[column] for x in lines] == ["8", "6", "5"]
    assert {x["End-of-Line Indicator"] for x in lines} == {"#"}
    with zipfile.ZipFile(out / "exports" / f"brightspace-feedback-{ONE}.zip") as packed:
        assert "777-88 - Lee Jiwoo - Nov 20, 2026 1010 AM/feedback.html" in {
            name.replace("Jiwoo Lee", "Lee Jiwoo") for name in packed.namelist()
        }


def test_brightspace_asks_for_its_table(out):
    """The number in a folder's name is not the one that it imports by: nobody is guessed."""
    rows = rows_of([Student("Kim", "777"), Student("Lee", "778"), Student("Park", "779")])
    write(rows, out, system="brightspace")
    assert table(out / "exports", "brightspace.csv") == []
    assert "Kim (777) has no OrgDefinedId" in (out / "exports" / "notes.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("titles", "fits"),
    [
        (["Exercise 01: Convolution by hand (1)", "Quiz (2)"], 0),
        (["01_convolution_by_hand (1)", "Exercise 02 (2)"], 0),
        (["HW 2 (1)", "HW 1 (2)", "HW 11 (3)"], 1),
        (["과제 1 (1)", "과제 10 (2)"], 0),
        (["Exercise 1 (a) (1)", "Exercise 1 (b) (2)"], None),
        (["Quiz 1 (1)"], None),
    ],
)
def test_the_column_of_an_exercise_is_found_or_nobody_guesses(titles, fits):
    left = exports.Left()
    found = exports._column(titles, ONE, "canvas", left)
    assert found == ("" if fits is None else titles[fits])
    assert bool(left.lines) == (fits is None)


def test_all_others_get_a_page_for_each_student(out):
    """Names for bulk upload; who handed in nothing, and what does not count, has no page in it."""
    students = [Student("김민수", "1"), Student("a/b:c*", "2"), Student("Zoe", "3")]
    rows = rows_of(students)
    rows.append(broken("old", "handed in twice", student=students[0], key="old", counts=False))
    write(rows, out)
    written = {file.name for file in (out / "exports").iterdir()}
    assert written == {f"feedback-{ONE}.zip", "notes.txt"}  # answers are still to be read
    with zipfile.ZipFile(out / "exports" / f"feedback-{ONE}.zip") as packed:
        assert sorted(packed.namelist()) == ["a_b_c_ 2.html", "김민수 1.html"]


def test_a_class_of_a_hundred_is_written_in_time(out, record_property):
    """The gradebook, pages and exports of 100 hand-ins."""
    rows = [
        (hand_in(f"S{n:03}", student=Student(f"S{n:03}", str(n))), graded()) for n in range(100)
    ]
    started = time.monotonic()
    write(rows, out, "canvas")
    seconds = time.monotonic() - started
    record_property("writing", f"100 hand-ins written in {seconds:.1f} s")
    assert len(table(out, "marks.csv")) == 100 and seconds < 60, seconds
