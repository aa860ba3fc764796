"""Measure the grader: a class of a given size for one exercise, in seconds and in memory.

    python -m tests.scale 02_padding_and_stride 300
    python -m tests.scale 02_padding_and_stride 300 --kill 0.5     killed at half, and again
    python -m tests.scale 02_padding_and_stride 300 --dask         through a cluster of two workers
    python -m tests.scale 02_padding_and_stride 10 --beside        nbgrader's own autograde after it
    python -m tests.scale 02_padding_and_stride 10 --beside OTTER  and otter run, of this program

Of three hand-ins one is right, one has two wrong answers, one has two that are not answered; no two
are the same. Prints one line; the marks are compared with those that they should be.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from nbgrader.api import Gradebook

from tools import exercises, notebooks
from tools.grading import demo, grade

ROOT = notebooks.ROOT


def make(folder, stem, count):
    """Write ``count`` hand-ins into ``folder``; return {student: points that the tests give}."""
    rng, path = random.Random(0), grade.master_of(stem)
    wrong, most = demo.wrong_answers(path), demo.maxima(path)
    stubs = {cell.id: cell.source for cell in exercises.release(path).cells}
    folder.mkdir(parents=True)
    expected = {}
    for number in range(count):
        lost = [] if number % 3 == 0 else rng.sample(sorted(wrong), 2)
        answers = {a: rng.choice(wrong[a]) if number % 3 == 1 else stubs[a] for a in lost}
        notebook = demo.handed_in(path, answers)
        notebook.cells[0].source += f"\n\n<!-- {number} -->"
        name = f"student{number:04}"
        (folder / f"{name}_{stem}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        left = {answer.replace("answer", "check") for answer in lost}
        expected[name] = sum(points for check, points in most.items() if check not in left)
    return expected


class Memory(threading.Thread):
    """The largest sum of memory that a process and all below it held, shared parts counted once."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.most, self.on = psutil.Process(process), 0, True

    def run(self):
        """Look twice a second until told to stop."""
        while self.on:
            total = 0
            try:
                for one in [self.process, *self.process.children(recursive=True)]:
                    with open(f"/proc/{one.pid}/smaps_rollup") as file:
                        line = next(line for line in file if line.startswith("Pss:"))
                    total += int(line.split()[1]) * 1024
            except (OSError, psutil.Error, StopIteration):
                pass
            self.most = max(self.most, total)
            time.sleep(0.5)


def once(words, stop_at=None, results=None):
    """Run a command; return (seconds, most memory). Kill it when ``stop_at`` results are there."""
    started = time.monotonic()
    run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    memory = Memory(run.pid)
    memory.start()
    while run.poll() is None:
        if stop_at and len(list(results.glob("*.json"))) >= stop_at:
            run.kill()
        time.sleep(0.2)
    memory.on = False
    if run.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"the command ended with {run.returncode}")
    return time.monotonic() - started, memory.most


def ours(place, out, more):
    """Return the words of the grader's command."""
    words = [sys.executable, "-m", "tools.grading.grade", str(place), "--out", str(out)]
    return [*words, "--jobs", "2", *more]


def marks(out):
    """Return {student: points of the tests} of grades.csv."""
    found = {}
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row["question"].startswith("check-"):
                found[row["student"]] = found.get(row["student"], 0) + float(row["points"])
    return found


def with_nbgrader(place, folder, stem):
    """Return the seconds and the marks of nbgrader's own autograde on the same hand-ins."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    (folder / "data").symlink_to(ROOT / "data")
    for file in place.iterdir():
        target = folder / "submitted" / file.name.split("_")[0] / stem / f"{stem}.ipynb"
        target.parent.mkdir(parents=True)
        shutil.copy(file, target)
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    command = [str(programs / "nbgrader")]
    subprocess.run(
        [*command, "generate_assignment", stem], cwd=folder, env=environment, check=True,
        capture_output=True,
    )  # fmt: skip
    started = time.monotonic()
    subprocess.run(
        [*command, "autograde", stem], cwd=folder, env=environment, check=True, capture_output=True
    )
    seconds = time.monotonic() - started
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        found = {one.student.id: one.score for one in book.assignment_submissions(stem)}
    return seconds, found


def as_otter_tests(stem, folder):
    """Write each check of the master as a test of otter's, in its older format of doctests."""
    folder.mkdir(parents=True)
    path = grade.master_of(stem)
    most = demo.maxima(path)
    for cell in notebooks.code_cells(notebooks.read(path)):
        if cell.id not in most:
            continue
        # A doctest sees lines that begin with >>> or ..., and what is printed has to be expected.
        run = f"exec(compile({cell.source!r}, {cell.id!r}, 'exec'), globals())"
        quiet = f"with contextlib.redirect_stdout(io.StringIO()): {run}"
        code = f">>> import contextlib, io\n>>> {quiet}\n... "
        suite = {"cases": [{"code": code, "hidden": False, "locked": False}]}
        suite |= {"scored": True, "setup": "", "teardown": "", "type": "doctest"}
        test = {"name": cell.id, "points": most[cell.id], "suites": [suite]}
        (folder / f"{cell.id.replace('-', '_')}.py").write_text(
            f"OK_FORMAT = True\n\ntest = {test!r}\n"
        )


def with_otter(place, folder, stem, otter):
    """Return the seconds and the marks of otter's autograder, one hand-in after the other.

    https://otter-grader.readthedocs.io, "otter run": it grades one notebook in an environment that
    is there, without a container.
    """
    as_otter_tests(stem, folder / "tests")
    (folder / "out").mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    words = [otter, "generate", "-t", "tests", "-o", "autograder.zip", "--no-environment"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    seconds, found = 0.0, {}
    for file in sorted(place.iterdir()):
        words = [otter, "run", "-a", "autograder.zip", "-o", "out", shutil.copy(file, folder)]
        started = time.monotonic()
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        seconds += time.monotonic() - started
        tests = json.loads((folder / "out" / "results.json").read_text())["tests"]
        # Its first entry is a summary of the public tests, without a number of its own.
        found[file.name.split("_")[0]] = sum(float(test.get("score") or 0) for test in tests)
    return seconds, found


def differ(found, expected):
    """Return how many students have another mark than they should have, or none."""
    return sum(found.get(name) != mark for name, mark in expected.items())


def main():
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stem")
    parser.add_argument("count", type=int)
    parser.add_argument("--kill", type=float, help="kill -9 when this share is done, and go on")
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--beside", nargs="?", const="", metavar="OTTER")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="course-scale-"))
    expected = make(folder / "in", given.stem, given.count)
    what = f"{given.stem} x {given.count}"
    more, out = [], folder / "out"
    if given.dask:
        from distributed import LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        more = ["--scheduler", cluster.scheduler_address]
    if given.kill:
        seconds, _ = once(
            ours(folder / "in", out, more), int(given.count * given.kill), out / "results"
        )
        print(f"{what}: killed after {seconds:.0f} s")
    seconds, memory = once(ours(folder / "in", out, more))
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 2**20
    how = ", Dask" if given.dask else ""
    print(
        f"{what}{how}: {seconds:.0f} s, {seconds / given.count:.2f} s each, "
        f"{memory / 2**20:.0f} MiB at most, {size:.0f} MiB written, "
        f"{differ(marks(out), expected)} marks not as they should be"
    )
    again, _ = once(ours(folder / "in", out, more))
    print(f"{what}: again, with nothing to do: {again:.0f} s")
    if given.dask:
        cluster.close()
    others = {} if given.beside is None else {"nbgrader": (with_nbgrader, ())}
    if given.beside:
        others["otter"] = (with_otter, (given.beside,))
    for name, (grade_with, more) in others.items():
        (folder / name).mkdir()
        seconds, found = grade_with(folder / "in", folder / name, given.stem, *more)
        print(
            f"{what}, {name}: {seconds:.0f} s, {seconds / given.count:.2f} s each, "
            f"{differ(found, expected)} marks not as they should be"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
