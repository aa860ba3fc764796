"""The whole way, by the command: a folder goes in; tables, a summary and feedback come out."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import hand_ins
from tests.grading import (
    FULL,
    LIMITS,
    ROOT,
    STEM,
    folder_of,
    full,
    handed_in,
    master,
    patient_zygote,
    points,
    zygote,
)
from tools import exercises, notebooks
from tools.errors import CourseError
from tools.grading import demo, exports, grade, gradebook, report, score, submissions, wall

__all__ = ["patient_zygote", "zygote"]  # fixtures


def graded(found, out, limits=LIMITS):
    """Do what the command does with what was collected; return the rows."""
    done = grade.grade_all(found, out / "results", limits, jobs=2)
    rows = [(submission, done[submission.key]) for submission in found]
    out.mkdir(parents=True, exist_ok=True)
    gradebook.write(rows, out)
    report.write_all(rows, out)
    exports.write_all(rows, out)
    return rows


def table(file):
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_command_writes_all_and_goes_on_where_it_was(zygote, tmp_path, monkeypatch):
    hostile = handed_in({"answer-3": demo.threats()["patched NumPy"]["answers"]["answer-3"]})
    folder = folder_of(
        tmp_path,
        {
            f"Ana_{STEM}.ipynb": handed_in({}),
            f"=SUM(1)_{STEM}.ipynb": exercises.release(master()),
            f"<b>Kim_{STEM}.ipynb": hostile,
            "Lee.ipynb": b"{",
        },
    )
    before = {path: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "graded"
    found = submissions.collect(folder)
    rows = graded(found, out)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before

    lines = table(out / "grades.csv")
    totals = {row["student"]: row["points"] for row in lines if row["question"] == "total"}
    assert totals == {"Ana": "8", "'=SUM(1)": "0", "<b>Kim": "6", "Lee": ""}
    assert [row["points"] for row in lines if row["question"] == "answer-7"] == [""] * 3
    pages = [page.read_text(encoding="utf-8") for page in (out / "feedback").glob("*.html")]
    assert len(pages) == 4
    for page in [*pages, (out / "summary.html").read_text(encoding="utf-8")]:
        assert "<b>Kim" not in page and "http" not in page and "_hidden" not in page
        assert "np.random" not in page  # no line of a test

    monkeypatch.setattr(grade, "grade_one", None)  # a second run has nothing to do
    again = grade.grade_all(found, out / "results", LIMITS, jobs=2)
    told = {submission.key: result for submission, result in rows}
    assert {key: demo.earned(r) for key, r in again.items()} == {
        key: demo.earned(r) for key, r in told.items()
    }


def test_a_changed_submission_is_graded_again(tmp_path):
    folder = folder_of(tmp_path, {"kim.ipynb": exercises.release(master())})
    (one,) = submissions.collect(folder)
    folder_of(tmp_path, {"kim.ipynb": handed_in({})})
    (other,) = submissions.collect(folder)
    assert grade.key_of(one, LIMITS) != grade.key_of(other, LIMITS)


# The right mark for the right student

TWENTY = hand_ins.STEM


def lost_by(number):
    """Return the checks that the student with this number has left undone: never the same ones."""
    names = sorted(full(TWENTY))
    return {name for place, name in enumerate(names) if (number + 1) >> place & 1}


@pytest.fixture(scope="module")
def twenty(zygote):
    """Return twenty notebooks, {person: bytes}, and {digest: (person, known mark)}."""
    path = master(TWENTY)
    stubs = {cell.id: cell.source for cell in exercises.release(path).cells}
    contents, known = {}, {}
    for number, person in enumerate(hand_ins.PEOPLE):
        lost = lost_by(number)
        undone = {name.replace("check", "answer") for name in lost}
        notebook = demo.handed_in(path, {answer: stubs[answer] for answer in undone})
        contents[person] = json.dumps(notebook).encode()
        mark = {name: 0.0 if name in lost else most for name, most in full(TWENTY).items()}
        known[hashlib.sha256(contents[person]).hexdigest()] = person, mark
    assert len({json.dumps(mark) for _, mark in known.values()}) == len(hand_ins.PEOPLE)
    return contents, known


@pytest.fixture(scope="module")
def once(twenty):
    """Return what grades each of the twenty once, for all forms in which they arrive."""
    results = {}

    def grade_one(submission, limits, safe):
        if submission.digest not in results:
            results[submission.digest] = kept(submission, limits, safe)
        return results[submission.digest]

    kept = grade.grade_one
    return grade_one


@pytest.mark.parametrize("form", hand_ins.FORMS)
def test_twenty_hand_ins_have_their_twenty_marks(form, twenty, once, tmp_path, monkeypatch):
    """Each of the twenty, in every form in which a system hands them over."""
    monkeypatch.setattr(grade, "grade_one", once)
    contents, known = twenty
    place = hand_ins.FORMS[form].write(tmp_path / "in", contents)
    found = submissions.collect(place)
    done = grade.grade_all(found, tmp_path / "results", LIMITS)
    seen = set()
    for submission in found:
        person, mark = known[submission.digest]
        told = hand_ins.FORMS[form].told(person)
        for name, value in told.items():  # where names are all there is, two of one name have "(2)"
            assert getattr(submission.student, name) in (value, f"{value} (2)")
        assert points(done[submission.key]) == mark, (person, submission.file)
        seen.add(person)
    assert len(found) == len(seen) == len(hand_ins.PEOPLE)
    assert len({s.key for s in found}) == len(found)


HOME = {  # system: the file that it imports, how it is read, and whose row a row is
    "canvas": ("utf-8-sig", ",", "SIS User ID", lambda p: str(p.number)),
    "moodle": ("utf-8-sig", ",", "Identifier", lambda p: f"Participant {p.sid}"),
    "blackboard": ("utf-16", "\t", "Username", lambda p: p.login),
    "brightspace": ("utf-8-sig", ",", "OrgDefinedId", lambda p: f"#{p.sid}"),
}


@pytest.mark.parametrize("system", HOME)
def test_every_mark_finds_its_way_home(system, twenty, once, tmp_path, monkeypatch):
    """From a system's export and its own table of the class, back into that table's columns."""
    monkeypatch.setattr(grade, "grade_one", once)
    contents, known = twenty
    encoding, delimiter, column, identity = HOME[system]
    place = hand_ins.FORMS[system].write(tmp_path / "in", contents)
    roster = hand_ins.roster(tmp_path / "roster.csv", system)
    with roster.open(encoding=encoding, newline="") as opened:
        before = list(csv.DictReader(opened, delimiter=delimiter))
    rows = graded(submissions.collect(place, roster=roster), tmp_path / "out")
    assert {s.student.listed for s, _ in rows} == {True}
    written = (tmp_path / "out" / "exports").rglob("*.*")
    (file,) = [f for f in written if f.suffix != ".zip" and system in str(f).lower()]
    with file.open(encoding=encoding, newline="") as opened:
        lines = list(csv.DictReader(opened, delimiter=delimiter))
    # Brightspace takes the ids and the grade, and nothing else of the table.
    needed = {"OrgDefinedId", "Username"} if system == "brightspace" else set(before[0])
    assert needed <= set(lines[0])
    marks = {line[column]: line for line in lines}
    for person, mark in known.values():
        values = [v for k, v in marks[identity(person)].items() if k and "02" in k or k == "Grade"]
        assert f"{sum(mark.values()):g}" in values, (person, marks[identity(person)])


# Whatever is thrown at it

NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode("utf-8", "replace")) < 200
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)
RETURNED = PLAIN.map(
    lambda value: f"nan, inf = float('nan'), 1e999\ndef conv1d(*a, **k): return {value!r}"
)
ANSWERS = st.dictionaries(
    st.sampled_from(["answer-1", "answer-3", "answer-5"]), RETURNED | st.text(max_size=200)
)
CELLS = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "x"]), "source": PLAIN},
    optional={"id": PLAIN, "metadata": PLAIN, "outputs": PLAIN},
)
HANDED_IN = st.one_of(
    st.binary(max_size=300),
    PLAIN.map(lambda value: json.dumps(value).encode()),
    st.lists(CELLS, max_size=5).map(lambda cells: json.dumps({"cells": cells}).encode()),
    ANSWERS.map(lambda answers: json.dumps(handed_in(answers)).encode()),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(files=st.dictionaries(NAMES, HANDED_IN, min_size=1, max_size=4))
def test_it_always_ends_with_a_row_for_each(zygote, tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("thrown")
    for number, (name, content) in enumerate(files.items()):
        place = folder / f"student {number}"
        place.mkdir()
        try:
            (place / f"{name}.ipynb").write_bytes(content)
        except (OSError, UnicodeEncodeError):  # no file can be called so here
            (place / "x.ipynb").write_bytes(content)
    started = time.monotonic()
    rows = graded(submissions.collect(folder), tmp_path_factory.mktemp("out") / "graded")
    assert time.monotonic() - started < 60 * len(files)
    owners = {s.file.split("student ")[1][0] for s, _ in rows}
    assert owners == set(map(str, range(len(files))))
    assert all(result.status and result.status != "not graded" for _, result in rows)


# Failures of the grader itself, and of the machine


def test_a_failure_of_the_grader_is_no_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "_zygote", None)
    monkeypatch.setattr(wall, "command", lambda *_: ["false"])
    found = submissions.collect(folder_of(tmp_path, {"kim.ipynb": handed_in({})}))
    result = grade.grade_one(found[0], LIMITS, True)
    assert result.status == "not graded" and demo.earned(result) is None


def test_where_nothing_can_be_imported_behind_the_wall_nobody_gets_0(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "_zygote", None)
    monkeypatch.setattr(wall, "_python_folders", lambda: [])
    (found,) = submissions.collect(folder_of(tmp_path, {"kim.ipynb": handed_in({})}))
    result = grade.grade_one(found, LIMITS, True)
    assert result.status == "not graded" and "trying the grader" in result.sentence
    assert demo.earned(result) is None and grade._zygote is None


def test_an_environment_that_was_installed_anew_is_no_students_fault(zygote, monkeypatch):
    monkeypatch.setattr(zygote, "environment", (0, 0))
    with pytest.raises(CourseError, match="was changed meanwhile"):
        score.grade(master(), handed_in({}), zygote)


def test_without_bubblewrap_it_refuses(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CourseError, match="--unsafe"):
        wall.refuse_without_a_wall()


def test_where_namespaces_are_forbidden_it_says_what_helps(monkeypatch):
    """As Ubuntu 24.04 and GitHub's runners answer."""
    words = ["sh", "-c", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1", "sh"]
    monkeypatch.setattr(wall, "command", lambda *_: words)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        CourseError, match="sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    ):
        wall.refuse_without_a_wall()


def test_root_is_told_when_others_cannot_read_the_environment(monkeypatch, tmp_path):
    closed = tmp_path / "python"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(wall, "_python_folders", lambda: [str(closed)])
    assert "cannot be read by other users" in wall.missing()


def test_unsafe_grades_without_a_wall():
    zygote = wall.Zygote(LIMITS, grade.DATA, safe=False)
    assert points(score.grade(master(), handed_in({}), zygote)) == FULL
    zygote.close()


SLOW = "import time\ntime.sleep(2)\n"


def test_a_run_that_is_killed_leaves_nothing_behind_and_loses_nothing(zygote, tmp_path):
    names = [f"student{number}_{STEM}.ipynb" for number in range(8)]
    folder = folder_of(tmp_path, {name: handed_in({}, [SLOW + f"# {name}"]) for name in names})
    out = tmp_path / "graded"
    words = [sys.executable, "-m", "tools.grading.grade", str(folder), "--jobs", "2"]
    words += ["--out", str(out)]
    run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(list((out / "results").glob("*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    below = wall.descendants(run.pid)
    assert len(below) >= 5
    words_of = Path(f"/proc/{below[0]}/environ").read_bytes().split(b"\0")
    (home,) = [Path(os.fsdecode(w[5:])) for w in words_of if w.startswith(b"HOME=")]
    assert home.is_dir()
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert wall.until_gone(below, 10) == []
    assert not home.exists()
    kept = {file: file.stat().st_mtime_ns for file in (out / "results").glob("*.json")}
    subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    totals = [row["points"] for row in table(out / "grades.csv") if row["question"] == "total"]
    assert totals == ["8"] * len(names)


def test_the_page_about_the_wall_lists_every_threat():
    page = (notebooks.ROOT / "book" / "wall.md").read_text(encoding="utf-8")
    assert [name for name in demo.threats() if f"| {name} |" not in page] == []


# Wrong answers, and a cluster


def some_wrong_answers(count):
    found = [submission for path in notebooks.masters() for submission in demo.one_by_one(path)]
    training = ("05_mnist_convnet-answer-7", "07_dropout_and_augmentation-answer-7")
    quick = [s for s in found if not s.key.startswith(training)]
    return quick[:: len(quick) // count]


def test_wrong_answers_lose_their_points_behind_the_wall(patient_zygote):
    """A share of them; "python -m tools.grading.demo --mutants" grades them all."""
    for submission in some_wrong_answers(22):
        path = grade.master_of(submission.assignment)
        result = score.grade(path, submission.notebook, patient_zygote)
        assert demo.earned(result) == 0, (submission.key, result.questions)


def test_a_cluster_grades_all_although_a_worker_is_killed(zygote, tmp_path):
    found = some_wrong_answers(12)
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        victim = cluster.workers[0].process.pid

        def kill_when_the_first_is_done():
            while not list((tmp_path / "results").glob("*.json")):
                time.sleep(0.1)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill_when_the_first_is_done)
        killer.start()
        pool = client.get_executor()
        done = grade.grade_all(found, tmp_path / "results", wall.Limits(), pool=pool)
        killer.join()
        folder = folder_of(tmp_path, {f"{n}_{STEM}.ipynb": handed_in({}, [n]) for n in "abc"})
        words = [sys.executable, "-m", "tools.grading.grade", str(folder)]
        words += ["--out", str(tmp_path / "out"), "--scheduler", cluster.scheduler_address]
        subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    totals = [r["points"] for r in table(tmp_path / "out/grades.csv") if r["question"] == "total"]
    assert totals == ["8"] * 3
    assert {result.status for result in done.values()} == {"graded"}
    assert sorted(done) == sorted(s.key for s in found)
    assert len(list((tmp_path / "results").glob("*.json"))) == len(found)
