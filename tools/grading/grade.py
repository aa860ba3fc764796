"""Grade a folder of submissions.

    python -m tools.grading.grade FOLDER [--assignment 01_convolution_by_hand] [--jobs 2]

Leaves in graded/ (or --out): grades.csv, summary.html, feedback/KEY.html, nbgrader's
gradebook.db and autograded/ for formgrader, and results/, from which a second run takes what has
not changed. A run can be stopped and begun again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import rich.progress

from tools import notebooks
from tools.errors import CourseError, run_tool
from tools.grading import gradebook, late, marks, report, score, submissions, values, wall

HERE = Path(__file__).parent
DATA = notebooks.ROOT / "data"
# The modules that a result depends on: a change of a table or a page grades nothing anew.
RUN = ("judge", "parcels", "remote", "score", "values", "wall", "worker", "zygote")
_zygote: wall.Zygote | None = None
_starting = threading.Lock()


def master_of(assignment: str) -> Path:
    """Return the master notebook of an assignment; raise CourseError if there is none."""
    for path in notebooks.masters():
        if path.stem == assignment:
            return path
    known = ", ".join(path.stem for path in notebooks.masters())
    raise CourseError(f"grading {assignment!r}: there is no such exercise. Known: {known}")


def key_of(submission: submissions.Submission, limits: wall.Limits) -> str:
    """Return a hash of all that a result depends on: the submission, the tests, the grader."""
    digest = hashlib.sha256(submission.digest.encode())
    digest.update(repr((submission.assignment, limits, os.environ.get("COURSE_SEED"))).encode())
    for file in [master_of(submission.assignment), *(HERE / f"{name}.py" for name in RUN)]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _fork_server(limits: wall.Limits, safe: bool) -> wall.Zygote:
    """Return this program's process that has imported Keras; start it if there is none."""
    global _zygote
    with _starting:
        if _zygote is not None and _zygote.process.poll() is not None:
            _zygote.close()
            _zygote = None
        if _zygote is None:
            _zygote = wall.Zygote(limits, DATA, safe)
        return _zygote


def grade_one(submission: submissions.Submission, limits: wall.Limits, safe: bool) -> score.Result:
    """Return the result of one submission; an error of the grader itself is "not graded"."""
    told = ""
    for _ in range(2):  # a machine that was short of memory may have enough a moment later
        try:
            path = master_of(submission.assignment)
            return score.grade(path, submission.notebook, _fork_server(limits, safe))
        except Exception as error:
            told = values.clean(f"{type(error).__name__}: {error}", 500)
    return score.Result("not graded", f"the grader itself failed: {told}")


def grade_all(
    found: list[submissions.Submission],
    results: Path,
    limits: wall.Limits,
    jobs: int = 2,
    safe: bool = True,
    pool: Executor | None = None,
) -> dict[str, score.Result]:
    """Return the results by key, from ``results`` where they are fresh, else by grading.

    Each result is written when it is there, so that a stopped run goes on where it was. ``pool``
    is where the work is done: threads that each watch one hand-in's sandboxes, or a Dask cluster,
    which does again elsewhere what a lost machine was doing.
    """
    done: dict[str, score.Result] = {}
    waiting: list[tuple[submissions.Submission, Path, str]] = []
    for submission in found:
        if submission.status:  # nothing that could be run, or that counts
            done[submission.key] = score.Result(submission.status, submission.sentence)
            continue
        key = key_of(submission, limits)
        file = results / f"{submission.key}.json"
        stored = _stored(file, key)
        if stored:
            done[submission.key] = stored
        else:
            waiting.append((submission, file, key))
    if waiting:
        results.mkdir(parents=True, exist_ok=True)
        with pool or ThreadPoolExecutor(jobs) as workers:
            tasks = {workers.submit(grade_one, s, limits, safe): (s, f, k) for s, f, k in waiting}
            for task in _with_progress(as_completed(tasks), len(tasks)):
                submission, file, key = tasks[task]
                try:
                    result = task.result()
                except Exception as error:  # the machine that was grading it is lost
                    told = values.clean(repr(error), 500)
                    result = score.Result("not graded", f"the grader itself failed: {told}")
                done[submission.key] = result
                if result.status != "not graded":
                    marks.write_file(file, json.dumps({"key": key} | result.as_dict(), indent=1))
    return done


def _with_progress(tasks: Iterator[Any], count: int) -> Iterator[Any]:
    columns = rich.progress.Progress.get_default_columns()
    with rich.progress.Progress(*columns, rich.progress.MofNCompleteColumn()) as bar:
        yield from bar.track(tasks, total=count, description="grading")


def _stored(file: Path, key: str) -> score.Result | None:
    """Return the result in a file, if it is there and of the same submission and tests."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("key") != key:
            return None
        content["questions"] = [score.Question(**question) for question in content["questions"]]
        return score.Result(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def main() -> None:
    """Grade what the command line names."""
    from tools.grading import exports

    given = _arguments()
    if given.assignment:
        master_of(given.assignment)
    if not given.unsafe:
        wall.refuse_without_a_wall()
    found = submissions.collect(
        given.place,
        given.assignment,
        system=given.system,
        roster=given.roster,
        due=late.due(given.due) if given.due else None,
        policy=given.policy,
        keep=given.keep,
    )
    limits, results, safe = wall.Limits(), given.out / "results", not given.unsafe
    if given.scheduler:
        from distributed import Client

        with Client(given.scheduler) as client:
            done = grade_all(found, results, limits, safe=safe, pool=client.get_executor())
    else:
        done = grade_all(found, results, limits, given.jobs, safe)
    rows = [(submission, done[submission.key]) for submission in found]
    given.out.mkdir(parents=True, exist_ok=True)
    gradebook.write(rows, given.out)
    report.write_all(rows, given.out)
    exports.write_all(rows, given.out, given.system)
    graded = sum(result.status == "graded" for _, result in rows)
    print(f"{len(rows)} rows, {graded} of them graded without a remark. See:")
    for name in ("summary.html", "grades.csv", "marks.csv", "feedback"):
        print(f"  {given.out / name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("place", type=Path, metavar="FOLDER", help="folder or zip of notebooks")
    parser.add_argument("--assignment", default="", help="all are for this exercise")
    parser.add_argument("--system", default="", help="where they come from, if it is not seen")
    parser.add_argument(
        "--roster", type=_path, help="the class as a table: name, id, email, section"
    )
    parser.add_argument("--due", default="", help="2026-11-20T23:59, with or without a zone")
    parser.add_argument("--policy", default="", help='such as "10%% a day, at most 50%%"')
    parser.add_argument("--keep", choices=["newest", "first"], default="newest")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("graded"))
    parser.add_argument("--scheduler", default="", help="address of a Dask cluster to grade on")
    parser.add_argument("--unsafe", action="store_true", help="without a wall, with your rights")
    return parser.parse_args()


def _path(text: str) -> Path | None:
    """Return a path, or None for an empty word."""
    return Path(text) if text else None


if __name__ == "__main__":
    # By its own name: a cluster's workers get functions by name, and there they are not __main__'s.
    from tools.grading import grade

    run_tool(grade.main)
