"""The whole way, by the command: a folder goes in; a table, a summary and feedback come out."""

import csv
import os
import shutil
import signal
import threading
import time

import pytest
from distributed import Client, LocalCluster

from tests.grading import (
    FULL,
    LIMITS,
    STEM,
    folder_of,
    handed_in,
    master,
    patient_zygote,
    points,
    zygote,
)
from tools import exercises, notebooks
from tools.errors import CourseError
from tools.grading import demo, grade, report, score, submissions, wall

__all__ = ["patient_zygote", "zygote"]  # fixtures


def test_the_command_writes_all_and_goes_on_where_it_was(zygote, tmp_path, monkeypatch):
    hostile = handed_in({"answer-3": THREATS["patched NumPy"]["answers"]["answer-3"]})
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
    done = grade.grade_all(found, out / "results", LIMITS, jobs=2)
    report.write_all([(s, done[s.file]) for s in found], out)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before

    with (out / "grades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    totals = {row["student"]: row["points"] for row in rows if row["question"] == "total"}
    assert totals == {"Ana": "8", "'=SUM(1)": "0", "<b>Kim": "6", "Lee": ""}
    assert [row["points"] for row in rows if row["question"] == "answer-7"] == [""] * 3
    pages = {page.parent.name: page.read_text() for page in out.rglob("feedback/*/*.html")}
    assert len(pages) == 4
    for page in [*pages.values(), (out / "summary.html").read_text()]:
        assert "<b>Kim" not in page and "http" not in page and "_hidden" not in page
        assert "np.random" not in page  # no line of a test

    monkeypatch.setattr(grade, "grade_one", None)  # a second run has nothing to do
    again = grade.grade_all(found, out / "results", LIMITS, jobs=2)
    assert {name: result.as_dict() for name, result in again.items()} == {
        name: result.as_dict() for name, result in done.items()
    }


def test_a_changed_submission_is_graded_again(tmp_path):
    folder = folder_of(tmp_path, {"kim.ipynb": exercises.release(master())})
    (one,) = submissions.collect(folder)
    folder_of(tmp_path, {"kim.ipynb": handed_in({})})
    (other,) = submissions.collect(folder)
    assert grade.key_of(one, LIMITS) != grade.key_of(other, LIMITS)


def test_a_failure_of_the_grader_is_no_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "_zygote", None)
    monkeypatch.setattr(wall, "command", lambda *_: ["false"])
    found = submissions.collect(folder_of(tmp_path, {"kim.ipynb": handed_in({})}))
    result = grade.grade_one(found[0], LIMITS, True)
    assert result.status == "not graded" and report.total(result)[0] is None


def test_without_bubblewrap_it_refuses(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CourseError, match="--unsafe"):
        wall.refuse_without_a_wall()


def test_unsafe_grades_without_a_wall(tmp_path):
    zygote = wall.Server(LIMITS, grade.DATA, safe=False)
    assert points(score.Grader(master(), handed_in({}), zygote).run()) == FULL


def test_the_instructors_page_lists_every_threat():
    page = (notebooks.ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    assert [name for name in THREATS if f"| {name} |" not in page] == []


def some_wrong_answers(count):
    found = [submission for path in notebooks.masters() for submission in demo.one_by_one(path)]
    training = ("05_mnist_convnet answer-7", "07_dropout_and_augmentation answer-7")
    quick = [s for s in found if not s.file.startswith(training)]
    return quick[:: len(quick) // count]


def test_wrong_answers_lose_their_points_behind_the_wall(patient_zygote):
    """A share of them; "python -m tools.grading.demo --mutants" grades them all."""
    for submission in some_wrong_answers(22):
        path = grade.master_of(submission.assignment)
        result = score.Grader(path, submission.notebook, patient_zygote).run()
        assert report.total(result)[0] == 0, (submission.file, result.questions)


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
    assert {result.status for result in done.values()} == {"graded"}
    assert sorted(done) == sorted(s.file for s in found)
    assert len(list((tmp_path / "results").glob("*.json"))) == len(found)
