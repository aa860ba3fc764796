"""The wall holds: each attack is a real submission, and none gains a point or leaves a trace.

tools/grading/threats.yml has the attacks on exercise 01: the answer cells that an attacker
writes, and what becomes of each question. These tests need bubblewrap (Debian, Ubuntu: apt install
bubblewrap).
"""

import csv
import functools
import json
import os
import shutil
import signal
import threading
import time
import unicodedata
import zipfile

import numpy as np
import pytest
from distributed import Client, LocalCluster
from nbformat import v4
from nbgrader.api import Gradebook

from tools import exercises, notebooks
from tools.errors import CourseError
from tools.grading import demo, grade, gradebook, report, score, submissions, values, wall

STEM = "01_convolution_by_hand"
LIMITS = wall.Limits(notebook=90, call=6, memory=1500 * wall.MIB, disk=8 * wall.MIB)
THREATS = demo.threats()
FULL = {"check-1": 1, "check-2": 1, "check-3": 2, "check-4": 2, "check-5": 1, "check-6": 1}


def started(limits):
    """Yield a server behind the wall. Where there can be no wall, say so and skip."""
    if reason := wall.missing():
        pytest.skip(f"the wall is not tested here: {reason}")
    os.environ.setdefault("COURSE_DATA", str(grade.DATA))
    os.environ |= {"A_SECRET": "of the instructor's", "COURSE_SEED": "2026"}
    server = wall.Server(limits, grade.DATA)
    yield server
    server.close()


@pytest.fixture(scope="module")
def server():
    yield from started(LIMITS)


@pytest.fixture(scope="module")
def patient_server():
    yield from started(wall.Limits())


@functools.cache
def master(stem=STEM):
    return next(path for path in notebooks.masters() if path.stem == stem)


def handed_in(answers, more=(), stem=STEM):
    """Return a right submission with other text in some answer cells, and cells after them."""
    notebook = demo.handed_in(master(stem), answers)
    notebook.cells += [v4.new_code_cell(source) for source in more]
    return notebook


def points(result):
    return {q.name: q.points for q in result.questions if q.points is not None}


def run(server, answers, more=()):
    return score.Grader(master(), handed_in(answers, more), server).run()


def test_a_right_submission_has_full_marks(server):
    result = run(server, {})
    assert points(result) == FULL and result.status == "graded", result.questions


@pytest.mark.parametrize("name", THREATS)
def test_threat(name, server):
    threat = THREATS[name]
    before = set(wall.descendants(server.process.pid))
    result = run(server, threat["answers"], threat.get("more", ()))
    expected = FULL | threat.get("points", {})
    assert points(result) == expected, [(q.name, q.status, q.message) for q in result.questions]
    statuses = {q.name: q.status for q in result.questions}
    for question, status in threat.get("status", {}).items():
        assert statuses[question] == status, result.questions
    assert threat.get("says", "") in json.dumps(result.as_dict()), result.as_dict()
    left = [p for p in set(wall.descendants(server.process.pid)) - before if wall.alive(p)]
    assert left == []
    assert result.seconds < 45


@pytest.mark.parametrize("name", ["a fork bomb", "the network", "writing outside", "becoming root"])
def test_the_wall_that_is_no_roots(name, server, monkeypatch):
    """Without root the wall is made of a user namespace; it holds as well."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    other = wall.Server(LIMITS, grade.DATA)
    threat = THREATS[name]
    result = run(other, threat["answers"])
    assert points(result) == FULL | threat["points"]
    assert threat.get("says", "") in json.dumps(result.as_dict()), result.printed
    assert points(run(other, {})) == FULL
    other.close()


def test_all_of_it_again_is_graded_right(server):
    """Whatever the attackers have done to the server, the next student does not notice."""
    assert points(run(server, {})) == FULL


# What an instructor gets


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


@pytest.mark.parametrize(
    ("name", "student"),
    [
        (f"{STEM}.ipynb", STEM),
        (f"Kim Minji_{STEM}.ipynb", "Kim Minji"),
        (f"{STEM} (1).ipynb", "(1)"),
        (f"doe jane_123_assignsubmission_file_{STEM}.ipynb", "doe jane 123"),
        (f"Copy of {STEM} - Ana.ipynb", "Ana"),
        (unicodedata.normalize("NFD", f"김민지_{STEM}.ipynb"), "김민지"),
        (f"jane/{STEM}/{STEM}.ipynb", "jane"),
        (f"O'Neil, Åsa/{STEM}/anything.ipynb", "O'Neil, Åsa"),
    ],
)
def test_students_names(tmp_path, name, student):
    found = submissions.collect(folder_of(tmp_path, {name: handed_in({})}))
    assert [(s.student, s.assignment, s.status) for s in found] == [(student, STEM, "")]


def without(cell_id, notebook):
    notebook.cells = [cell for cell in notebook.cells if cell.id != cell_id]
    return notebook


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"%PDF-1.4 ...", "not a notebook"),
        (bytes(range(128, 256)), "not a notebook"),
        (b"[" * 100_000, "not a notebook"),
        (b'{"a": 1}', "not a notebook"),
        (json.dumps(handed_in({})).encode()[:5000], "truncated"),
        (b"x" * (submissions.LARGEST + 1), "too large"),
        ((notebooks.ROOT / "notebooks" / f"{STEM}.ipynb").read_bytes(), "wrong assignment"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_run_has_a_status_and_a_sentence(tmp_path, content, status):
    found = submissions.collect(folder_of(tmp_path, {"kim.ipynb": content}))
    assert [s.status for s in found] == [status] and found[0].sentence
    done = grade.grade_all(found, tmp_path / "results", LIMITS)  # nothing is started for it
    assert report.total(done["kim.ipynb"])[0] is None, "not graded is not 0"


def test_the_wrong_exercise_is_named(tmp_path):
    folder = folder_of(tmp_path, {"kim.ipynb": handed_in({})})
    (found,) = submissions.collect(folder, "02_padding_and_stride")
    assert found.status == "wrong assignment" and STEM in found.sentence


def test_a_zip_leads_nowhere_and_links_are_not_followed(tmp_path):
    folder = folder_of(tmp_path, {f"ana/{STEM}.ipynb": handed_in({})})
    with zipfile.ZipFile(folder / "class.zip", "w") as packed:
        packed.writestr(f"../../../kim/{STEM}.ipynb", json.dumps(handed_in({})))
        packed.writestr(f"/etc/{STEM}.ipynb", json.dumps(handed_in({})))
        packed.writestr("__MACOSX/x.ipynb", "x")
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    (folder / "secret.ipynb").symlink_to("/etc/passwd")
    (folder / "secrets").symlink_to("/etc")
    before = sorted(tmp_path.rglob("*"))
    found = submissions.collect(folder)
    assert sorted(s.student for s in found) == ["ana", "etc", "kim"]
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_place_is_an_error(tmp_path):
    with pytest.raises(CourseError, match="is not there"):
        submissions.collect(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="no file"):
        submissions.collect(tmp_path)


# Cells that were deleted, doubled, edited, or stripped


def tampered(change):
    """Return a submission with a wrong answer 3 and a change that would hide it."""
    notebook = handed_in({"answer-3": "def conv1d(signal, kernel, bias=0.0):\n    return 0"})
    cells = {cell.id: cell for cell in notebook.cells}
    change(notebook, cells)
    return notebook


def edit_check(notebook, cells):
    cells["check-3"].source = "pass"


def edit_points(notebook, cells):
    cells["check-1"].metadata["nbgrader"]["points"] = 100


def delete_check(notebook, cells):
    notebook.cells.remove(cells["check-3"])


def double_check(notebook, cells):
    notebook.cells.insert(0, v4.new_code_cell("pass", id="check-3b", metadata={}))
    notebook.cells[0].metadata = cells["check-3"].metadata


def answer_in_the_check(notebook, cells):
    cells[
        "check-3"
    ].source = "conv1d = lambda s, k, bias=0: np.convolve(s, k[::-1], 'valid') + bias"


def ungraded(notebook, cells):
    cells["check-3"].metadata["nbgrader"] |= {"grade": False, "solution": True}


def other_kernel(notebook, cells):
    notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "x", "language": "bash"}


def odd_metadata(notebook, cells):
    cells["check-3"].metadata["nbgrader"] = "none"
    cells["answer-1"].metadata["tags"] = 7
    cells["answer-2"].id = "x" * 200


@pytest.mark.parametrize(
    "change",
    [
        edit_check,
        edit_points,
        delete_check,
        double_check,
        answer_in_the_check,
        ungraded,
        other_kernel,
        odd_metadata,
    ],
)
def test_edited_cells_change_no_mark(server, tmp_path, change):
    folder = folder_of(tmp_path, {"kim.ipynb": tampered(change)})
    (found,) = submissions.collect(folder, STEM)
    result = score.Grader(master(), found.notebook, server).run()
    assert points(result) == FULL | {"check-3": 0}, (found.status, result.notes)


def test_ids_and_metadata_that_were_dropped_come_back(server, tmp_path):
    notebook = handed_in({})
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"colab-{number}"
    folder = folder_of(tmp_path, {"kim.ipynb": notebook})
    (found,) = submissions.collect(folder)
    assert points(score.Grader(master(), found.notebook, server).run()) == FULL


def test_a_missing_answer_is_told(server):
    notebook = without("answer-4", handed_in({}))
    result = score.Grader(master(), notebook, server).run()
    assert points(result) == FULL | {"check-4": 0}
    assert "the cell answer-4 is missing" in result.notes
    assert result.status == "missing cells" and "answer-4" in result.sentence


def test_one_stopped_question_costs_only_itself(server):
    """Two of them, each in its own way; the cells after them run again without them."""
    loop = "def conv2d(image, kernel):\n    while True: pass"
    leave = "import os\ndef conv1d(signal, kernel, bias=0.0):\n    os._exit(3)"
    result = run(server, {"answer-3": leave, "answer-4": loop})
    assert points(result) == FULL | {"check-3": 0, "check-4": 0}


# The whole way, by the command


def test_the_command_writes_all_and_goes_on_where_it_was(server, tmp_path, monkeypatch):
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
    monkeypatch.setattr(grade, "_server", None)
    monkeypatch.setattr(wall, "command", lambda *_: ["false"])
    found = submissions.collect(folder_of(tmp_path, {"kim.ipynb": handed_in({})}))
    result = grade.grade_one(found[0], LIMITS, True)
    assert result.status == "not graded" and report.total(result)[0] is None


def test_without_bubblewrap_it_refuses(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CourseError, match="--unsafe"):
        wall.refuse_without_a_wall()


def test_unsafe_grades_without_a_wall(tmp_path):
    server = wall.Server(LIMITS, grade.DATA, safe=False)
    assert points(score.Grader(master(), handed_in({}), server).run()) == FULL


def test_the_instructors_page_lists_every_threat():
    page = (notebooks.ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    assert [name for name in THREATS if f"| {name} |" not in page] == []


# All exercises


@pytest.mark.parametrize("path", notebooks.masters(), ids=lambda path: path.stem)
def test_solutions_score_full_and_untouched_ones_nothing(path, patient_server):
    full = score.Grader(path, handed_in({}, stem=path.stem), patient_server).run()
    assert all(q.points in (None, q.maximum) for q in full.questions), full.questions
    nothing = score.Grader(path, exercises.release(path), patient_server).run()
    assert all(q.points in (None, 0) for q in nothing.questions), nothing.questions


# Values


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2**80, -0.5, float("inf"), 1 + 2j, "가", b"x", (1, [2, {"a": (3,)}]), {1, 2},
        slice(1, None, 2), ..., np.arange(6).reshape(2, 3), np.float32(0.1), np.array(7),
        np.zeros((0, 3)), np.dtype("int16"),
    ],
    ids=repr,
)  # fmt: skip
def test_values_cross_as_they_are(value):
    tree, blobs = values.dump(value, lambda item: pytest.fail(f"{item!r} does not cross"))
    found = values.load(json.loads(json.dumps(tree)), blobs, lambda node: pytest.fail(str(node)))
    assert type(found) is type(value)
    np.testing.assert_equal(found, value)


def test_a_generator_crosses_with_its_state():
    rng = np.random.default_rng(5)
    rng.random(3)
    tree, blobs = values.dump(rng, pytest.fail)
    copy = values.load(json.loads(json.dumps(tree)), blobs, pytest.fail)
    assert copy.random() == rng.random()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(5, 2), (3, 1)], [(3, 1), (5, 2)]),  # reversed in place: once taken for unchanged
        ([1, 2, 3], [1]),
        ([1], [1, 2]),
        ({"a": [1], "b": 2}, {"a": [1, 2], "c": 3}),
        ([np.arange(3.0)], [np.arange(3.0) + 1]),
        (([1],), ([2],)),
    ],
    ids=str,
)
def test_a_change_of_an_argument_is_seen(before, after):
    parts = list(before.values()) if isinstance(before, dict) else list(before)
    found = values.write_back(before, after)
    np.testing.assert_equal(found, after)
    if isinstance(before, list | dict):
        assert found is before
    if isinstance(parts[0], np.ndarray):
        assert before[0] is parts[0]


@pytest.mark.parametrize(
    "tree",
    [
        ["array", "|O", [1], 0], ["array", "<f8", [10**9, 10**9], 0], ["array", "<f8", [-1], 0],
        ["array", "<f8", [1], 7], ["array", "<f8", "x", 0], ["array"], ["int", "zz"], {"a": 1}, [],
        ["float", []], ["dict", [[["list", []], 1]]], ["bytes", -1], ["dtype", "O"], ["what", 1],
        ["generator", ["dict", []]], ["scalar", "<f8", 0], ["slice", 1, 2, 3, 4],
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_a_value_is_refused(tree):
    def refuse(node):
        raise values.BadValueError(node)

    with pytest.raises(values.BadValueError):
        values.load(tree, [b""], refuse)


# The gradebook, a cluster, and wrong answers


def test_the_gradebook_keeps_what_a_person_has_given(server, tmp_path):
    folder = folder_of(tmp_path, {f"Åsa K._{STEM}.ipynb": handed_in({})})
    found = submissions.collect(folder)
    out = tmp_path / "graded"
    out.mkdir()

    def graded():
        result = score.Grader(master(), found[0].notebook, server).run()
        gradebook.write([(found[0], result)], out)
        return result

    assert report.total(graded()) == (8, 8)
    student = report.safe_name(found[0].student)
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}") as book:
        grade_ = book.find_grade("answer-7", STEM, STEM, student)
        assert grade_.needs_manual_grade and grade_.auto_score is None
        assert book.find_grade("check-3", STEM, STEM, student).auto_score == 2
        grade_.manual_score, grade_.needs_manual_grade = 1.5, False
        book.db.commit()
    assert report.total(graded()) == (9.5, 10)
    shown = notebooks.read(out / "autograded" / student / STEM / f"{STEM}.ipynb")
    assert any("Rubric" in cell.source for cell in shown.cells)
    assert "HIDDEN" not in json.dumps(shown)


def some_wrong_answers(count):
    found = [submission for path in notebooks.masters() for submission in demo.one_by_one(path)]
    training = ("05_mnist_convnet answer-7", "07_dropout_and_augmentation answer-7")
    quick = [s for s in found if not s.file.startswith(training)]
    return quick[:: len(quick) // count]


def test_wrong_answers_lose_their_points_behind_the_wall(patient_server):
    """A share of them; "python -m tools.grading.demo --mutants" grades them all."""
    for submission in some_wrong_answers(22):
        path = grade.master_of(submission.assignment)
        result = score.Grader(path, submission.notebook, patient_server).run()
        assert report.total(result)[0] == 0, (submission.file, result.questions)


def test_a_cluster_grades_all_although_a_worker_is_killed(server, tmp_path):
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
